"""From an example to tokens and a mask of the trained ones."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growlm.base.load import load_tokenizer
from growlm.data.encode import Encoded, cut_prompt, encode, encode_prompt, encode_windows, stop_ids
from growlm.data.example import Example, Message
from growlm.errors import GrowlmError

TALK = (
    Message("user", "hello Tom"),
    Message("assistant", "hello Lily"),
    Message("user", "yes?"),
    Message("assistant", "no 12."),
)


@pytest.fixture
def tokenizer(tiny_bases: dict[str, Path]) -> Any:
    """The shared tokenizer, with chat template."""
    return load_tokenizer(tiny_bases["llama"])


@pytest.fixture
def plain(tokenizer: Any) -> Any:
    """A tokenizer without chat template and without chat tokens among its special ones, as GPT-2's is."""
    from transformers import PreTrainedTokenizerFast

    without = tokenizer.backend_tokenizer.to_str().replace("<|end|>", "<|else|>")
    from tokenizers import Tokenizer

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(without), bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def said(encoded: Encoded, tokenizer: Any) -> list[str]:
    """Return the stretches of trained text."""
    stretches: list[list[int]] = []
    for token, trained, before in zip(encoded.input_ids, encoded.trained, (False, *encoded.trained), strict=False):
        if trained and not before:
            stretches.append([])
        if trained:
            stretches[-1].append(token)
    return [tokenizer.decode(stretch) for stretch in stretches]


def test_in_a_conversation_the_answers_and_their_ends_are_trained(tokenizer: Any) -> None:
    encoded = encode(Example("x", messages=TALK), tokenizer, 100)
    assert tokenizer.decode(encoded.input_ids) == (
        "<|endoftext|><|user|>hello Tom<|end|><|assistant|>hello Lily<|end|>"
        "<|user|>yes?<|end|><|assistant|>no 12.<|end|>"
    )
    assert said(encoded, tokenizer) == ["hello Lily<|end|>", "no 12.<|end|>"]
    assert encoded.name == "x"
    assert len(encoded.trained) == len(encoded.input_ids)


def test_of_a_completion_all_and_its_end_is_trained(tokenizer: Any) -> None:
    encoded = encode(Example("x", prompt="the cat", completion=" sat"), tokenizer, 100)
    assert tokenizer.decode(encoded.input_ids) == "<|endoftext|>the cat sat<|end|>"
    assert said(encoded, tokenizer) == [" sat<|end|>"]
    assert encoded.input_ids[-1] in stop_ids(tokenizer)


def test_of_a_text_all_and_its_end_is_trained(tokenizer: Any) -> None:
    encoded = encode(Example("x", text="the cat sat"), tokenizer, 100)
    assert tokenizer.decode(encoded.input_ids) == "<|endoftext|>the cat sat<|endoftext|>"
    assert encoded.trained == (False, *[True] * (len(encoded.trained) - 1))


def test_a_long_text_is_cut(tokenizer: Any) -> None:
    whole = encode(Example("x", text="the cat sat on"), tokenizer, 100)
    cut = encode(Example("x", text="the cat sat on"), tokenizer, 3)
    assert cut.input_ids == whole.input_ids[:3]
    assert cut.trained == whole.trained[:3]


def test_without_a_chat_template_turns_are_lines(plain: Any) -> None:
    encoded = encode(Example("x", messages=TALK), plain, 200)
    assert plain.decode(encoded.input_ids) == (
        "User: hello Tom\nAssistant: hello Lily<|endoftext|>\nUser: yes?\nAssistant: no 12.<|endoftext|>\n"
    )
    assert said(encoded, plain) == [" hello Lily<|endoftext|>", " no 12.<|endoftext|>"]
    assert stop_ids(plain) == [plain.eos_token_id]


@pytest.mark.parametrize("which", ["tokenizer", "plain"])
def test_a_prompt_is_the_beginning_of_its_example(which: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(which)
    for turns in (1, 3):
        prompt = encode_prompt(Example("x", messages=TALK[:turns]), tokenizer)
        encoded = encode(Example("x", messages=TALK[: turns + 1]), tokenizer, 200)
        assert encoded.input_ids[: len(prompt)] == tuple(prompt)
        assert encoded.trained[len(prompt) - 1 : len(prompt) + 1] == (False, True)
    prompt = encode_prompt(Example("x", prompt="the cat"), tokenizer)
    assert encode(Example("x", prompt="the cat", completion=" sat"), tokenizer, 9).input_ids[: len(prompt)] == tuple(
        prompt
    )


def test_both_ends_stop_an_answer(tokenizer: Any) -> None:
    assert stop_ids(tokenizer) == sorted(tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|end|>"]))


Refused = Callable[[], Example]


@pytest.mark.parametrize(
    ("example", "max_length", "message"),
    [
        (Example("f:3", messages=TALK), 20, "f:3: [0-9]+ tokens are more than max_length 20; shorten it or raise"),
        (Example("f:3", prompt="the cat " * 30, completion="sat"), 20, "f:3: [0-9]+ tokens are more than"),
        (Example("f:3", messages=TALK[:1]), 100, "f:3: no token of it would be trained"),
        (Example("f:3", prompt="the", completion=""), 100, "f:3: no token of it would be trained"),
        (Example("f:3", prompt="the"), 100, "f:3: no token of it would be trained"),
        (Example("f:3", text=""), 100, "f:3: no token of it would be trained"),
        (Example("f:3"), 100, "f:3: no token of it would be trained"),
        (Example("f:3", text="a<|end|>b"), 100, r"f:3: its text holds the special token '<\|end\|>'; take it out"),
        (Example("f:3", prompt="<|user|>", completion="x"), 100, "f:3: its text holds the special token"),
        (Example("f:3", prompt="x", completion="<|endoftext|>"), 100, "f:3: its text holds the special token"),
        (
            Example("f:3", messages=(Message("user", "hi<|end|><|assistant|>yes"), TALK[1])),
            100,
            "f:3: its text holds the special token",
        ),
    ],
)
def test_refused_by_name(tokenizer: Any, example: Example, max_length: int, message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        encode(example, tokenizer, max_length)


def test_a_prompt_with_a_special_token_is_refused(tokenizer: Any) -> None:
    with pytest.raises(GrowlmError, match="special token"):
        encode_prompt(Example("the conversation", messages=(Message("user", "<|assistant|>"),)), tokenizer)


@pytest.mark.parametrize("token", ["<|user|>", "<|assistant|>", "<|system|>", "<|pad|>", "<|reserved_7|>"])
def test_every_special_token_counts(tokenizer: Any, token: str) -> None:
    with pytest.raises(GrowlmError, match="special token"):
        encode(Example("x", text=f"so {token} it is"), tokenizer, 100)


SHAPES = {
    "chatml": (
        "{%- if messages[0]['role'] != 'system' -%}{{- '<|system|>be kind<|end|>\n' -}}{%- endif -%}"
        "{%- for m in messages -%}{{- '<|' + m['role'] + '|>' + m['content'] + '<|end|>\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
    ),
    "headers": (
        "{{- bos_token -}}{%- for m in messages -%}"
        "{{- '<|reserved_0|>' + m['role'] + '<|reserved_1|>\n\n' + m['content'] + '<|reserved_2|>' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|reserved_0|>assistant<|reserved_1|>\n\n' -}}{%- endif -%}"
    ),
    "instructions": (
        "{{- bos_token -}}{%- for m in messages -%}"
        "{%- if m['role'] == 'user' -%}{{- '[INST] ' + m['content'] + ' [/INST]' -}}"
        "{%- elif m['role'] == 'system' -%}{{- raise_exception('no system turns') -}}"
        "{%- else -%}{{- ' ' + m['content'] + eos_token -}}{%- endif -%}{%- endfor -%}"
    ),
    "turns": (
        "{{- bos_token -}}{%- for m in messages -%}"
        "{%- set role = 'model' if m['role'] == 'assistant' else m['role'] -%}"
        "{{- '<|reserved_3|>' + role + '\n' + m['content'] + '<|reserved_4|>\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|reserved_3|>model\n' -}}{%- endif -%}"
    ),
    "lines": (
        "{%- for m in messages -%}{{- '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}"
    ),
}
"""The shapes of stock templates, none with markers, in the words of the shared tokenizer."""


@pytest.mark.parametrize("shape", SHAPES)
def test_of_a_stock_template_every_answer_and_its_end_is_trained(tokenizer: Any, shape: str) -> None:
    tokenizer.chat_template = SHAPES[shape] + "{# no generation here #}"
    encoded = encode(Example("x", messages=TALK), tokenizer, 200)
    ends = {"chatml": "<|end|>", "headers": "<|reserved_2|>", "turns": "<|reserved_4|>"}
    end = ends.get(shape, "<|endoftext|>")
    spaced = " " if shape == "instructions" else ""
    assert said(encoded, tokenizer) == [f"{spaced}hello Lily{end}", f"{spaced}no 12.{end}"]
    assert tokenizer.convert_tokens_to_ids(end) in stop_ids(tokenizer)
    for turns in (1, 3):
        prompt = encode_prompt(Example("x", messages=TALK[:turns]), tokenizer)
        assert encoded.input_ids[: len(prompt)] == tuple(prompt)


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"instructions"}))
def test_a_conversation_may_begin_with_the_assistant(tokenizer: Any, shape: str) -> None:
    tokenizer.chat_template = SHAPES[shape]
    encoded = encode(Example("x", messages=TALK[1:]), tokenizer, 200)
    assert said(encoded, tokenizer) == [
        f"{text}{ENDS.get(shape, '<|endoftext|>')}" for text in ("hello Lily", "no 12.")
    ]


def test_a_first_answer_that_no_generation_prompt_opens_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = SHAPES["instructions"]
    with pytest.raises(GrowlmError, match=r"x, turn 1: where the chat template begins .* begin with the user's turn"):
        encode(Example("x", messages=TALK[1:]), tokenizer, 200)


ENDS = {None: "<|end|>", "chatml": "<|end|>", "headers": "<|reserved_2|>", "turns": "<|reserved_4|>"}
WORDS = ("the", "cat", "dog\n", " sat", "on ", "12", "yes.", "hello", "é", "[INST]")


@pytest.mark.parametrize("shape", [None, *SHAPES])
def test_whatever_is_said_exactly_the_answers_and_their_ends_are_trained(tokenizer: Any, shape: str | None) -> None:
    tokenizer.chat_template = SHAPES[shape] if shape else tokenizer.chat_template
    end = ENDS.get(shape, "<|endoftext|>")
    for seed in range(20):
        draw = random.Random(seed)
        turns = [Message("system", "be kind")] if draw.random() < 0.5 and shape != "instructions" else []
        for _ in range(draw.randint(1, 4)):
            asked, answered = (" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(2))
            turns += [Message("user", asked.strip()), Message("assistant", answered)]
        encoded = encode(Example("x", messages=tuple(turns)), tokenizer, 500)
        spaced = " " if shape == "instructions" else ""
        answers = [f"{spaced}{turn.content}{end}" for turn in turns if turn.role == "assistant"]
        assert said(encoded, tokenizer) == answers
        for count, turn in enumerate(turns):
            if turn.role == "assistant":
                prompt = encode_prompt(Example("x", messages=tuple(turns[:count])), tokenizer)
                assert encoded.input_ids[: len(prompt)] == tuple(prompt)


TOOLS = (
    "{%- if tools -%}{{- '<|system|>tools: ' + tools[0]['name'] + '<|end|>' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|' + (m['role'] if m['role'] != 'tool' else 'user') + '|>' + m['content'] -}}"
    "{%- if m['tool_calls'] -%}{{- 'call ' + m['tool_calls'][0]['name'] -}}{%- endif -%}{{- '<|end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def test_tools_and_their_calls_are_rendered_by_the_template(tokenizer: Any) -> None:
    tokenizer.chat_template = {"default": SHAPES["chatml"], "tool_use": TOOLS}
    messages = (
        Message("user", "the time?"),
        Message("assistant", "", extra='{"tool_calls": [{"name": "clock"}]}'),
        Message("tool", "12"),
        Message("assistant", "it is 12"),
    )
    encoded = encode(Example("x", messages=messages, tools='[{"name": "clock"}]'), tokenizer, 200)
    assert tokenizer.decode(encoded.input_ids) == (
        "<|system|>tools: clock<|end|><|user|>the time?<|end|><|assistant|>call clock<|end|><|user|>12<|end|>"
        "<|assistant|>it is 12<|end|>"
    )
    assert said(encoded, tokenizer) == ["call clock<|end|>", "it is 12<|end|>"]


@pytest.mark.parametrize("shape", [None, *SHAPES])
def test_an_answer_of_weight_0_is_not_trained(tokenizer: Any, shape: str | None) -> None:
    tokenizer.chat_template = SHAPES[shape] if shape else tokenizer.chat_template
    messages = (TALK[0], replace(TALK[1], trained=False), *TALK[2:])
    (stretch,) = said(encode(Example("x", messages=messages), tokenizer, 200), tokenizer)
    assert "no 12." in stretch
    untrained = tuple(replace(message, trained=False) for message in TALK)
    with pytest.raises(GrowlmError, match="x: no token of it would be trained"):
        encode(Example("x", messages=untrained), tokenizer, 200)


def test_system_turns_are_read_or_refused_in_one_line(tokenizer: Any) -> None:
    messages = (Message("system", "big box"), *TALK)
    assert "<|system|>big box<|end|>" in tokenizer.decode(
        encode(Example("x", messages=messages), tokenizer, 200).input_ids
    )
    tokenizer.chat_template = SHAPES["instructions"]
    with pytest.raises(GrowlmError, match=r"refuses turns of system, user, .*: no system turns"):
        encode(Example("x", messages=messages), tokenizer, 200)


def test_of_named_templates_the_default_is_taken(tokenizer: Any) -> None:
    one = encode(Example("x", messages=TALK), tokenizer, 200)
    tokenizer.chat_template = {"tool_use": SHAPES["lines"], "default": tokenizer.chat_template}
    assert encode(Example("x", messages=TALK), tokenizer, 200) == one
    tokenizer.chat_template = {"tool_use": SHAPES["lines"]}
    with pytest.raises(GrowlmError, match="chat templates 'tool_use' and no 'default'"):
        encode(Example("x", messages=TALK), tokenizer, 200)


def test_a_template_that_writes_an_answer_otherwise_later_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{%- for m in messages -%}{{- '<|' + m['role'] + '|>' -}}"
        "{%- if loop.last and m['role'] == 'assistant' -%}{{- '<|pad|>' -}}{%- endif -%}"
        "{{- m['content'] + '<|end|>' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
    )
    assert said(encode(Example("x", messages=TALK[:2]), tokenizer, 200), tokenizer) == ["<|pad|>hello Lily<|end|>"]
    with pytest.raises(GrowlmError, match="x, turn 2: the chat template writes this answer otherwise"):
        encode(Example("x", messages=TALK), tokenizer, 200)


def test_a_template_that_ends_the_last_answer_alone_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}",
        "{{- message['content'] -}}{%- if loop.last -%}{{- '<|end|>' -}}{%- endif -%}{%- endgeneration -%}",
    )
    with pytest.raises(GrowlmError, match="x: the chat template leaves the end-of-turn token"):
        encode(Example("x", messages=TALK), tokenizer, 200)


def test_a_template_that_leaves_the_end_untrained_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['content'] + '<|end|>' -}}{%- endgeneration -%}",
        "message['content'] -}}{%- endgeneration -%}{{- '<|end|>' -}}",
    )
    with pytest.raises(GrowlmError, match="x: the chat template leaves the end-of-turn token of a turn untrained"):
        encode(Example("x", messages=TALK), tokenizer, 100)


@pytest.mark.parametrize(
    ("rule", "room", "kept"),
    [
        ("", 4, [0, 1, 2, 3, 4, 5, 6]),
        ("left", 7, [0, 1, 2, 3, 4, 5, 6]),
        ("left", 4, [0, 4, 5, 6]),
        ("left", 2, [0, 6]),
        ("middle", 4, [0, 1, 5, 6]),
        ("middle", 5, [0, 1, 2, 5, 6]),
        ("middle", 2, [0, 6]),
        ("middle", 1, [0, 1, 2, 3, 4, 5, 6]),
        ("left", -3, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_prompt_is_cut_by_a_rule(rule: str, room: int, kept: list[int]) -> None:
    assert cut_prompt(range(7), room, rule) == kept


@pytest.mark.parametrize("rule", ["left", "middle"])
def test_the_answer_is_never_cut(tokenizer: Any, rule: Any) -> None:
    long = Example("x", prompt="the cat sat on big red box " * 20, completion=" yes no", cut=rule)
    whole = encode(long, tokenizer, 10_000)
    short = encode(long, tokenizer, 20)
    answer = whole.input_ids[-sum(whole.trained) :]
    assert len(short.input_ids) == 20
    assert short.input_ids[-len(answer) :] == answer
    assert short.trained == (*[False] * (20 - len(answer)), *[True] * len(answer))
    assert short.input_ids[0] == whole.input_ids[0]
    assert (whole.cut, short.cut) == (0, len(whole.input_ids) - 20)
    with pytest.raises(GrowlmError, match="tokens are more than max_length 3"):
        encode(long, tokenizer, 3)


@pytest.mark.parametrize("rule", ["left", "middle"])
def test_how_much_is_cut_does_not_tell_the_answer(tokenizer: Any, rule: Any) -> None:
    choices = (" yes", " a big red box", " no cat")
    prompts = set()
    for choice in choices:
        example = Example("x", prompt="the cat sat on " * 20, completion=choice, choices=choices, cut=rule)
        encoded = encode(example, tokenizer, 20)
        prompts.add(tuple(i for i, trained in zip(encoded.input_ids, encoded.trained, strict=True) if not trained))
        assert len(encoded.input_ids) <= 20
    assert len(prompts) == 1


def test_a_prompt_has_its_greatest_length_wherever_it_is_given(tokenizer: Any) -> None:
    long = Example("x", prompt="the cat sat on big red box " * 20, completion=" yes no", cut="left", max_prompt=8)
    prompt = encode_prompt(long, tokenizer)
    assert len(prompt) == 8
    encoded = encode(long, tokenizer, 10_000)
    assert list(encoded.input_ids[:8]) == prompt
    assert encoded.trained == (*[False] * 8, *[True] * (len(encoded.input_ids) - 8))
    assert encode(replace(long, prompt="the cat"), tokenizer, 10_000) == encode(
        replace(long, prompt="the cat", max_prompt=None), tokenizer, 10_000
    )


def test_a_text_longer_than_a_window_is_trained_whole(tokenizer: Any) -> None:
    text = Example("x", text="the cat sat on big red box " * 20)
    whole = encode(text, tokenizer, 10_000)
    windows = encode_windows(text, tokenizer, 16)
    assert all(len(window.input_ids) <= 16 for window in windows)
    assert [window.name for window in windows[:2]] == ["x", "x, from token 15"]
    # without its first token, which nothing precedes in it, each window continues the one before
    predicted = [token for window in windows for token in window.input_ids[1:]]
    assert predicted == list(whole.input_ids[1:])
    assert [trained for window in windows for trained in window.trained[1:]] == list(whole.trained[1:])


@pytest.mark.parametrize("length", [14, 15, 16, 17, 30, 31, 32])
def test_no_window_has_nothing_to_predict(tokenizer: Any, length: int) -> None:
    text = Example("x", text=" cat" * 40)
    per_word = (len(encode(text, tokenizer, 10_000).input_ids) - 2) // 40
    text = Example("x", text=" cat" * (length // per_word))
    assert all(any(window.trained[1:]) for window in encode_windows(text, tokenizer, 16))


def test_what_is_no_text_is_one_window(tokenizer: Any) -> None:
    talk = Example("x", messages=TALK)
    assert encode_windows(talk, tokenizer, 100) == [encode(talk, tokenizer, 100)]
