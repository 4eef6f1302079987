"""The code of the pages that say how to add something runs, and defines what its page is about."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from growlm.errors import GrowlmError
from growlm.export.exporter import Exporter, export
from growlm.methods.importance.measure import ImportanceMeasure
from growlm.methods.method import Method
from growlm.metrics.answers.answer_metric import AnswerMetric
from growlm.modules.kind import ModuleKind
from growlm.routing.router import Router
from growlm.skills.skill import Skill

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
PARENTS: dict[str, type] = {
    "export-format": Exporter,
    "importance-measure": ImportanceMeasure,
    "method": Method,
    "metric": AnswerMetric,
    "module-kind": ModuleKind,
    "router": Router,
    "skill": Skill,
}


def member(page: str) -> Any:
    """Run the first Python of a page and return the class of the page's kind that it defines."""
    code = re.search(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "shown"}
    exec(code[1], names)
    own = [value for value in names.values() if getattr(value, "__module__", None) == "shown"]
    (found,) = (value for value in own if issubclass(value, PARENTS[page]))
    return found


@pytest.mark.parametrize("page", PARENTS)
def test_a_page_shows_a_whole_member(page: str):
    assert not inspect.isabstract(member(page))
    assert member(page).__doc__


def test_the_metric_of_the_page_compares_first_words():
    score = member("metric")().score
    assert [score("yes it is", "yes", ""), score("no", "yes", ""), score("", "yes", "")] == [1, 0, 0]


@pytest.mark.parametrize("compressed", [False, True])
def test_the_export_format_of_the_page_writes_weights(
    compressed: bool, empty_stack: Callable[..., Any], tmp_path: Path
):
    stack = empty_stack()
    (check,) = export(stack, member("export-format")(compressed=compressed), tmp_path / "out")
    weights = stack.merged().state_dict()
    assert check.value == f"{len(weights)} of {len(weights)}"
    with np.load(tmp_path / "out" / "weights.npz") as read:
        assert all(np.array_equal(read[name], tensor.float().numpy()) for name, tensor in weights.items())
    assert 'numpy.load("out/weights.npz")' in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_the_skill_of_the_page_has_examples_in_every_split():
    skill = member("skill")()
    assert [(e.prompt, e.completion) for e in skill.examples("test")] == [("The opposite of day is", " night")]
    splits = [{example.name for example in skill.examples(split)} for split in ("train", "validation", "test")]
    assert len(set.union(*splits)) == sum(map(len, splits)) == 4


def test_the_router_of_the_page_counts_tokens():
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=6))
    stack: Any = SimpleNamespace(config=config, path_of=lambda name: (name,))
    router = member("router")(smoothing=0.5)
    assert router.choose(stack, [[1]]) == [()]
    for name, prompts in {"chat": [[1, 2, 2], [2, 5]], "sums": [[3, 3, 4]]}.items():
        router.learn(stack, name, lambda split, limit, prompts=prompts: prompts)
    # of token 5: (1 + 0.5) / (5 + 3) for chat and 0.5 / (3 + 3) for sums; of 0, which neither has: 1/16 and 1/12
    assert router.choose(stack, [[2, 3, 2], [3], [5], [0]]) == [("chat",), ("sums",), ("chat",), ("sums",)]
    loaded = type(router)(**router.options())
    loaded.load_state_dict(router.state_dict(), SimpleNamespace(config=config))
    router.forget("sums")
    assert (router.known(), loaded.known()) == (("chat",), ("chat", "sums"))
    assert router.choose(stack, [[3]]) == [("chat",)]
    with pytest.raises(GrowlmError, match=r"counts/sums.*does not fit"):
        loaded.load_state_dict({"counts/sums": torch.ones(7, dtype=torch.int64)}, SimpleNamespace(config=config))
