"""Talking with a stack: streamed text, and a conversation that remembers."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from rich.console import Console
from transformers import TextIteratorStreamer

from growlm.base.load import shipped_bases
from growlm.data.encode import encode_prompt, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.manifest.manifest import STACK_FILE
from growlm.manifest.path import format_path, parse_names, parse_path
from growlm.merging.fusion import fuse
from growlm.routing._rows import choose_paths
from growlm.stack.context import context_length, pad_id
from growlm.stack.stack import ModuleStack
from growlm.stack.stopping import answer_endings

AUTO = "auto"


def open_stack(folder: Path, base: str | None, path: str | None, fused: bool = False) -> ModuleStack:
    """Loads a stack, or a shipped base as a stack without modules.

    Args:
        folder: the stack's folder, or the name of a shipped base.
        base: where the base is now, if not where the manifest says.
        path: the path to activate, as ``parse_path`` reads it; None: the newest module's.
        fused: let the paths of the modules that it names run as one fused change of weights, for as long as it is
            active.

    Returns:
        The stack with the path active; whether its router is to choose instead is for the caller to ask (``routes``).

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
        fuse(stack, parse_names(path), notice=Console(stderr=True, highlight=False).print)
    elif path is not None:
        stack.set_path(parse_path(path, stack.parents()))
    return stack


def routes(stack: ModuleStack, path: str | None) -> bool:
    """Tells whether a stack's router chooses: when it has one and no path is asked for."""
    return path is None and stack.router is not None


def stream_text(
    stack: ModuleStack,
    prompt: str,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    routed: bool = False,
) -> Iterator[str]:
    """Continues a text piece by piece.

    Args:
        stack: the stack.
        prompt: the beginning of the text.
        max_new_tokens: greatest number of tokens to add.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        seed: seed of the drawing.
        routed: let the stack's router choose the path, which stays active; else the active one is used.

    Yields:
        The pieces of the continuation.
    """
    ids = encode_prompt(Example("the prompt", prompt=prompt), stack.tokenizer)
    if routed:
        stack.set_path(choose_paths(stack, [ids])[0])
    yield from _stream(stack, ids, max_new_tokens, temperature, seed)


class Conversation:
    """A conversation with a stack; every answer sees all turns before it that fit the context.

    Args:
        stack: the stack.
        max_new_tokens: greatest number of tokens of an answer.
        temperature: 0 takes the likeliest token always; above, tokens are drawn.
        seed: seed of the drawing.
        routed: let the stack's router choose the path of every turn; else the active one is used.
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
        self._settings = (max_new_tokens, temperature, seed)

    def say(self, text: str) -> Iterator[str]:
        """Says something and yields the answer piece by piece.

        Args:
            text: the user's turn.

        Yields:
            The pieces of the answer; once all are taken, the turn is part of the conversation.
        """
        asked = [*self.messages, Message("user", text)]
        room = context_length(self.stack) - self._settings[0]
        while len(ids := self._encode(asked)) > room and len(asked) > 2:
            asked = asked[2:]  # the oldest turns leave the context
        if self.routed:
            self.stack.set_path(choose_paths(self.stack, [ids])[0])
        pieces: list[str] = []
        for piece in _stream(self.stack, ids, *self._settings):
            pieces.append(piece)
            yield piece
        self.messages = [*asked, Message("assistant", "".join(pieces))]

    def _encode(self, messages: list[Message]) -> list[int]:
        return encode_prompt(Example("the conversation", messages=tuple(messages)), self.stack.tokenizer)

    def reset(self) -> None:
        """Forgets the conversation."""
        self.messages = []

    def change_path(self, path: str) -> str:
        """Changes the active path.

        Args:
            path: the path as ``parse_path`` reads it; from now on it is used for every turn. ``auto``: the router
                chooses again.

        Returns:
            What is the case now, as ``path_text`` says it.

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
        """Writes the path of the last turn, and who chose it."""
        if self.routed and not self.messages:
            return "chosen by the router for every turn"
        return format_path(self.stack.path) + (", chosen by the router" if self.routed else "")


def _stream(stack: ModuleStack, ids: list[int], max_new_tokens: int, temperature: float, seed: int) -> Iterator[str]:
    room = max(1, context_length(stack) - max_new_tokens)
    input_ids_BT = torch.tensor([ids[-room:]], device=stack.device)
    streamer = TextIteratorStreamer(stack.tokenizer, skip_prompt=True, skip_special_tokens=True)
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    )
    torch.manual_seed(seed)
    most = min(max_new_tokens, context_length(stack) - 1)
    settings = {
        "attention_mask": torch.ones_like(input_ids_BT),
        "min_new_tokens": 1,
        "max_new_tokens": most,
        "eos_token_id": stop_ids(stack.tokenizer),
        "pad_token_id": pad_id(stack),
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

    thread = Thread(target=work, daemon=True)
    thread.start()
    yield from (piece for piece in streamer if piece)
    thread.join()
    if errors:
        raise errors[0]
