"""Registries: found by file name or entry point, checked before they are built."""

import importlib.metadata
import inspect
import sys
from abc import ABC
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from growlm import registry
from growlm.errors import GrowlmError
from growlm.methods import grow
from growlm.methods.method import Method
from growlm.modules.kind import ModuleKind
from growlm.modules.lora import Lora
from growlm.registry import Registry, methods, module_kinds, skills
from growlm.summaries import class_summary, function_summary


class Plain(Method):
    """A method from elsewhere.

    More about it.
    """

    def build(self, *args: Any) -> dict[str, ModuleKind]:
        return {}


class Abstract(Method, ABC):
    """Not a whole method."""


@dataclass
class Point:
    """An entry point without a package around it."""

    name: str
    loaded: object
    value: str = "elsewhere:Plain"

    def load(self) -> object:
        return self.loaded


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declare entry points of the group ``growlm.methods``."""

    def declare(**members: object) -> None:
        points = [Point(name, member) for name, member in members.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "growlm.methods" else [])

    return declare


def test_members_are_the_files_of_the_folder() -> None:
    assert {"block", "lora"} <= set(module_kinds)
    assert "lora" in module_kinds
    assert "_site" not in module_kinds
    assert module_kinds.names() == sorted(module_kinds)
    assert module_kinds.get("lora") is Lora
    assert {"chat", "jsonl", "stories"} <= set(skills)
    assert "grow" in methods


@pytest.mark.parametrize(
    ("members", "name", "message"),
    [
        (module_kinds, "lroa", "unknown module kind 'lroa': did you mean 'lora'"),
        (skills, "caht", "unknown skill 'caht': did you mean 'chat'"),
        (methods, "gorw", "unknown method 'gorw': did you mean 'grow'"),
        (methods, "zzzz", "unknown method 'zzzz': known: "),
        (module_kinds, "_site", "unknown module kind '_site'"),
        (module_kinds, "../skills/chat", "unknown module kind"),
    ],
)
def test_unknown_names(members: Registry[Any], name: str, message: str) -> None:
    for ask in (members.get, members.build, members.options, members.summary):
        with pytest.raises(GrowlmError, match=message):
            ask(name)


def test_options_become_arguments() -> None:
    assert module_kinds.build("lora", {"rank": 4, "layers": [1, 2], "alpha": None}) == Lora(rank=4, layers=[1, 2])
    assert module_kinds.build("lora") == module_kinds.build("lora", {}) == Lora()
    assert list(module_kinds.options("block")) == ["num_blocks", "after"]
    assert methods.build("grow", {"module": {"lora": {"rank": 2}}}).module == {"lora": {"rank": 2}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rnak": 4}, "unknown option of module kind 'lora' 'rnak': did you mean 'rank'"),
        ({"rank": "many"}, "module kind 'lora': option 'rank' is .many., expected int"),
        ({"rank": 2.5}, "module kind 'lora': option 'rank' is 2.5, expected int"),
        ({"rank": None}, "module kind 'lora': option 'rank' is null, expected int"),
        ({"layers": 3}, r"module kind 'lora': option 'layers' is 3, expected list\[int\] \| null"),
        ({"target_modules": [["q"]]}, r"option 'target_modules' is \[\[.q.\]\], expected list\[str\]"),
        ({"rank": 0}, "lora rank 0 is too small"),
        ({"dropout": 1.0}, "lora dropout 1.0 is not a probability"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message) as raised:
        module_kinds.build("lora", options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("alpha", "kept"), [(5.0, 5.0), (5, 5.0), (None, None)])
def test_a_number_has_the_type_of_its_option(alpha: float | None, kept: float | None) -> None:
    built = module_kinds.build("lora", {"alpha": alpha, "rank": 3})
    assert (built.alpha, type(built.alpha)) == (kept, type(kept))


def test_a_member_without_options(declare: Any) -> None:
    declare(plain=Plain)
    assert isinstance(methods.build("plain"), Plain)
    assert isinstance(methods.build("plain", {}), Plain)
    with pytest.raises(GrowlmError, match="unknown option of method 'plain' 'rank': known: none"):
        methods.build("plain", {"rank": 3})


def test_required_options_are_asked_for(declare: Any) -> None:
    class Needy(Plain):
        def __init__(self, rank: int) -> None:
            self.rank = rank

    declare(needy=Needy)
    assert methods.build("needy", {"rank": 3}).rank == 3
    with pytest.raises(GrowlmError, match="method 'needy' needs its option 'rank'"):
        methods.build("needy")


def test_other_packages_join_through_entry_points(declare: Any) -> None:
    declare(plain=Plain)
    assert methods.names() == sorted({*methods.names(), "plain", "grow"})
    assert methods.get("plain") is Plain
    assert methods.summary("plain") == "A method from elsewhere."
    assert "plain" not in skills


@pytest.mark.parametrize("member", [Lora, "Plain", None])
def test_an_entry_point_to_something_else(declare: Any, member: object) -> None:
    declare(plain=member)
    with pytest.raises(GrowlmError, match="method 'plain' from entry point 'elsewhere:Plain' is not a Method; fix or"):
        methods.get("plain")


def test_an_entry_point_cannot_replace_a_member_of_growlm(declare: Any) -> None:
    declare(grow=Plain)
    assert methods.get("grow").__module__ == "growlm.methods.grow"


def test_summaries_come_from_the_source() -> None:
    assert module_kinds.summary("lora") == "Low-rank changes of the base's linears."


def test_a_file_holds_one_member(monkeypatch: pytest.MonkeyPatch) -> None:
    second = type("Second", (Plain,), {"__module__": grow.__name__})
    monkeypatch.setattr(grow, "Second", second, raising=False)
    with pytest.raises(TypeError, match=r"growlm\.methods\.grow must hold one Method, found 2"):
        methods.get("grow")


def test_real_entry_points_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = registry.installed_entry_points
    monkeypatch.setattr(registry, "installed_entry_points", lambda group: asked.append(group) or real(group=group))
    registry.entry_points.cache_clear()
    assert methods.names() == methods.names()
    assert asked == ["growlm.methods"]
    assert [*registry.entry_points("console_scripts")] == [*importlib.metadata.entry_points(group="console_scripts")]


# -- summaries --------------------------------------------------------------------------------------------------

SOURCE = '''
from somewhere import Kind, kinds

class _Helper(Kind):
    """A helper."""

class Options:
    """Its options."""

class Member(kinds.Kind[int]):
    """The member.

    More.
    """

class Late:
    """Not a kind."""

def member():
    """The function."""

def bare():
    pass
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "member.py"
    path.write_text(SOURCE)
    return path


def test_functions(source: Path):
    assert function_summary(source, "member") == "The function."
    assert function_summary(source, "bare") == ""
    assert function_summary(source, "absent") == ""


def test_classes(source: Path):
    assert class_summary(source, "Kind") == "The member."
    assert class_summary(source, "Other") == "Not a kind.", "an indirect child: the last public class"
    source.write_text("")
    assert class_summary(source, "Kind") == ""


@pytest.mark.parametrize("registry", [module_kinds, methods, skills], ids=lambda registry: registry.what)
def test_a_registry_reads_what_an_import_would_give(registry: Registry[object]):
    for name in registry.names():
        assert registry.summary(name) == (inspect.getdoc(registry.get(name)) or "").split("\n")[0]
        assert registry.summary(name)


def test_options_never_import_what_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text("class Run: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    hostile = {"class_path": "stranger.Run", "init_args": {}}
    for members, name, options in (
        (skills, "mixture", {"skills": {"a": hostile}}),
        (methods, "grow", {"module": {"lora": {"rank": hostile}}}),
        (methods, "replay", {"method_options": {"weights": hostile}}),
    ):
        with suppress(GrowlmError):
            members.build(name, options)
    assert "stranger" not in sys.modules
