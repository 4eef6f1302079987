"""Streamed text from a stack, and a conversation that remembers."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from transformers import TextIteratorStreamer

from growlm.base.load import shipped_bases
from growlm.data.encode import encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError, check_at_least
from growlm.manifest.manifest import STACK_FILE
from growlm.manifest.path import format_path, parse_names, parse_path
from growlm.merging.fuse import fuse
from growlm.routing.turns import needed_turns, routed_turns
from growlm.stack.stack import ModuleStack
from growlm.stack.stopping import answer_endings

AUTO = "auto"
_logger = logging.getLogger(__name__)


def open_stack(folder: Path, base: str | None, path: str | None, fused: bool = False) -> ModuleStack:
    """Load a stack, or a shipped base as a stack without modules.

    Args:
        folder: the stack's folder, or the name of a shipped base.
        base: where the base is now, if not where the manifest says.
        path: the path to activate, as ``parse_path`` reads it; None: the newest module's.
        fused: run the modules of ``path`` as one fused change of weights while it is active.

    Returns:
        The stack with the path active; ``routes`` says whether its router chooses instead.

    Raises:
        GrowlmError: if there is no such stack, or no such path in it, or its modules cannot be fused.
    """
    if fused and path is None:
        raise GrowlmError("--fuse joins the modules of a path: give their names with --path, joined by +")
    if not (folder / STACK_FILE).exists() and str(folder) in shipped_bases():
        stack = ModuleStack.from_base(str(folder)).eval()
    else:
        stack = ModuleStack.from_pretrained(folder, base=base)
    if path is not None and fused:
        fuse(stack, parse_names(path))
    elif path is not None:
        stack.set_path(parse_path(path, stack.parents()))
    return stack


def routes(stack: ModuleStack, path: str | None) -> bool:
    """Return whether a stack's router chooses: when it has one and no path is asked for."""
    return path is None and stack.router is not None


def stream_text(
    stack: ModuleStack,
    prompt: str,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    routed: bool = False,
) -> Iterator[str]:
    """Continue a text piece by piece.

    Args:
        stack: the stack.
        prompt: the beginning of the text.
        max_new_tokens: greatest number of tokens to add.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        seed: seed of the drawing.
        routed: use the path that the stack's router chooses, which stays active; else the active one.

    Yields:
        The pieces of the continuation.

    Raises:
        GrowlmError: for a prompt that holds a special token or leaves no room in the context, and for less than one new
            token.
    """
    check_limits(max_new_tokens, temperature)
    ids = encode_prompt(Example("the prompt", prompt=prompt), stack.tokenizer)
    if routed:
        stack.set_path(stack.choose_paths([ids])[0])
    yield from _stream(stack, ids, max_new_tokens, temperature, seed)


class Conversation:
    """A conversation with a stack; every answer sees the turns before it that fit the context and its skill.

    Args:
        stack: the stack.
        max_new_tokens: greatest number of tokens of an answer.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        seed: seed of the drawing.
        routed: use the path that the stack's router chooses for each turn; else the active one.

    Raises:
        GrowlmError: for less than one new token, or a temperature below 0.
    """

    def __init__(
        self,
        stack: ModuleStack,
        max_new_tokens: int = 200,
        temperature: float = 0.0,
        seed: int = 0,
        routed: bool = False,
    ) -> None:
        self.stack = stack
        self.routed = routed
        self.messages: list[Message] = []
        check_limits(max_new_tokens, temperature)
        most = stack.context_length // 2  # the other half is left for what was said before
        if max_new_tokens > most:
            _logger.info("an answer has at most %d tokens: the base sees %d at once", most, stack.context_length)
        self._settings = (min(max_new_tokens, most), temperature, seed)

    def say(self, text: str) -> Iterator[str]:
        """Add a turn of the user and answer it piece by piece.

        Args:
            text: the user's turn.

        Yields:
            The pieces of the answer; once all are taken, the turn is part of the conversation.

        Raises:
            GrowlmError: for a turn that holds a special token or is too long for the context; the conversation stays
                as it was.
        """
        asked = [*self.messages, Message("user", text)]
        room = self.stack.context_length - self._settings[0]
        while len(self._encode(asked)) > room and len(asked) > 2:
            asked = asked[2:]  # the oldest turns leave the context
        if self.routed:
            path, turns = routed_turns(self.stack, asked)
            self.stack.set_path(path)
        else:
            turns = needed_turns(self.stack, self.stack.path, asked)
        ids = self._encode(turns)
        pieces: list[str] = []
        for piece in _stream(self.stack, ids, *self._settings):
            pieces.append(piece)
            yield piece
        self.messages = [*asked, Message("assistant", "".join(pieces))]

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        return encode_prompt(Example("the conversation", messages=tuple(messages)), self.stack.tokenizer)

    def reset(self) -> None:
        """Forget the conversation."""
        self.messages = []

    def change_path(self, path: str) -> str:
        """Change the active path.

        Args:
            path: the path for all further turns, as ``parse_path`` reads it. ``auto``: the router chooses again.

        Returns:
            The new path, as ``path_text`` writes it.

        Raises:
            GrowlmError: for a path that the stack does not have, or ``auto`` without a router.
        """
        if path == AUTO:
            if self.stack.router is None:
                raise GrowlmError("the stack has no router: name a path, or grow a skill with --router ridge")
            self.routed = True
        else:
            self.stack.set_path(parse_path(path, self.stack.parents()))
            self.routed = False
        return self.path_text()

    def path_text(self) -> str:
        """Return the path of the last turn, and who chose it."""
        if self.routed and not self.messages:
            return "chosen by the router for every turn"
        return format_path(self.stack.path) + (", chosen by the router" if self.routed else "")


def check_limits(max_new_tokens: int, temperature: float) -> None:
    """Refuse limits with which no token can be drawn.

    Raises:
        GrowlmError: for less than one new token, or a temperature that is negative or not finite.
    """
    check_at_least("max_new_tokens", max_new_tokens, 1)
    if not 0 <= temperature < math.inf:
        raise GrowlmError(f"temperature {temperature} cannot be used: give 0 or a number above it")


def _stream(stack: ModuleStack, ids: list[int], max_new_tokens: int, temperature: float, seed: int) -> Iterator[str]:
    room = stack.context_length - len(ids)
    if room < 1:
        raise GrowlmError(f"the prompt has {len(ids)} tokens, the base sees {stack.context_length} at once: shorten it")
    if room < max_new_tokens:
        _logger.info("the text has at most %d more tokens: the base sees %d at once", room, stack.context_length)
    most = min(max_new_tokens, room)
    input_ids_BT = torch.tensor([ids], device=stack.device)
    streamer = TextIteratorStreamer(stack.tokenizer, skip_prompt=True, skip_special_tokens=True)
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    )
    torch.manual_seed(seed)
    settings = {
        "attention_mask": torch.ones_like(input_ids_BT),
        "min_new_tokens": 1,
        "max_new_tokens": most,
        "eos_token_id": stop_ids(stack.tokenizer),
        "pad_token_id": stack.pad_id,
        "stopping_criteria": answer_endings(stack.tokenizer, input_ids_BT.shape[1], most),
        "streamer": streamer,
        **sampling,
    }
    errors: list[BaseException] = []

    def work() -> None:
        try:
            stack.generate(input_ids_BT, **settings)
        except BaseException as error:  # handed to the reader, who would wait for ever otherwise
            errors.append(error)
            streamer.end()

    thread = Thread(target=copy_context().run, args=(work,), daemon=True)  # with the path of this thread
    thread.start()
    yield from (piece for piece in streamer if piece)
    thread.join()
    if errors:
        raise errors[0]
