"""Paths: which modules are active, in order of growth."""

import pytest

from growlm.errors import GrowlmError
from growlm.manifest.path import format_path, normalise, own_path, parse_path

# c was grown on a alone, d on all
PARENTS = {"a": (), "b": ("a",), "c": ("a",), "d": ("a", "b", "c"), "e": ()}


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ((), ()),
        (("a",), ("a",)),
        (("b", "a"), ("a", "b")),
        (("c", "a", "b"), ("a", "b", "c")),
        (("d", "c", "b", "a"), ("a", "b", "c", "d")),
        (("e", "a"), ("a", "e")),
        (("a", "a"), ("a",)),
    ],
)
def test_paths_come_in_order_of_growth(names: tuple[str, ...], path: tuple[str, ...]) -> None:
    assert normalise(names, PARENTS) == path


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("b",), "path 'b' lacks a, which 'b' was grown on: use 'a[+]b'"),
        (("a", "d"), r"path 'a\+d' lacks b, c, which 'd' was grown on: use 'a\+b\+c\+d'"),
        (("x",), "unknown module 'x': known: a, b, base, c, d, e"),
        (("base",), "unknown module 'base'"),
    ],
)
def test_paths_that_are_none(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        normalise(names, PARENTS)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("base", ()),
        ("", ()),
        ("a", ("a",)),
        ("d", ("a", "b", "c", "d")),  # a single name is that module's own path
        ("c", ("a", "c")),
        ("a+b", ("a", "b")),
        ("b,a", ("a", "b")),
        (" a + e ", ("a", "e")),
        ("base+a", ("a",)),
    ],
)
def test_reading(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text, PARENTS) == path


@pytest.mark.parametrize("text", ["chat", "a+x", "b+c", "a b"])
def test_reading_what_is_no_path(text: str) -> None:
    with pytest.raises(GrowlmError):
        parse_path(text, PARENTS)


def test_nearest_name_is_offered() -> None:
    with pytest.raises(GrowlmError, match="unknown module 'chta': did you mean 'chat'"):
        parse_path("chta", {"chat": ()})
    with pytest.raises(GrowlmError, match="unknown module 'chta': did you mean 'chat'"):
        own_path("chta", {"chat": ()})


@pytest.mark.parametrize("path", [(), ("a",), ("a", "b", "c", "d")])
def test_writing_and_reading_back(path: tuple[str, ...]) -> None:
    assert parse_path(format_path(path), PARENTS) == path
