"""The mode ``routed``: the oracle's digits where the router is right, the chosen path's where it is not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from growlm.data.encode import encode, encode_prompt
from growlm.data.example import Example, Message, Split
from growlm.errors import GrowlmError
from growlm.manifest.path import Path
from growlm.metrics import routed
from growlm.metrics.routed import find_turns, routed_score
from growlm.metrics.scoring import Score, TokenSums, generate_answers, score, token_sums
from growlm.skills.skill import Skill

TALK = (Message("user", "the cat sat"), Message("assistant", "hello Tom", (("cat",),)),
        Message("user", "the dog"), Message("assistant", "yes", (("dog",),)))  # fmt: skip
TALKS = [Example("one", messages=TALK), Example("two", messages=TALK[:2]), Example("three", messages=TALK[2:])]
TEXTS = [Example(f"text {number}", text=f"the cat sat on {number} red box") for number in range(5)]


class Fixed(Skill):
    max_answer_tokens = 8

    def __init__(self, metric: Any, examples: Sequence[Example]) -> None:
        self.metric = metric
        self.all = examples

    def examples(self, split: Split) -> Iterator[Example]:
        return iter(self.all)


class Given:
    """A router that is given what to choose, by the prompt."""

    name = "given"

    def __init__(self, choice: Callable[[Sequence[int]], Path]) -> None:
        self.choice = choice

    def choose(self, stack: Any, prompts: Sequence[Sequence[int]]) -> list[Path]:
        return [self.choice(prompt) for prompt in prompts]


@pytest.mark.parametrize(
    "skill", [Fixed("contains", TALKS), Fixed("loss", TALKS), Fixed("bits_per_byte", TEXTS)], ids=lambda s: s.metric
)
def test_a_right_router_scores_what_the_oracle_does(new_stack: Any, skill: Skill):
    stack = new_stack(modules=("first", "second"))
    stack.router = Given(lambda prompt: ("first",))
    with stack.active("first"):
        oracle = score(stack, skill)
    found = routed_score(stack, skill, ("first",))
    assert (found.metric, found.value, found.loss, found.count) == (
        oracle.metric, oracle.value, oracle.loss, oracle.count,
    )  # fmt: skip
    assert found.routing_accuracy == 1
    assert found.paths == {"first": 1}
    assert stack.path == ("first", "second")
    assert routed_score(stack, skill, ("first",), known={("first",): oracle}) == found


def test_a_known_score_is_taken_over_for_its_own_path_only(new_stack: Any):
    stack = new_stack(modules=("first", "second"))
    stack.router = Given(lambda prompt: ("first",))
    known = {path: Score("loss", float(len(path)), 1.0, 3) for path in ((), ("first",))}
    assert routed_score(stack, Fixed("loss", TALKS), (), known=known).value == 1.0
    assert routed_score(stack, Fixed("loss", TALKS), (), known={(): known[()]}).value != 0.0


def test_every_turn_goes_by_its_own_path(new_stack: Any):
    stack = new_stack(modules=("first", "second"))
    short = max(len(encode_prompt(Example("x", messages=TALK[begin : begin + 1]), stack.tokenizer)) for begin in (0, 2))
    stack.router = Given(lambda prompt: () if len(prompt) > short else ("first",))
    found = routed_score(stack, Fixed("loss", TALKS), ("first",))
    assert found.paths == {"first": 0.75, "base": 0.25}
    assert found.routing_accuracy == 0.75
    parts = []
    for path, only in ((("first",), TALK[:2]), ((), None), (("first",), TALK[:2]), (("first",), TALK[2:])):
        with stack.active(*path):
            parts.append(_last_turn(stack) if only is None else _sums(stack, only))
    sums = parts[0] + parts[1] + parts[2] + parts[3]
    assert found.loss == pytest.approx(sums.loss, rel=1e-5)
    by_tokens = routed_score(stack, Fixed("loss", TALKS).scored_by("token_accuracy"), ("first",))
    assert (by_tokens.metric, by_tokens.value, by_tokens.loss) == ("token_accuracy", sums.accuracy, found.loss)


def test_a_prompt_that_is_held_short_is_routed_by_the_whole_of_it(new_stack: Any):
    stack = new_stack(modules=("first", "second"))
    asked = [Example(f"x {n}", prompt="the cat sat " * n, completion=" yes", cut="left", max_prompt=4) for n in (1, 9)]
    skill = Fixed("exact_match", asked)
    seen: list[int] = []

    def choose(prompt: Sequence[int]) -> Path:
        seen.append(len(prompt))
        return ("first",) if len(prompt) > 10 else ()

    stack.router = Given(choose)
    found = routed_score(stack, skill, ("first",))
    assert found.paths == {"base": 0.5, "first": 0.5}
    lengths = [len(encode_prompt(Example("x", prompt=example.prompt), stack.tokenizer)) for example in asked]
    assert seen == lengths, "each prompt is routed once, for its loss and its answer alike"
    parts = []
    for path, example in (((), asked[0]), (("first",), asked[1])):
        with stack.active(*path):
            parts.append(token_sums(stack, [encode(example, stack.tokenizer, 256)]))
    assert found.loss == pytest.approx((parts[0] + parts[1]).loss, rel=1e-5)
    assert routed_score(stack, skill, ("first",), turns=find_turns(stack, skill)) == found


def _sums(stack: Any, messages: tuple[Message, ...]) -> TokenSums:
    return token_sums(stack, [encode(Example("x", messages=messages), stack.tokenizer, 256)])


def _last_turn(stack: Any) -> TokenSums:
    """What the whole conversation adds up to, less its first turn."""
    both, first = _sums(stack, TALK), _sums(stack, TALK[:2])
    return TokenSums(both.nats - first.nats, both.right - first.right, both.count - first.count)


def test_answers_are_those_of_the_chosen_paths(new_stack: Any):
    stack = new_stack(modules=("first", "second"))
    prompts = [Example("x", messages=TALK[:1]), Example("x", messages=TALK[2:3])]
    ids = [encode_prompt(prompt, stack.tokenizer) for prompt in prompts]
    stack.router = Given(lambda prompt: ("first",) if list(prompt) == ids[0] else ())
    with stack.active("first"):
        first = generate_answers(stack, prompts[:1], 8)
    with stack.active():
        second = generate_answers(stack, prompts[1:], 8)
    assert routed._answers(stack, Fixed("contains", TALKS), prompts, {}) == [*first, *second]
    assert routed._answers(stack, Fixed("contains", TALKS), prompts[::-1], {}) == [*second, *first]
    assert routed_score(stack, Fixed("contains", TALKS), None).routing_accuracy is None


def test_texts_go_by_their_beginning(new_stack: Any):
    stack = new_stack()
    seen: list[Sequence[int]] = []
    stack.router = Given(lambda prompt: seen.append(prompt) or (("first",) if len(seen) % 2 else ()))
    long = [Example("x", text="the cat sat on the box " * 40), *TEXTS]
    found = routed_score(stack, Fixed("bits_per_byte", long), ())
    assert len(seen[0]) == 32
    assert found.routing_accuracy == 0.5
    with stack.active():
        base = score(stack, Fixed("bits_per_byte", long))
    assert found.value != base.value


def test_nothing_is_scored_without_a_router_or_examples(new_stack: Any):
    with pytest.raises(GrowlmError, match="the stack has no router"):
        routed_score(new_stack(), Fixed("loss", TALKS), ())
    with pytest.raises(GrowlmError, match="nothing to score"):
        routed_score(new_stack(), Fixed("contains", []), ())
