"""From an example to token ids and a mask of the trained ones.

Trained are the assistant's turns with their end-of-turn token, a completion with its end token, or a whole text with
its end token. Text that itself holds a special token of the tokenizer is refused: it could pose as another's turn.

What a chat template writes for the assistant is found by its ``{% generation %}`` markers or, in a stock template,
which has none, by rendering prefixes: a turn is what the conversation up to and with it has more than the conversation
up to it with the generation prompt.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

from growlm.base.tokenizer import ENCODER_DECODER_TEMPLATE, END, PLAIN_TEMPLATE
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError
from growlm.terminal import counted

_NOTHING = re.compile(r"(?!)")
_SPECIAL_TOKENS: WeakKeyDictionary[Any, tuple[int, re.Pattern[str]]] = WeakKeyDictionary()
"""For each tokenizer its size when its special tokens were listed, and what finds one."""


@dataclass(frozen=True)
class Encoded:
    """An encoded example.

    Args:
        name: the example's name.
        input_ids: its tokens.
        trained: for each token, whether the model is trained to say it.
        cut: how many tokens of the prompt were left out, where the example allows it.
    """

    name: str
    input_ids: tuple[int, ...]
    trained: tuple[bool, ...]
    cut: int = 0


def encode(example: Example, tokenizer: Any, max_length: int) -> Encoded:
    """Encode an example.

    Args:
        example: the example.
        tokenizer: the base's tokenizer.
        max_length: greatest number of tokens; a longer text is cut, and so is a longer prompt where the example says
            how; a longer conversation or answer is refused.

    Returns:
        Its tokens and which of them are trained: at least one, the stop token among them.

    Raises:
        GrowlmError: naming the example, if it is too long, has no trained token, or holds a special token.
    """
    _refuse_special_tokens(example, tokenizer)
    cut = 0
    if example.messages:
        ids, trained = _encode_messages(example, tokenizer)
    elif example.text is not None:
        ids, trained = _encode_text(example.text, tokenizer)
        ids, trained = ids[:max_length], trained[:max_length]
    else:
        whole, answer = encode_prompt(example, tokenizer), encode_answer(example.completion or "", tokenizer)
        # room for any answer that might have been: how much is cut must not tell which one is right
        choices = [encode_answer(choice, tokenizer) for choice in example.choices] if example.cut else []
        prompt = cut_prompt(whole, max_length - max(map(len, (answer, *choices))), example.cut)
        cut = len(whole) - len(prompt)
        ids, trained = [*prompt, *answer], [*[False] * len(prompt), *[True] * len(answer)]
    if not any(trained):
        raise GrowlmError(f"{example.name}: no token of it would be trained; give an answer that is not empty")
    if len(ids) > max_length:
        raise GrowlmError(
            f"{example.name}: {len(ids)} tokens are more than max_length {max_length}; shorten it or raise max_length"
        )
    return Encoded(example.name, tuple(ids), tuple(trained), cut)


def encode_windows(example: Example, tokenizer: Any, max_length: int) -> list[Encoded]:
    """Encode an example for training, a longer text in several windows.

    Args:
        example: the example.
        tokenizer: the base's tokenizer.
        max_length: greatest number of tokens of a window.

    Returns:
        One encoded example; of a text longer than ``max_length`` as many as cover it. Each begins with the last token
        of the one before, so that every token but the first is trained once; on an encoder-decoder each begins with
        what every answer comes after.

    Raises:
        GrowlmError: as ``encode`` does.
    """
    if example.text is None:
        return [encode(example, tokenizer, max_length)]
    whole, (_, after) = encode(example, tokenizer, sys.maxsize), prompt_frame(tokenizer)
    lead, size, overlap = len(after), max_length - len(after), 0 if after else 1
    ids, trained = whole.input_ids[lead:], whole.trained[lead:]
    return [
        Encoded(
            example.name if start == 0 else f"{example.name}, from token {start}",
            (*after, *ids[start : start + size]),
            (*[False] * lead, *trained[start : start + size]),
        )
        for start in range(0, max(1, len(ids) - overlap), size - overlap)
    ]


def encode_prompt(example: Example, tokenizer: Any) -> list[int]:
    """Encode what comes before the answer: a conversation up to an assistant's turn, or a prompt.

    Args:
        example: messages that end with the user's turn, or a prompt.
        tokenizer: the base's tokenizer.

    Returns:
        The tokens after which the model speaks.
    """
    _refuse_special_tokens(example, tokenizer)
    if example.messages:
        return _render(example, tokenizer, add_generation_prompt=True)["input_ids"]
    before, after = prompt_frame(tokenizer)
    ids = [*before, *_tokens(example.prompt or "", tokenizer), *after]
    return ids if example.max_prompt is None else cut_prompt(ids, example.max_prompt, example.cut)


def prompt_frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the tokens before a prompt and those between it and the answer; a text without a prompt follows on both.

    Of a decoder they are the start token and none; of an encoder-decoder none, and the end token and the decoder's
    start token.
    """
    if tokenizer.chat_template == ENCODER_DECODER_TEMPLATE:
        return [], [tokenizer.eos_token_id, tokenizer.pad_token_id]
    token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return [] if token is None else [token], []


def encode_answer(text: str, tokenizer: Any) -> list[int]:
    """Encode a completion with the token that ends it; nothing becomes nothing."""
    answer = _tokens(text, tokenizer)
    return [*answer, stop_ids(tokenizer)[-1]] if answer else []


def cut_prompt(ids: Sequence[int], room: int, rule: str) -> list[int]:
    """Leave tokens out of a prompt that is too long; the start token stays.

    Args:
        ids: the prompt's tokens.
        room: how many of them there is room for.
        rule: ``"left"`` leaves out the first ones, ``"middle"`` the middle ones, so that as many remain before as after
            it; empty: none.

    Returns:
        At most ``room`` tokens, if there is a rule and room for two.
    """
    excess = len(ids) - room
    if not rule or excess <= 0 or room < 2:
        return list(ids)
    kept = 1 if rule == "left" else room - room // 2
    return [*ids[:kept], *ids[kept + excess :]]


def stop_ids(tokenizer: Any) -> list[int]:
    """List the tokens that end an answer: the tokenizer's end of text, and what its chat template ends a turn with."""
    end_of_turn = tokenizer.convert_tokens_to_ids(END)
    # a token that there is not becomes the unknown one; to ask for the whole vocabulary takes milliseconds
    known = end_of_turn is not None and tokenizer.convert_ids_to_tokens(end_of_turn) == END
    stops = [end_of_turn if known else None, tokenizer.eos_token_id, _turn_end(tokenizer)]
    return sorted({token for token in stops if token is not None})


def _turn_end(tokenizer: Any) -> int | None:
    """Find the special token that ends an assistant's turn in a stock chat template, by rendering a turn."""
    template = chat_template(tokenizer)
    if tokenizer.chat_template is None or _has_markers(template):
        return None
    turns = (Message("user", "a"), Message("assistant", "b"))
    prompt, whole = (_text(turns[:count], tokenizer, count == 1) for count in (1, 2))
    token = _last_special(whole[len(prompt) :].rstrip(), tokenizer)
    return None if token is None else int(tokenizer.convert_tokens_to_ids(token))


def _encode_messages(example: Example, tokenizer: Any) -> tuple[list[int], list[bool]]:
    if _has_markers(chat_template(tokenizer, bool(example.tools))):
        ids, trained = _marked(example, tokenizer)
    else:
        ids, trained = _by_prefixes(example, tokenizer)
    stops = stop_ids(tokenizer)
    ends = [index for index, pair in enumerate(pairwise([*trained, False])) if pair == (True, False)]
    if any(ids[index] not in stops for index in ends):
        raise GrowlmError(
            f"{example.name}: the chat template leaves the end-of-turn token of a turn untrained, so answers would "
            "never end; end every assistant's turn with it, inside the generation markers if there are any"
        )
    return ids, trained


def _marked(example: Example, tokenizer: Any) -> tuple[list[int], list[bool]]:
    encoding = _render(example, tokenizer, add_generation_prompt=False)
    ids = encoding["input_ids"]
    trained = [bool(token) for token in encoding.get("assistant_masks") or [0] * len(ids)]
    answers = [message for message in example.messages if message.role == "assistant"]
    if all(message.trained for message in answers):
        return ids, trained
    starts = [index for index, pair in enumerate(pairwise([False, *trained])) if pair == (False, True)]
    if len(starts) != len(answers):
        raise GrowlmError(
            f"{example.name}: the chat template tags {counted(len(starts), 'turn')} of {len(answers)}, so turns of "
            "weight 0 cannot be found; tag every assistant's turn"
        )
    for message, start, end in zip(answers, starts, [*starts[1:], len(ids)], strict=True):
        if not message.trained:
            trained[start:end] = [False] * (end - start)
    return ids, trained


def _by_prefixes(example: Example, tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Encode a conversation by a template without markers, as tokens of the whole with their places in its text."""
    text = _text(example.messages, tokenizer, add_generation_prompt=False, tools=example.tools)
    spans = [span for span, message in _answer_spans(example, text, tokenizer) if message.trained]
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    trained = [any(start <= begin and end <= stop for start, stop in spans) for begin, end in _places(encoding)]
    return list(encoding["input_ids"]), trained


def _answer_spans(example: Example, text: str, tokenizer: Any) -> Iterator[tuple[tuple[int, int], Message]]:
    for index, message in enumerate(example.messages):
        if message.role != "assistant":
            continue
        before = _before_answer(example, index, tokenizer)
        through = _text(example.messages[: index + 1], tokenizer, False, example.tools).rstrip()
        if not (through.startswith(before) and text.startswith(through)):
            raise GrowlmError(
                f"{example.name}, turn {index + 1}: the chat template writes this answer otherwise once more follows, "
                "so what to train is not known; end the conversation with it, or put {% generation %} markers into the "
                "tokenizer's chat_template"
            )
        yield (len(before), len(through)), message


def _before_answer(example: Example, index: int, tokenizer: Any) -> str:
    if index:
        return _text(example.messages[:index], tokenizer, True, example.tools)
    # templates render no empty conversation: what opens an answer is what the generation prompt adds
    whole = _text(example.messages[:1], tokenizer, False, example.tools)
    opening = _text(example.messages[:1], tokenizer, True, example.tools).removeprefix(whole)
    if not opening or opening not in whole:
        raise GrowlmError(
            f"{example.name}, turn 1: where the chat template begins an answer that no turn precedes is not known; "
            "begin with the user's turn"
        )
    return whole[: whole.index(opening) + len(opening)]


def _places(encoding: Any) -> list[tuple[int, int]]:
    """Return where in the text each token begins and ends; one of no length is at its place."""
    return [(int(begin), int(end)) for begin, end in encoding["offset_mapping"]]


def _last_special(text: str, tokenizer: Any) -> str | None:
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return next((token for token in sorted(tokens, key=len, reverse=True) if text.endswith(token)), None)


def chat_template(tokenizer: Any, with_tools: bool = False) -> str:
    """Return a tokenizer's chat template, ``PLAIN_TEMPLATE`` if it has none.

    Args:
        tokenizer: the base's tokenizer.
        with_tools: whether the conversation has tools: of several named templates it takes ``tool_use`` then, else
            ``default``.

    Returns:
        The template.

    Raises:
        GrowlmError: if there are several and none of that name.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        if with_tools and "tool_use" in template:
            return str(template["tool_use"])
        if "default" not in template:
            names = ", ".join(map(repr, sorted(template)))
            raise GrowlmError(f"the base has the chat templates {names} and no 'default': name one of them so")
        template = template["default"]
    return template or PLAIN_TEMPLATE


def _has_markers(template: str) -> bool:
    # a comment may well speak of generation
    return re.search(r"{%-?\s*generation\s*-?%}", re.sub(r"{#.*?#}", "", template, flags=re.DOTALL)) is not None


def _text(messages: Sequence[Message], tokenizer: Any, add_generation_prompt: bool, tools: str = "") -> str:
    return str(_apply(messages, tokenizer, tools, add_generation_prompt=add_generation_prompt, tokenize=False))


def _apply(messages: Sequence[Message], tokenizer: Any, tools: str, **options: Any) -> Any:
    from jinja2 import TemplateError

    turns = [
        {"role": message.role, "content": message.content, **(json.loads(message.extra) if message.extra else {})}
        for message in messages
    ]
    if tools:
        options["tools"] = json.loads(tools)
    try:
        return tokenizer.apply_chat_template(turns, chat_template=chat_template(tokenizer, bool(tools)), **options)
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise GrowlmError(
            f"the base's chat template refuses turns of {roles}: {error}; leave such turns out, or take a base whose "
            "template has them"
        ) from None


def _encode_text(text: str, tokenizer: Any) -> tuple[list[int], list[bool]]:
    before, after = prompt_frame(tokenizer)
    words = [*_tokens(text, tokenizer), tokenizer.eos_token_id]
    return [*before, *after, *words], [*[False] * len(before + after), *[bool(text)] * len(words)]


def _render(example: Example, tokenizer: Any, add_generation_prompt: bool) -> dict[str, Any]:
    if not _has_markers(chat_template(tokenizer, bool(example.tools))):
        text = _text(example.messages, tokenizer, add_generation_prompt, example.tools)
        return {"input_ids": _tokens(text, tokenizer)}
    return dict(
        _apply(
            example.messages,
            tokenizer,
            example.tools,
            add_generation_prompt=add_generation_prompt,
            return_assistant_tokens_mask=not add_generation_prompt,
            return_dict=True,
            tokenizer_kwargs={"verbose": False},
        )
    )


def _tokens(text: str, tokenizer: Any) -> list[int]:
    # not verbose: what is too long is refused here, by name, and needs no warning besides
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _refuse_special_tokens(example: Example, tokenizer: Any) -> None:
    special = _special_tokens(tokenizer)
    texts = [message.content for message in example.messages]
    texts += [text for text in (example.prompt, example.completion, example.text) if text]
    found = next((match for text in texts if (match := special.search(text))), None)
    if found:
        raise GrowlmError(f"{example.name}: its text holds the special token {found.group()!r}; take it out")


def _special_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Return what finds the special tokens of a tokenizer; to list them takes longer than to encode an example."""
    size, pattern = _SPECIAL_TOKENS.get(tokenizer, (-1, _NOTHING))
    if size != len(tokenizer):
        # all_special_tokens lists only those with a role such as eos_token, not those of the chat template
        added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
        tokens = sorted({*tokenizer.all_special_tokens, *added} - {""}, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, tokens))) if tokens else _NOTHING
        _SPECIAL_TOKENS[tokenizer] = len(tokenizer), pattern
    return pattern
