"""Scoring: what counts as right, and scores that a hand computation confirms."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from growlm.data.encode import Encoded, encode, encode_prompt
from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError
from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.metrics.candidates import choose_answers
from growlm.metrics.scoring import (
    generate_answers,
    score,
    token_sums,
)
from growlm.skills.skill import Skill

NewStack = Callable[..., Any]
WORDS = ["the", "cat", "dog", "sat", "ran", "on", "in", "big", "red", "box", "park"]


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("The cat sat.", [["cat"]], True),
        ("The CAT sat.", [["cat"]], True),
        ("The cat sat.", [["Cat"]], True),
        ("The cats sat.", [["cat"]], False),
        ("concatenate", [["cat"]], False),
        ("cat", [["cat"]], True),
        ("'cat'", [["cat"]], True),
        ("The red cat sat.", [["red cat"]], True),
        ("The red, cat sat.", [["red cat"]], False),
        ("The dog sat.", [["cat", "dog"]], True),
        ("The dog sat.", [["cat"], ["dog"]], False),
        ("The dog saw a cat.", [["cat"], ["dog"]], True),
        ("", [["cat"]], False),
        ("anything", [], True),
        ("anything", [[]], False),
        ("It costs 3.5 now", [["3.5"]], True),
        ("It costs 305 now", [["3.5"]], False),
        ("12", [["2"]], False),
        ("3 + 4 = 7.5", [["7"]], False),
        ("3 + 4 = 7,000", [["7"]], False),
        ("It is 7.", [["7"]], True),
    ],
)
def test_contains_whole_words_in_any_case(answer: str, expected: list[list[str]], right: bool) -> None:
    message = Message("assistant", "", tuple(map(tuple, expected)))
    assert message.accepts(answer) is right


def answer_loss(stack: Any, given: list[Example]) -> float:
    return token_sums(stack, [encode(example, stack.tokenizer, stack.context_length) for example in given]).loss


def examples(count: int) -> list[Example]:
    draw = random.Random(0)
    return [
        Example(f"x:{number}", prompt=" ".join(draw.choices(WORDS, k=draw.randint(1, 9))), completion=" cat sat")
        for number in range(count)
    ]


class Fixed(Skill):
    """A skill of given examples."""

    max_answer_tokens = 6

    def __init__(self, metric: str, given: list[Example]) -> None:
        self.metric = metric  # type: ignore[assignment]
        self.given = given

    def examples(self, split: Split) -> Iterator[Example]:
        return iter(self.given if split == "test" else [])


def by_hand(stack: Any, example: Example) -> list[float]:
    """Compute the losses of an example's trained tokens from the logits of a pass of its own."""
    encoded = encode(example, stack.tokenizer, 256)
    logits = stack(torch.tensor([encoded.input_ids])).logits[0].double()
    chances = logits.log_softmax(-1)
    return [
        -chances[position - 1, token].item()
        for position, (token, trained) in enumerate(zip(encoded.input_ids, encoded.trained, strict=True))
        if trained
    ]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neo", "gpt_neox"])
def test_the_loss_is_that_of_a_hand_computation(new_stack: NewStack, family: str) -> None:
    stack = new_stack(family)
    given = [*examples(7), Example("m", messages=(Message("user", "hello"), Message("assistant", "yes")))]
    losses = [loss for example in given for loss in by_hand(stack, example)]
    assert answer_loss(stack, given) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    with stack.active():
        assert answer_loss(stack, given) != pytest.approx(sum(losses) / len(losses), rel=1e-3)


def test_an_answer_is_what_greedy_decoding_says(new_stack: NewStack) -> None:
    stack = new_stack()
    prompt = Example("x", prompt="the cat")
    ids = encode_prompt(prompt, stack.tokenizer)
    begin = len(ids)
    for _ in range(12):
        ids.append(stack(torch.tensor([ids])).logits[0, -1].argmax().item())
    expected = stack.tokenizer.decode(ids[begin:], skip_special_tokens=True).strip()
    assert generate_answers(stack, [prompt], max_new_tokens=12) == [expected]


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gpt_neo", "gpt_neox"])
def test_answers_do_not_depend_on_their_neighbours(new_stack: NewStack, family: str) -> None:
    stack = new_stack(family)
    prompts = [Example(example.name, prompt=example.prompt) for example in examples(9)]
    together = generate_answers(stack, prompts, max_new_tokens=10)
    alone = [generate_answers(stack, [prompt], max_new_tokens=10)[0] for prompt in prompts]
    assert together == alone
    order = random.Random(1).sample(range(9), 9)
    shuffled = generate_answers(stack, [prompts[index] for index in order], max_new_tokens=10)
    assert shuffled == [together[index] for index in order]
    assert len(set(together)) > 1


def test_batches_are_counted(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("growlm.metrics.scoring._BATCH", 4)
    got = []
    prompts = [Example(example.name, prompt=example.prompt) for example in examples(9)]
    answers = generate_answers(new_stack(), prompts, 4, lambda done, total: got.append((done, total)))
    assert got == [(1, 3), (2, 3), (3, 3)]
    assert len(answers) == 9


def test_no_question_no_answer(new_stack: NewStack) -> None:
    assert generate_answers(new_stack(), []) == []


def test_exact_match(new_stack: NewStack) -> None:
    stack = new_stack()
    prompts = examples(4)
    asked = [Example(example.name, prompt=example.prompt) for example in prompts]
    answers = generate_answers(stack, asked, Fixed.max_answer_tokens)
    given = [
        Example(example.name, prompt=example.prompt, completion=f" {answer} " if number < 3 else "the cat")
        for number, (example, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
    result = score(stack, Fixed("exact_match", given))
    assert (result.metric, result.value, result.count) == ("exact_match", 0.75, 4)
    assert result.loss == pytest.approx(answer_loss(stack, given))
    assert score(stack, Fixed("exact_match", given), limit=2).value == 1.0


def test_contains_scores_every_expected_reply(new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = new_stack()
    asked = []

    def answer(stack: Any, prompts: list[Example], *rest: Any) -> list[str]:
        asked.extend(prompts)
        return ["the cat sat", "dog", "nothing"]

    monkeypatch.setattr("growlm.metrics.scoring.generate_answers", answer)
    talk = (
        Message("user", "hello"),
        Message("assistant", "the cat", expected=(("cat",),)),
        Message("user", "yes"),
        Message("assistant", "no"),  # not scored
        Message("user", "Tom"),
        Message("assistant", "dog", expected=(("cat", "dog"),)),
    )
    other = (Message("user", "no"), Message("assistant", "Lily", expected=(("Lily",),)))
    result = score(stack, Fixed("contains", [Example("a", messages=talk), Example("b", messages=other)]))
    assert (result.metric, result.count) == ("contains", 3)
    assert result.value == pytest.approx(2 / 3)
    assert [example.messages for example in asked] == [talk[:1], talk[:5], other[:1]]


def test_bits_per_byte_and_loss(new_stack: NewStack) -> None:
    stack = new_stack()
    texts = [Example(f"t:{number}", text=" ".join(WORDS[number:])) for number in range(5)]
    result = score(stack, Fixed("bits_per_byte", texts))
    assert result.value == bits_per_byte(stack, stack.tokenizer, [example.text or "" for example in texts])
    assert result.count == 5
    result = score(stack, Fixed("loss", texts), limit=3)
    assert result.value == result.loss == answer_loss(stack, texts[:3])
    assert result.count == 3


def test_the_same_digits_again(new_stack: NewStack) -> None:
    stack = new_stack()
    skill = Fixed("exact_match", examples(5))
    assert score(stack, skill) == score(stack, skill)


@pytest.mark.parametrize("metric", ["contains", "exact_match", "loss", "bits_per_byte"])
def test_nothing_to_score_is_said(new_stack: NewStack, metric: str) -> None:
    with pytest.raises(GrowlmError, match="nothing to score"):
        score(new_stack(), Fixed(metric, []))


def test_no_scored_reply_is_said(new_stack: NewStack) -> None:
    talk = (Message("user", "hello"), Message("assistant", "hello"))
    with pytest.raises(GrowlmError, match="nothing to score"):
        score(new_stack(), Fixed("contains", [Example("a", messages=talk)]))


def test_context_and_padding(new_stack: NewStack) -> None:
    stack = new_stack()
    assert stack.context_length == 256
    assert stack.tokenizer.decode([stack.pad_id]) == "<|pad|>"
    stack.tokenizer.pad_token = None
    assert stack.tokenizer.decode([stack.pad_id]) == "<|endoftext|>"


def test_a_prompt_that_fills_the_context_keeps_its_end(new_stack: NewStack) -> None:
    stack = new_stack()
    long = Example("x", prompt=" ".join(random.Random(0).choices(WORDS, k=400)))
    kept = encode_prompt(long, stack.tokenizer)[-246:]
    output = stack.generate(
        torch.tensor([kept]), max_new_tokens=10, do_sample=False, eos_token_id=[0, 4], pad_token_id=5
    )
    expected = stack.tokenizer.decode(output[0, 246:].tolist(), skip_special_tokens=True).strip()
    assert generate_answers(stack, [long], max_new_tokens=10) == [expected]


def test_token_accuracy_counts_the_likeliest_tokens(new_stack: NewStack) -> None:
    stack = new_stack()
    given = examples(5)
    right = total = 0
    for example in given:  # one at a time, unbatched
        encoded = encode(example, stack.tokenizer, 256)
        likeliest = stack(torch.tensor([encoded.input_ids])).logits[0].argmax(-1).tolist()
        got = [t for t in range(1, len(encoded.input_ids)) if encoded.trained[t]]
        right += sum(likeliest[t - 1] == encoded.input_ids[t] for t in got)
        total += len(got)
    answering = Fixed("exact_match", given)
    found = score(stack, answering.scored_by("token_accuracy"))
    assert (found.metric, found.value, found.count, found.scoring) == (
        "token_accuracy",
        right / total,
        5,
        "likelihood",
    )
    assert answering.metric == "exact_match"
    # a model is right about nearly nothing that was drawn at random, and about all that it would say itself
    assert found.value < 0.5
    prompt = encode(examples(1)[0], stack.tokenizer, 256)
    own = stack.generate(torch.tensor([prompt.input_ids]), max_new_tokens=4, do_sample=False, eos_token_id=None)
    ids = tuple(own[0].tolist())
    mask = (*[False] * len(prompt.input_ids), *[True] * 4)
    assert token_sums(stack, [Encoded("own", ids, mask)]).accuracy == 1


class Choosing(Fixed):
    """A skill that is scored by its examples' choices."""

    def __init__(self, given: list[Example], scoring: str) -> None:
        super().__init__("label_match", given)
        self.scoring = scoring  # type: ignore[assignment]


CHOICES = (" cat", " big red box park", " dog sat", " no")


@pytest.mark.parametrize("scoring", ["candidates", "candidates_per_token"])
def test_candidates_are_chosen_by_their_likelihood(new_stack: NewStack, scoring: str):
    stack = new_stack()
    prompts = ["the cat sat on", "yes the", "Tom said hello", "1 2"]
    likeliest = []
    for prompt in prompts:
        nats = {}
        for choice in CHOICES:  # one at a time, unbatched
            encoded = encode(Example("x", prompt=prompt, completion=choice), stack.tokenizer, 256)
            sums = token_sums(stack, [encoded])
            nats[choice] = sums.loss if scoring == "candidates_per_token" else sums.nats
        likeliest.append(min(nats, key=lambda choice: nats[choice]))
    given = [
        Example(f"x:{number}", prompt=prompt, completion=(right if number else " none").upper(), choices=CHOICES)
        for number, (prompt, right) in enumerate(zip(prompts, likeliest, strict=True))
    ]
    result = score(stack, Choosing(given, scoring))
    assert (result.value, result.count, result.scoring) == (3 / 4, 4, scoring)


def test_per_token_is_another_choice(new_stack: NewStack):
    stack = new_stack()
    given = [Example(f"x:{number}", prompt=f"the {number} cat", choices=CHOICES) for number in range(8)]
    answers = [choose_answers(stack, given, per_token) for per_token in (False, True)]
    assert answers[0] != answers[1]
    assert {*answers[0], *answers[1]} <= {choice.strip() for choice in CHOICES}


def test_candidates_need_choices(new_stack: NewStack):
    with pytest.raises(GrowlmError, match="x:0: no choices to score by candidates"):
        score(new_stack(), Choosing(examples(1), "candidates"))


def test_candidates_that_do_not_fit(new_stack: NewStack):
    given = [Example("long", prompt="cat " * 5_000, completion=" cat", choices=(" cat",))]
    with pytest.raises(GrowlmError, match="long: "):
        choose_answers(new_stack(), given, False)


@pytest.mark.parametrize("scoring", ["generation", "candidates"])
def test_a_prompt_that_is_too_long_is_cut_and_counted(new_stack: NewStack, scoring: str):
    stack = new_stack()
    long = " ".join(random.Random(0).choices(WORDS, k=4_000))
    given = [
        Example("x:0", prompt=long, completion=" cat", choices=CHOICES, cut="middle"),
        Example("x:1", prompt="the cat", completion=" cat", choices=CHOICES, cut="middle"),
    ]
    result = score(stack, Choosing(given, scoring))
    assert (result.cut, result.count, result.scoring) == (1, 2, scoring)


def test_generation_sees_what_the_rule_leaves(new_stack: NewStack):
    stack = new_stack()
    long = Example("x", prompt=" ".join(random.Random(0).choices(WORDS, k=4_000)))
    ids = encode_prompt(long, stack.tokenizer)
    room = stack.context_length - 8
    kept = {"left": [ids[0], *ids[-room + 1 :]], "middle": [*ids[: room - room // 2], *ids[-(room // 2) :]]}
    for rule, expected in kept.items():
        generated = stack.generate(
            torch.tensor([expected]), max_new_tokens=8, do_sample=False, pad_token_id=stack.pad_id
        )[0, room:]
        answer = stack.tokenizer.decode(generated, skip_special_tokens=True).strip()
        found = generate_answers(stack, [replace(long, cut=rule)], max_new_tokens=8)[0]  # type: ignore[arg-type]
        assert answer.startswith(found)
        assert found
    assert kept["left"] != kept["middle"]


def test_how_it_was_asked_stands_in_the_score(new_stack: NewStack):
    assert score(new_stack(), Fixed("exact_match", examples(2))).scoring == "generation"
    assert score(new_stack(), Fixed("loss", examples(2))).scoring == "likelihood"


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("The cat is in the park.", True),
        ("the cat is  in the park", True),
        ("It went home. The cat is in the park!", True),
        ("The cat is in the park. Or not.", False),
        ("The cat is in the hill, cave, park.", False),
        ("The cat is in the park, cave.", False),
        ("park", False),
        ("", False),
    ],
)
def test_the_final_answer_is_the_last_clause(reply: str, right: bool) -> None:
    assert Message("assistant", "", (("The cat is in the park",),)).ends_with(reply) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("5 + 2 = 7. 7. Tim ran.", True),
        ("Tim ran. 7.", False),
        ("7.", False),
        ("7. 8. Tim ran.", False),
        ("7. Sue ran. Tim ran.", False),
    ],
)
def test_two_final_answers_come_in_order_and_without_other_choices(reply: str, right: bool) -> None:
    message = Message("assistant", "", (("7",), ("Tim ran",)), ("7. Tim ran", "8. Tim ran", "7. Sue ran"))
    assert message.ends_with(reply) is right


def test_a_reply_that_lists_the_choices_is_not_accepted() -> None:
    message = Message("assistant", "I would take a cat.", (("cat",),), ("dog", "cat"))
    assert message.accepts("A cat!")
    assert not message.accepts("A dog or a cat.")
    assert not message.accepts("cat " * 40)
