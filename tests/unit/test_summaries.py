import inspect
from pathlib import Path

import pytest

from growlm.registry import Registry, methods, module_kinds, skills
from growlm.summaries import class_summary, function_summary

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
