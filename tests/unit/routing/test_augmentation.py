"""Changed copies of prompts: which there are, and that they change nothing else."""

import random

import pytest

from growlm.data.example import Example, Message
from growlm.routing._augmentation import among_words, changed_copies, in_small_letters, later_part


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Tom ran. Sue sat! Who ran?", {"Sue sat! Who ran?", "Who ran?"}),
        ("a = 1\nif a:\n    print(a)", {"if a:\n    print(a)", "print(a)"}),
        ("猫がいる。犬がいる。どこ。", {"犬がいる。どこ。", "どこ。"}),
        ("1.5 + 2 is what?", {""}),
        ("Hello! ", {""}),
        ("... Hello", {"Hello"}),
        ("\nHello", {""}),
        ("Hello", {""}),
        ("", {""}),
    ],
)
def test_a_later_part_begins_with_a_sentence_or_line(text: str, parts: set[str]):
    assert {later_part(text, random.Random(seed)) for seed in range(40)} == parts


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("Who ran? Tom RAN?!", "who ran? tom ran"),
        ("Hi. ", "hi"),
        ("ÄRGER", "ärger"),
        ("どこ\uff1f", "どこ"),
        ("?!", ""),
    ],
)
def test_small_letters_have_no_punctuation_at_the_end(text: str, small: str):
    assert in_small_letters(text) == small


def test_other_words_are_put_around_a_text():
    texts = {among_words("{} + 1", random.Random(seed)) for seed in range(100)}
    assert len(texts) == 7
    assert {"Please {} + 1", "{} + 1 Thank you!"} < texts


def test_the_last_turn_of_the_user_alone_is_changed():
    before = (Message("system", "Be Kind. Be short."), Message("user", "Hi. You."), Message("assistant", "Yes."))
    example = Example("x", messages=(*before, Message("user", "A cat. A dog.")))
    copies = list(changed_copies(example))
    assert [copy.messages[:-1] for copy in copies] == [before, before, before]
    assert [copy.messages[-1] for copy in copies[:2]] == [Message("user", "A dog."), Message("user", "a cat. a dog")]
    assert "A cat. A dog." in copies[2].messages[-1].content
    assert list(changed_copies(Example("x", messages=before[:1]))) == []


def test_a_prompt_keeps_all_but_its_text():
    example = Example("x", prompt="A cat. A dog.", choices=("a",), cut="left", max_prompt=9)
    copies = list(changed_copies(example, surround=False))
    assert copies == [
        Example("x", prompt=text, choices=("a",), cut="left", max_prompt=9) for text in ("A dog.", "a cat. a dog")
    ]


@pytest.mark.parametrize(("text", "number"), [("cat", 1), ("Cat", 2), ("Cat?", 2), ("?", 1), ("", 0), ("a. b", 2)])
def test_a_copy_that_would_be_the_same_or_empty_is_left_out(text: str, number: int):
    assert len(list(changed_copies(Example("x", prompt=text)))) == number


def test_copies_are_a_function_of_the_example():
    text = " ".join(f"Sentence {number}." for number in range(50))
    drawn = {name: [copy.prompt for copy in changed_copies(Example(name, prompt=text))] for name in "abcdefgh"}
    assert drawn == {name: [copy.prompt for copy in changed_copies(Example(name, prompt=text))] for name in "abcdefgh"}
    assert len({copies[0] for copies in drawn.values()}) > 1
