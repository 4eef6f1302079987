"""General ability of a stack whose router is given what to choose."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from growlm.bench.run import general
from growlm.bench.run.general import general_ability
from growlm.data.example import Example, Split
from growlm.manifest.path import Path
from growlm.metrics.consistency import consistency
from growlm.metrics.divergence import text_divergence
from growlm.skills.skill import Skill
from growlm.train.score_cache import ScoreCache

TEXTS = [f"the cat sat on {number} red box" for number in range(6)]


class Texts(Skill):
    metric = "bits_per_byte"

    def examples(self, split: Split) -> Iterator[Example]:
        return (Example(f"text {number}", text=text) for number, text in enumerate(TEXTS))


class Given:
    """A router that is given what to choose, by the prompt."""

    name = "given"

    def __init__(self, choice: Callable[[Sequence[int]], Path]) -> None:
        self.choice = choice

    def choose(self, stack: Any, prompts: Sequence[Sequence[int]]) -> list[Path]:
        return [self.choice(prompt) for prompt in prompts]

    def state_dict(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def stack(new_stack: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for size, value in (("PROBES", 3), ("SAMPLES", 2), ("MAX_TOKENS", 5)):
        monkeypatch.setattr(general, size, value)
    return new_stack(modules=("first", "second"))


def test_where_the_skill_is_named_it_is_the_bare_bases(stack: Any):
    found = general_ability(stack, ScoreCache(), Texts(), 4, routed=False)
    assert set(found) == {"divergence", "consistency", "ended", "distinct_3"}
    assert all(set(values) == {"base", "oracle", "all"} for values in found.values())
    assert all(values["oracle"] == values["base"] for values in found.values())
    assert found["divergence"]["base"] == 0.0
    everything = text_divergence(stack, TEXTS[:4], [("first", "second")] * 4)
    assert found["divergence"]["all"] == everything > 0
    for mode, path in (("base", ()), ("all", ("first", "second"))):
        with stack.active(*path):
            assert found["consistency"][mode] == consistency(stack, stack.tokenizer, 3).accuracy


def test_a_router_decides_for_each_text(stack: Any):
    stack.router = Given(lambda prompt: ("first",) if len(prompt) % 2 else ())
    ids = [stack.tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    paths: list[Path] = [("first",) if (len(tokens) + 2) % 2 else () for tokens in ids]
    found = general_ability(stack, ScoreCache(), Texts(), len(TEXTS), routed=True)
    assert found["divergence"]["routed"] == pytest.approx(text_divergence(stack, TEXTS, paths))
    # a sample begins with one token
    with stack.active("first"):
        assert found["distinct_3"]["routed"] == general._shape(stack)["distinct_3"]


def test_a_router_that_chooses_the_bare_base_changes_nothing(stack: Any):
    stack.router = Given(lambda prompt: ())
    found = general_ability(stack, ScoreCache(), Texts(), 4, routed=True)
    assert all(values["routed"] == values["base"] for values in found.values())


def test_without_a_text_of_its_own_there_is_no_divergence(stack: Any):
    assert "divergence" not in general_ability(stack, ScoreCache(), None, 4, routed=False)
