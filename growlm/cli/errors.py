"""What jsonargparse says in many lines, said in one: what was found, what was expected, the nearest valid name."""

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from jsonargparse import ArgumentParser

from growlm.errors import GrowlmError


@dataclass(frozen=True)
class _Context:
    """What an explanation may draw on."""

    prog: str
    keys: set[str]

    @property
    def see_help(self) -> str:
        return f"`{self.prog} --help` lists what there is"


def user_error(error: Exception, parser: ArgumentParser, shorthands: Iterable[str] = ()) -> GrowlmError:
    """Turns an error of a jsonargparse parser into one line.

    For any parser, a LightningCLI's too; give it ``parser_kwargs={"exit_on_error": False, "allow_abbrev": False}``
    so that it raises instead of printing its usage, and catch ``jsonargparse.ArgumentError`` around its parsing.

    Args:
        error: what the parser raised.
        parser: the parser, whose options are offered as the nearest valid names.
        shorthands: further options that the command takes and spells out before the parser sees them.

    Returns:
        The error to raise.
    """
    text = str(error)
    context = _Context(parser.prog, known_keys(parser) | set(shorthands))
    for pattern, explain in _EXPLANATIONS:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return GrowlmError(explain(found, context))
    return GrowlmError(" ".join(text.split()))


def known_keys(parser: ArgumentParser) -> set[str]:
    """Lists the dotted keys that a parser and its subcommands accept, as they stand after ``--`` or in a file."""
    keys: set[str] = set()
    for action in cast("list[Any]", parser._actions):  # argparse has no public list of them
        for subcommand in (getattr(action, "_name_parser_map", None) or {}).values():
            keys |= known_keys(subcommand)
        options = [option[2:] for option in action.option_strings if option.startswith("--")]
        keys |= {option for option in options if not option.endswith(("+", ".help"))}
    return keys


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Finds the known name that was most likely meant.

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


def _unknown_argument(found: "re.Match[str]", context: _Context) -> str:
    words = found["words"].split()
    option = next((word for word in words if word.startswith("--")), None)
    if option is None:
        return f"unexpected argument {words[0]!r}: {context.see_help}"
    return _unknown_key(option[2:].partition("=")[0], context, dashes="--")


def _unknown_group_key(found: "re.Match[str]", context: _Context) -> str:
    return _unknown_key(f"{found['group']}.{found['key']}", context)


def _unknown_plain_key(found: "re.Match[str]", context: _Context) -> str:
    return _unknown_key(found["key"], context)


def _unknown_key(key: str, context: _Context, dashes: str = "") -> str:
    near = nearest(key, context.keys)
    hint = f"did you mean {dashes + near!r}?" if near else context.see_help
    return f"unknown {'option' if dashes else 'key'} {dashes + key!r}: {hint}"


def _unknown_class_option(found: "re.Match[str]", context: _Context) -> str:
    del context  # the names on offer are the class's own
    module, _, name = found["path"].rpartition(".")
    parameters = list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    near = nearest(found["key"], parameters)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(parameters)}"
    return f"--{found['at']}: {name} has no option {found['key']!r}: {hint}"


def _missing_value(found: "re.Match[str]", context: _Context) -> str:
    return f"{found['option']}: its value is missing; {context.see_help}"


def _missing_file(found: "re.Match[str]", context: _Context) -> str:
    return f"--{found['key']}: there is no file {found['path']!r}; {context.see_help}"


def _missing_key(found: "re.Match[str]", context: _Context) -> str:
    # LightningCLI names the subcommand too: fit.model.skill
    keys = [key.removeprefix(f"{context.prog.split()[-1]}.") for key in found["keys"].split(", ")]
    return f"{', '.join(f'--{key}' for key in keys)} is required: {context.see_help}"


def _unreadable(found: "re.Match[str]", context: _Context) -> str:
    del context  # the message holds all that is needed
    reason = " ".join(found["reason"].replace('in "<unicode string>", ', "at ").split())
    return f"the config file is no YAML: {reason}"


def _wrong_value(found: "re.Match[str]", context: _Context) -> str:
    del context  # the message holds all that is needed
    key, reason = found["key"], found["reason"]
    given = re.search(r"(?:Got|Given) value: (?P<value>.*)\Z", reason, re.DOTALL)
    if given is None:
        return f"--{key}: {' '.join(reason.split())}"
    value = given["value"].strip()
    choices = list(_choices(reason))
    if choices:
        near = get_close_matches(value, choices, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"--{key}: unknown value {value!r}: {hint}known: {', '.join(choices)}"
    union = re.search(r"Subtypes: \[(?P<types>.*?)\]\s*\n", reason)
    single = re.search(r"Expected an? (?P<type>.*?)\. (?:Got|Given) value", reason, re.DOTALL)
    expected = " or ".join(_split_types(union["types"])) if union else single["type"] if single else None
    if expected is None:
        return f"--{key}: {' '.join(reason.split())}"
    return f"--{key}: found {value!r}, expected {_plain_types(expected)}"


def _choices(reason: str) -> Iterator[str]:
    for literal in re.findall(r"Literal\[(.*?)\]", reason)[:1]:
        yield from (choice.strip().strip("'\"") for choice in literal.split(","))
    for enum in re.findall(r"Expected a member of .*?: \{(.*?)\}", reason)[:1]:
        yield from (choice.strip().strip("'\"") for choice in enum.split(","))


def _split_types(types: str) -> list[str]:
    # commas between brackets belong to one type
    return re.split(r", (?![^\[]*\])", types)


def _plain_types(expected: str) -> str:
    bare = re.sub(r"<class '([^']*)'>", r"\1", expected)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", " ".join(bare.split())).replace("NoneType", "null")


_EXPLANATIONS = (
    (r"unrecognized arguments: (?P<words>.*)", _unknown_argument),
    (
        r'Parser key "(?P<at>[^"]*)":.*?Problem with given class_path \'(?P<path>[^\']*)\':\s*'
        r"Option '(?P<key>[^']*)' is not accepted",
        _unknown_class_option,
    ),
    (r"Group '(?P<group>[^']*)' does not accept option '(?P<key>[^']*)'", _unknown_group_key),
    (r"Option '(?P<key>[^']*)' is not accepted", _unknown_plain_key),
    (r"argument (?P<option>\S+): expected one argument", _missing_value),
    (r'Parser key "(?P<key>[^"]*)":\s*File does not exist: \'(?P<path>[^\']*)\'', _missing_file),
    (r"Problems parsing config:\s*(?P<reason>.*)", _unreadable),
    (r"arguments are required: (?P<keys>.*)", _missing_key),
    (r'Parser key "(?P<key>[^"]*)":(?P<reason>.*)', _wrong_value),
)
