"""A function's typed signature and Google docstring as its command line."""

import inspect
import re
from argparse import Action, HelpFormatter
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter

from growlm.cli.errors import check_configs, user_error
from growlm.errors import GrowlmError
from growlm.registry import plain_values

_TYPES = {"dict": "JSON", "int": "a whole number", "float": "a number"}
"""What a value without a default has to be, by what is in the name of its type."""


def as_typed(value: Any) -> Any:
    """Write a boolean as it is typed on the command line and in YAML; leave anything else as it is."""
    return str(value).lower() if isinstance(value, bool) else value


class _PlainHelpFormatter(DefaultHelpFormatter):
    """Writes an option's default, and its type where there is none, in words instead of Python's."""

    def _get_help_string(self, action: Action) -> str:
        kind, text = self._get_type_str(action), action.help or ""
        if kind is None:
            return super()._get_help_string(action)
        if action.default is None:
            words = [word for name, word in _TYPES.items() if name in kind and word not in text][:1]
        else:
            words = [f"default: {as_typed(action.default)}"]
        noted = ", ".join([*(["required"] if action.required else []), *words])
        return f"{text} ({noted})" if noted else text


def underscored(option: str, known: Container[str]) -> str:
    """Write ``--dry-run`` as ``--dry_run``, if that is a known option.

    Args:
        option: what was typed, without its value.
        known: the options, without the dashes in front.
    """
    name = option.removeprefix("--").replace("-", "_")
    return f"--{name}" if option.startswith("--") and name in known else option


class CommandParser(ArgumentParser):
    """Options from a function's signature, ``--config`` and ``--print_config``.

    Every parameter is an option ``--name value`` or ``--name=value``; ``-`` in a name is as good as ``_``. A boolean
    one needs no value. Those in ``positional`` may be given without their name, in that order. Where something is given
    twice, the later wins, config files included. A parameter that ends in ``_`` because its name is a Python keyword,
    ``from_``, is the option ``--from``. The values of ``dict`` and ``Any`` parameters are data: no class that they name
    is imported or built.

    Args:
        function: the command; every parameter is annotated and has a default unless it must be given. None makes an
            empty parser.
        prog: what usage and help call it, such as ``"growlm show"``.
        positional: parameters that may be given without their name.
        renamed: options of older versions, and what they are called since.
        **options: what jsonargparse's parser takes besides.
    """

    def __init__(
        self,
        function: Callable[..., Any] | None = None,
        prog: str | None = None,
        positional: Sequence[str] = (),
        renamed: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        # the text before the sections of the docstring: what the command does
        description = re.split(r"\n\s*(?:Args|Returns|Raises|Yields):\n", inspect.getdoc(function) or "")[0]
        super().__init__(
            prog=prog,
            description=description,
            **{"exit_on_error": False, "allow_abbrev": False, "formatter_class": _PlainHelpFormatter, **options},
        )
        self._parameters: Mapping[str, inspect.Parameter] = {}
        self._positional = tuple(positional)
        self._flags: set[str] = set()
        self._keywords: dict[str, str] = {}
        self._renamed: dict[str, str] = {}
        if function is None:  # jsonargparse builds a parser of this class for each value that is an object
            return
        self.add_argument("--config", action="config", help="a YAML file with any of the options below")
        self.add_function_arguments(function, as_group=False, as_positional=False, fail_untyped=True)
        self._option_string_actions["--print_config"].help = "print all options as YAML"
        self._parameters = inspect.signature(function).parameters
        self._flags = {f"--{name}" for name, p in self._parameters.items() if p.annotation is bool}
        self._keywords = {f"--{name[:-1]}": f"--{name}" for name in self._parameters if name.endswith("_")}
        self._renamed = {f"--{old}": f"--{new}" for old, new in (renamed or {}).items()}
        self.usage = " ".join([str(prog), *(f"[{name}]" for name in positional), "[--option value ...]"])

    def arguments(self, words: Sequence[str]) -> dict[str, Any]:
        """Parse a command line into the function's arguments.

        Args:
            words: what was typed after the command's name.

        Returns:
            One value for each parameter.

        Raises:
            GrowlmError: for an unknown option, a wrong value or an argument too many.
        """
        named = self._named(words)
        check_configs(self, named)
        try:
            with plain_values():
                # the second name is that of jsonargparse before 4.49
                instantiate = getattr(self, "instantiate", None) or self.instantiate_classes
                parsed = instantiate(self.parse_args(named))
        except ArgumentError as error:
            raise user_error(error, self, named) from None
        return {name: parsed[name] for name in self._parameters}

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        """Format the help for a terminal: types named as a reader would, and no markup of docstrings."""
        text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", super().format_help(formatter)).replace("``", "'")
        for option, parameter in self._keywords.items():
            own = f"{parameter} {parameter[2:].upper()}"
            text = text.replace(own, f"{option} {option[2:].upper()}".ljust(len(own)))
        return re.sub(r" +$", "", text, flags=re.MULTILINE)

    def _named(self, words: Sequence[str]) -> list[str]:
        """Put the option's name before every free word, and a value behind every bare boolean."""
        named: list[str] = []
        free = list(self._positional)
        waiting = deque(words)
        while waiting:
            word = waiting.popleft()
            option, equals, value = word.partition("=")
            option = underscored(option, self._parameters)
            option = self._renamed.get(option, option)
            word = self._keywords.get(option, option) + equals + value
            if word in self._flags:
                given = waiting and waiting[0] in ("true", "false")
                named.append(f"{word}={waiting.popleft() if given else 'true'}")
            elif word.startswith("--") and "=" not in word and word not in ("--help", "--print_config"):
                named += [word, *([waiting.popleft()] if waiting else [])]
            elif word.startswith("-") and len(word) > 1:
                named.append(word)
            elif free:
                named.append(f"--{free.pop(0)}={word}")
            else:
                raise GrowlmError(f"unexpected argument {word!r}: `{self.prog} --help` lists the options")
        return named
