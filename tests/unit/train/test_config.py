"""The options of a phase, each written once."""

import re
from pathlib import Path
from typing import Any

import pytest

from growlm.cli.help import grow_help
from growlm.errors import GrowlmError
from growlm.registry import methods, module_kinds, routers
from growlm.train.config import PhaseConfig, difference, option_help, option_names

ROOT = Path(__file__).parents[3]


def test_each_option_has_one_definition():
    folders = ("growlm/train", "growlm/cli", "growlm/commands")
    sources = {path.name: path.read_text() for folder in folders for path in (ROOT / folder).glob("*.py")}
    for name in option_names():
        # a field with a default, or a line of a help that is written by hand
        pattern = re.compile(rf"^    {name}: [^=\n]+ = (?:field\(.+\)|[^,\n]+)$|^ +--{name} +\w", re.MULTILINE)
        found = [file for file, text in sources.items() for _ in pattern.findall(text)]
        assert found == ["config.py"], name


def test_each_option_says_what_it_means():
    assert list(option_help()) == option_names()
    assert all(text.endswith(".") and "\n" not in text for text in option_help().values())


def test_the_help_lists_options_kinds_routers_and_methods():
    text = grow_help()
    for name in option_names():
        assert f"--{name} " in text
    words = set(re.split(r"[\s,.]+", text))
    assert words >= {*module_kinds, *routers, *methods}


def test_names_follow_from_the_skill():
    assert PhaseConfig("chat").module == "chat"
    own = PhaseConfig("some/Where.jsonl.xz", skill_options={"test": "t.jsonl"})
    assert (own.skill, own.module) == ("jsonl", "where")
    assert own.skill_options == {"train": "some/Where.jsonl.xz", "test": "t.jsonl"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0 is too small: give 1 or more"),
        ({"max_length": 1}, "max_length 1 is too small"),
        ({"learning_rate": -1.0}, "learning_rate -1.0 is too small"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"learning_rate": float("inf")}, "learning_rate inf is too large: give a finite number"),
        ({"warmup": 1.5}, "warmup 1.5 is too large: give 1"),
        ({"weight_decay": 1e3}, "product must be less than 1"),
        ({"name": "stories"}, "'stories' would hide"),
        ({"name": "../x"}, "cannot be a name"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, object], message: str):
    with pytest.raises(GrowlmError, match=re.escape(message)):
        PhaseConfig("chat", **options)  # type: ignore[arg-type]


def test_records_of_version_0_1_0_are_compared_under_their_old_names():
    now = {**PhaseConfig("chat").recorded(), "steps": 3, "precision": "32-true"}
    old = {"skill": "chat", "on": "all", "steps": 3, "learning_rate": 2e-3}
    assert difference(old, now) == ""
    assert difference({**old, "on": "none"}, now) == "parents 'none', now 'all'"
    assert difference({**now, "precision": "bf16-mixed"}, now) == "precision 'bf16-mixed', now '32-true'"


def test_where_things_are_is_not_recorded():
    assert not {"stack", "base", "restart"} & set(PhaseConfig("chat").recorded())


def test_no_router_may_be_null_in_a_recipe() -> None:
    none: Any = None
    assert PhaseConfig(skill="chat", router=none).router == "none"
