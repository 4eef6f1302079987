"""What is wrong with a command line or its config file, in one line: what was found, what was expected, what is near.

Nothing here reads a parser's own prose: the words are compared with the parser's options, and a value that does not fit
is found by parsing it alone.
"""

import enum
import inspect
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser

from growlm.errors import GrowlmError
from growlm.recipes import parse_yaml, read_yaml
from growlm.registry import plain_values


def user_error(
    error: Exception, parser: ArgumentParser, words: Sequence[str], shorthands: Iterable[str] = ()
) -> GrowlmError:
    """Turn the refusal of a jsonargparse parser into one line.

    For any parser, a LightningCLI's too; give it ``parser_kwargs={"exit_on_error": False, "allow_abbrev": False}``
    so that it raises instead of printing its usage, and catch ``jsonargparse.ArgumentError`` around its parsing.

    Args:
        error: what the parser raised.
        parser: the parser.
        words: the command line that it was given.
        shorthands: further options that the command takes and spells out before the parser sees them.

    Returns:
        The error to raise.
    """
    try:
        found = _first_mistake(parser, words, set(shorthands))
    except GrowlmError as mistake:  # a config file that cannot be read
        found = str(mistake)
    return GrowlmError(found or " ".join(str(error).split()))


def check_configs(parser: ArgumentParser, words: Sequence[str]) -> None:
    """Read the config files of a command line with the strict reader, before a parser does.

    Raises:
        GrowlmError: for a file that is missing, too large or not YAML, or has a key twice.
    """
    for given in _given(parser, words):
        if given.key == "config" and given.value is not None:
            _config(given.value)


def known_keys(parser: ArgumentParser) -> set[str]:
    """List the dotted keys that a parser and its subcommands accept, as they are written after ``--`` or in a file."""
    keys = set(_options(parser))
    for subcommand in _subcommands(parser).values():
        keys |= known_keys(subcommand)
    return keys


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that was most likely meant.

    Args:
        name: a name, dotted or not.
        known: the names that exist; those under the same parent as ``name`` come first, then one that ends alike.

    Returns:
        The name, or None if nothing comes near.
    """
    names = sorted(known)
    parent, dot, leaf = name.rpartition(".")
    siblings = [other[len(parent + dot) :] for other in names if dot and other.startswith(parent + dot)]
    near = [parent + dot + match for match in get_close_matches(leaf, siblings, n=1, cutoff=0.5)]
    near += [other for other in names if other.rpartition(".")[2] == leaf]
    if not siblings:
        near += get_close_matches(name, names, n=1, cutoff=0.5)
    return near[0] if near else None


def describe(annotation: Any) -> str:
    """Name a type as a reader would: ``int``, ``list[str]``, ``float or null``."""
    if annotation is None or annotation is types.NoneType:
        return "null"
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(map(describe, get_args(annotation)))
    if get_origin(annotation) is None:
        return str(getattr(annotation, "__name__", annotation))
    inner = ", ".join("..." if part is ... else describe(part) for part in get_args(annotation))
    return f"{describe(get_origin(annotation))}[{inner}]"


def choices(annotation: Any) -> list[str]:
    """List the values that a ``Literal`` or an enumeration allows, also inside a union; none for other types."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return list(annotation.__members__)
    return [choice for part in get_args(annotation) if isinstance(annotation, _UNIONS) for choice in choices(part)]


_UNIONS = (types.UnionType, type(Union[int, None]))  # noqa: UP007  # a type of its own before Python 3.14


@dataclass(frozen=True)
class _Given:
    """An option as it was given.

    Args:
        key: its dotted name; None: a word without one.
        value: its value; None: left out.
        dashes: ``--`` for a word of the command line, nothing for a key of a file.
        parser: the parser or subcommand that takes it.
    """

    key: str | None
    value: Any
    dashes: str
    parser: ArgumentParser


def _options(parser: ArgumentParser) -> dict[str, Any]:
    """Return the parser's actions by dotted key; argparse has no public list of them."""
    return {
        option[2:]: action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and not option.endswith(("+", ".help"))
    }


def _subcommands(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    found: dict[str, ArgumentParser] = {}
    for action in parser._actions:
        found |= getattr(action, "_name_parser_map", None) or {}
    return found


def _required(parser: ArgumentParser) -> set[str]:
    kept: set[str] = getattr(parser, "required_args", set())  # where jsonargparse before 4.50 keeps them
    return {action.dest for action in parser._actions if action.required} | set(kept)


def _given(parser: ArgumentParser, words: Sequence[str]) -> Iterator[_Given]:
    """Yield what a command line gives, in order; config files are not opened."""
    waiting = iter(words)
    for word in waiting:
        if not word.startswith("--"):
            subcommand = _subcommands(parser).get(word)
            if subcommand is None:
                yield _Given(None, word, "", parser)
                continue
            yield from _given(subcommand, list(waiting))
            return
        key, equals, value = word[2:].partition("=")
        action = _options(parser).get(key)
        bare = action is not None and action.nargs == 0
        yield _Given(key, value if equals else "" if bare else next(waiting, None), "--", parser)


def _config(value: Any) -> dict[str, Any]:
    text = str(value)
    if text.lstrip().startswith("{"):
        return parse_yaml(text, "--config")
    if not Path(text).exists():
        raise GrowlmError(f"--config: there is no file {text!r}; give the path of a YAML file")
    return read_yaml(Path(text))


def _leaves(content: Mapping[Any, Any], parser: ArgumentParser, prefix: str = "") -> Iterator[_Given]:
    """Yield the options that a config file gives.

    Raises:
        GrowlmError: for something else where a group of options should be.
    """
    options = _options(parser)
    for name, value in content.items():
        key = f"{prefix}{name}"
        is_group = any(option.startswith(f"{key}.") for option in options)
        if isinstance(value, Mapping) and is_group:
            yield from _leaves(value, parser, f"{key}.")
        elif not is_group:
            yield _Given(key, value, "", parser)
        elif value is not None:
            raise GrowlmError(f"{key} is {value!r} instead of options with values: write {key}: {{option: value}}")


def _first_mistake(parser: ArgumentParser, words: Sequence[str], shorthands: set[str]) -> str | None:
    seen: set[str] = set()
    classes: dict[str, Any] = {}
    for word in _given(parser, words):
        is_config = word.key == "config" and word.value is not None
        for given in [word, *(_leaves(_config(word.value), word.parser) if is_config else ())]:
            if given.key is not None:
                seen.add(given.key)
                classes[given.key] = given.value
            mistake = _mistake(given, classes, shorthands)
            if mistake is not None:
                return mistake
    last = next((_subcommands(parser)[word] for word in words if word in _subcommands(parser)), parser)
    missing = sorted(_required(last) - seen)
    if missing:
        return f"{', '.join(f'--{key}' for key in missing)} is required: {_see_help(last)}"
    return None


def _mistake(given: _Given, classes: Mapping[str, Any], shorthands: set[str]) -> str | None:
    """Say what is wrong with one option; None: nothing."""
    if given.key is None:
        return f"unexpected argument {given.value!r}: {_see_help(given.parser)}"
    options = _options(given.parser)
    key = given.key.removesuffix("+") if given.dashes else given.key
    action = options.get(key)
    if action is None:
        owner = next((name for name in options if key.startswith(f"{name}.") and _annotation(options[name])), None)
        if owner is not None:  # an option of the class that another option names
            return _class_mistake(owner, key.removeprefix(f"{owner}."), classes.get(owner))
        near = nearest(key, {*options, *shorthands})
        hint = f"did you mean {given.dashes + near!r}?" if near else _see_help(given.parser)
        return f"unknown {'option' if given.dashes else 'key'} {given.dashes + key!r}: {hint}"
    if given.value is None and given.dashes:
        return f"--{key}: its value is missing; {_see_help(given.parser)}"
    annotation = _annotation(action)
    if annotation is None or _fits(annotation, given):
        return None
    allowed = choices(annotation)
    if not allowed:
        return f"--{key}: found {_shown(given.value)}, expected {describe(annotation)}"
    near_choices = get_close_matches(str(given.value), allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near_choices[0]!r}? " if near_choices else ""
    return f"--{key}: unknown value {_shown(given.value)}: {hint}known: {', '.join(allowed)}"


def _class_mistake(owner: str, option: str, value: Any) -> str | None:
    path = value.get("class_path") if isinstance(value, Mapping) else value
    module, _, name = str(path).rpartition(".")
    cls = getattr(sys.modules.get(module), name, None)  # the parser has imported it; nothing is imported for a message
    if not inspect.isclass(cls):
        return None
    parameters = list(inspect.signature(cls).parameters)
    option = option.removeprefix("init_args.").partition(".")[0]
    if option in parameters:
        return None
    near = nearest(option, parameters)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(parameters)}"
    return f"--{owner}: {name} has no option {option!r}: {hint}"


def _annotation(action: Any) -> Any:
    return getattr(action, "_typehint", None) or action.type


def _fits(annotation: Any, given: _Given) -> bool:
    """Check a value alone, by a parser that has no other option."""
    alone = ArgumentParser(exit_on_error=False)
    alone.add_argument("--value", type=annotation)
    try:
        with plain_values():
            if given.dashes:
                alone.parse_args([f"--value{'+' * str(given.key).endswith('+')}={given.value}"])
            else:
                alone.parse_object({"value": given.value})
    except ArgumentError:
        return False
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _see_help(parser: ArgumentParser) -> str:
    command = str(parser.prog).partition(" [options]")[0]  # a subcommand's has the whole usage before its own name
    return f"`{command} --help` lists the options"
