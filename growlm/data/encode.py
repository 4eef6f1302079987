"""From an example to token ids and a mask of the trained ones.

Trained are the assistant's turns with their end-of-turn token, a completion with its end token, or a whole text with
its end token. Text that itself holds a special token of the tokenizer is refused: it could pose as another's turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from growlm.data.example import Example, Message
from growlm.errors import GrowlmError

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- 'Assistant:' -}}"
    "{%- generation -%}{{- ' ' + message['content'] + eos_token -}}{%- endgeneration -%}"
    "{{- '\n' -}}"
    "{%- else -%}"
    "{{- message['role'] | capitalize + ': ' + message['content'] + '\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"
)
"""For tokenizers without a chat template: the turns of a conversation as lines."""


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
    """Encodes an example.

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


def encode_prompt(example: Example, tokenizer: Any) -> list[int]:
    """Encodes what stands before the answer: a conversation up to an assistant's turn, or a prompt.

    Args:
        example: messages that end with the user's turn, or a prompt.
        tokenizer: the base's tokenizer.

    Returns:
        The tokens after which the model speaks.
    """
    _refuse_special_tokens(example, tokenizer)
    if example.messages:
        return _render(example.messages, tokenizer, add_generation_prompt=True)["input_ids"]
    ids = [*_start(tokenizer), *_tokens(example.prompt or "", tokenizer)]
    return ids if example.max_prompt is None else cut_prompt(ids, example.max_prompt, example.cut)


def encode_answer(text: str, tokenizer: Any) -> list[int]:
    """Encodes a completion with the token that ends it; nothing becomes nothing."""
    answer = _tokens(text, tokenizer)
    return [*answer, stop_ids(tokenizer)[-1]] if answer else []


def cut_prompt(ids: Sequence[int], room: int, rule: str) -> list[int]:
    """Leaves tokens out of a prompt that is too long; the start token stays.

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
    """Lists the tokens that end an answer: the tokenizer's end of turn and its end of text."""
    from growlm.base.tokenizer import END

    end_of_turn = tokenizer.convert_tokens_to_ids(END)
    # a token that there is not becomes the unknown one; to ask for the whole vocabulary takes milliseconds
    known = end_of_turn is not None and tokenizer.convert_ids_to_tokens(end_of_turn) == END
    stops = [end_of_turn, tokenizer.eos_token_id] if known else [tokenizer.eos_token_id]
    return sorted({token for token in stops if token is not None})


def _encode_messages(example: Example, tokenizer: Any) -> tuple[list[int], list[bool]]:
    encoding = _render(example.messages, tokenizer, add_generation_prompt=False)
    mask = encoding.get("assistant_masks") or [0] * len(encoding["input_ids"])
    trained = [bool(token) for token in mask]
    stops = stop_ids(tokenizer)
    last = max((index for index, token in enumerate(trained) if token), default=None)
    if last is not None and encoding["input_ids"][last] not in stops:
        raise GrowlmError(
            f"{example.name}: the chat template leaves the end-of-turn token untrained, so answers would never end; "
            "put it inside the template's generation markers"
        )
    return encoding["input_ids"], trained


def _encode_text(text: str, tokenizer: Any) -> tuple[list[int], list[bool]]:
    start = _start(tokenizer)
    words = [*_tokens(text, tokenizer), tokenizer.eos_token_id]
    return [*start, *words], [*[False] * len(start), *[bool(text)] * len(words)]


def _render(messages: Sequence[Message], tokenizer: Any, add_generation_prompt: bool) -> dict[str, Any]:
    template = tokenizer.chat_template or PLAIN_TEMPLATE
    if "generation" not in str(template).replace("add_generation_prompt", ""):
        raise GrowlmError(
            "the base's chat template has no {% generation %} markers, so what the assistant says cannot be told "
            "apart; add them to its tokenizer's chat_template"
        )
    return dict(
        tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            chat_template=template,
            add_generation_prompt=add_generation_prompt,
            return_assistant_tokens_mask=not add_generation_prompt,
            return_dict=True,
            tokenizer_kwargs={"verbose": False},
        )
    )


def _start(tokenizer: Any) -> list[int]:
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [] if token is None else [token]


def _tokens(text: str, tokenizer: Any) -> list[int]:
    # not verbose: what is too long is refused here, by name, and needs no warning besides
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _refuse_special_tokens(example: Example, tokenizer: Any) -> None:
    texts = [message.content for message in example.messages]
    texts += [text for text in (example.prompt, example.completion, example.text) if text]
    # all_special_tokens lists only those with a role such as eos_token, not those of the chat template
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    for token in sorted({*tokenizer.all_special_tokens, *added}):
        if any(token in text for text in texts):
            raise GrowlmError(f"{example.name}: its text holds the special token {token!r}; take it out")
