"""Prompts of a skill: what precedes its answers, as the model gets it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from growlm.base.load import load_tokenizer
from growlm.data.encode import encode_prompt
from growlm.data.example import Example, Message, Split
from growlm.routing.prompts import drawn_prompts, prompts_before_answers, turn_frame
from growlm.skills.skill import Skill

TALK = (Message("user", "hello"), Message("assistant", "yes"), Message("user", "the cat"), Message("assistant", "no"))


class Fixed(Skill):
    metric = "loss"

    def __init__(self, *examples: Example) -> None:
        self.all = examples

    def examples(self, split: Split) -> Iterator[Example]:
        return iter(self.all)


@pytest.fixture
def tokenizer(tiny_bases: dict[str, Path]) -> Any:
    return load_tokenizer(tiny_bases["llama"])


def test_a_conversation_has_a_prompt_before_each_answer():
    prompts = list(prompts_before_answers(Example("x", messages=TALK)))
    assert [prompt.messages for prompt in prompts] == [TALK[:1], TALK[:3]]
    assert list(prompts_before_answers(Example("x", prompt="one", completion="two"))) == [Example("x", prompt="one")]
    assert list(prompts_before_answers(Example("x", text="the cat"))) == [Example("x", prompt="the cat")]
    assert list(prompts_before_answers(Example("x", messages=TALK[1:2]))) == []


def test_turns_are_drawn_in_turn_as_the_model_gets_them(tokenizer: Any):
    skill = Fixed(*[Example("x", messages=TALK)] * 4)
    turns = [encode_prompt(Example("x", messages=TALK[:end]), tokenizer) for end in (1, 3, 1)]
    assert drawn_prompts(skill, "train", tokenizer, 3) == turns


def test_of_a_text_beginnings_of_many_lengths_are_drawn(tokenizer: Any):
    skill = Fixed(*[Example(f"x/{number}", text="the cat sat on the big red box " * 8) for number in range(40)])
    whole = encode_prompt(Example("x", prompt="the cat sat on the big red box " * 8), tokenizer)
    drawn = drawn_prompts(skill, "train", tokenizer, 40)
    assert drawn == drawn_prompts(skill, "train", tokenizer, 40)
    assert all(ids == whole[: len(ids)] and ids for ids in drawn)
    assert len({len(ids) for ids in drawn}) > 5


def test_changed_copies_come_after_their_prompt(tokenizer: Any):
    skill = Fixed(Example("x", messages=(Message("user", "The cat sat. The dog ran."), Message("assistant", "yes"))))

    def said(text: str) -> list[int]:
        return encode_prompt(Example("x", messages=(Message("user", text),)), tokenizer)

    texts = ("The cat sat. The dog ran.", "The dog ran.", "the cat sat. the dog ran")
    *drawn, among = drawn_prompts(skill, "train", tokenizer, 1, augment=True)
    assert drawn == [said(text) for text in texts]
    assert len(among) > len(drawn[0])
    assert drawn_prompts(skill, "train", tokenizer, 1) == [said(texts[0])]


def test_of_a_changed_text_a_beginning_is_drawn(tokenizer: Any):
    story = "Tom sat. The cat ran. The dog sat. The cat ran."
    whole, small = (
        encode_prompt(Example("x", prompt=text), tokenizer) for text in (story, story.lower().removesuffix("."))
    )
    for number in range(20):
        text, later, letters = drawn_prompts(
            Fixed(Example(f"x/{number}", text=story)), "train", tokenizer, 1, augment=True
        )
        assert text == whole[: len(text)]
        assert letters == small[: len(letters)]
        assert later[0] == whole[0]


def test_a_copy_that_would_hold_a_special_token_is_left_out(tokenizer: Any):
    special = tokenizer.eos_token
    assert special.upper() != special
    skill = Fixed(Example("x", prompt=f"the cat {special.upper()}", completion=" yes"))
    assert len(drawn_prompts(skill, "train", tokenizer, 1, augment=True)) == 2, "it and it among other words"


@pytest.mark.parametrize("template", ["own", "plain"])
def test_the_last_turn_is_what_it_would_be_alone(tokenizer: Any, template: str):
    if template == "plain":
        tokenizer.chat_template = None
    frame = turn_frame(tokenizer)
    assert frame.between
    alone = encode_prompt(Example("x", messages=(Message("user", "the cat"),)), tokenizer)
    for before in (TALK[:0], TALK[:2], TALK):
        whole = encode_prompt(Example("x", messages=(*before, Message("user", "the cat"))), tokenizer)
        assert list(frame.last_turn(whole)) == alone
    text = encode_prompt(Example("x", prompt="the cat sat"), tokenizer)
    assert frame.last_turn(text) == text


def test_turns_that_no_special_token_parts_are_left_together(tokenizer: Any):
    """What the user says could look like the beginning of another turn."""
    tokenizer.chat_template = (
        "{%- for message in messages -%}"
        "{%- if message['role'] == 'assistant' -%}{%- generation -%}A {{ message['content'] }}{%- endgeneration -%}"
        "{%- else -%}U {{ message['content'] }} {%- endif -%}{%- endfor -%}"
    )
    whole = encode_prompt(Example("x", messages=TALK[:3]), tokenizer)
    assert turn_frame(tokenizer).last_turn(whole) == whole


def test_a_template_that_trains_nothing_has_no_frame(tokenizer: Any):
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    assert turn_frame(tokenizer).last_turn([1, 2, 3]) == [1, 2, 3]


class Long(Skill):
    """A skill whose prompts are longer than the model is given."""

    metric = "exact_match"

    def examples(self, split: Split) -> Iterator[Example]:
        yield Example(
            "x", prompt="the cat sat on " * 20, completion=" yes", choices=(" yes",), cut="left", max_prompt=9
        )


def test_a_router_learns_from_the_whole_of_a_prompt_that_the_model_is_given_the_end_of(tokenizer: Any) -> None:
    (long,) = Long().examples("train")
    (before,) = prompts_before_answers(long)
    assert (before.prompt, before.completion, before.max_prompt) == (long.prompt, None, 9)
    assert len(encode_prompt(before, tokenizer)) == 9
    (drawn,) = drawn_prompts(Long(), "train", tokenizer, 10)
    assert len(drawn) > 60
    assert drawn[-8:] == encode_prompt(before, tokenizer)[-8:]
