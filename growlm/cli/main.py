"""The command line: ``growlm <command>``, one file in ``growlm/commands`` for each.

A file ``growlm/commands/<name>.py`` holds a function ``<name>`` whose typed signature and Google docstring are the
command's options (see :class:`growlm.cli.parser.CommandParser`). Where the name is a Python keyword, file and function
end in ``_``: ``import_``. Its module may set further names:

- ``POSITIONAL = ("stack", "prompt")``: the parameters that may be given without their name, in order. By default it
  is ``("stack",)`` for a function with a parameter ``stack``.
- ``RENAMED = {"old": "new"}``: options of older versions, which are still accepted.
- ``RAW = True``: the function takes the unparsed ``arguments: list[str]`` and parses them itself, as the commands
  on a LightningCLI do.

A command returns None or an exit status. Command modules are imported when they run, never to be listed, and import
torch and the like inside their function.
"""

import importlib
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from keyword import iskeyword
from pathlib import Path
from typing import Any

from growlm.errors import GrowlmError, one_line, outside_error, unknown_name
from growlm.signals import interrupted_alike
from growlm.summaries import function_summary

_COMMANDS = Path(__file__).parents[1] / "commands"
_USER_MISTAKE = 2
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``growlm``; those of the process if left out.

    Returns:
        The exit status: 0, 2 for a mistake that the user can correct and for what the system or a damaged file is to
        blame for, 130 after Ctrl-C, SIGTERM or SIGHUP, 141 when the reader of the output has gone, or what the command
        returned.
    """
    words = sys.argv[1:] if argv is None else argv
    _prepare_streams()
    try:
        with interrupted_alike():
            status = _run(words)
            sys.stdout.flush()
        return status
    except GrowlmError as error:
        _complain(str(error))
        return _USER_MISTAKE
    except KeyboardInterrupt as interrupt:
        _complain(str(interrupt) or "interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return _PIPE_CLOSED
    except Exception as error:
        said = outside_error(error)
        if said is None:
            raise
        if isinstance(error, OSError):
            _discard_output()  # it may be standard output that failed, and would fail once more at the end
        _complain(said)
        return _USER_MISTAKE


def _prepare_streams() -> None:
    """Make standard output and error usable where they are closed or have an encoding without some characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # the command that reads it says what is wrong


def _discard_output() -> None:
    """Send what is still buffered nowhere; without this the interpreter would complain once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):  # a replaced stream has no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_names() -> list[str]:
    """List the commands, sorted."""
    return sorted(path.stem.removesuffix("_") for path in _COMMANDS.glob("*.py") if not path.stem.startswith("_"))


def own_name(command: str) -> str:
    """Return what a command's file and function are called."""
    return f"{command}_" if iskeyword(command) else command


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"growlm {version('growlm')}\n")
        return 0
    name = words[0].replace("-", "_")
    if name not in command_names():
        raise unknown_name("command", words[0], command_names())
    return _run_command(name, words[1:])


def _run_command(name: str, words: list[str]) -> int:
    from growlm.progress import log_to_stderr

    log_to_stderr()
    own = own_name(name)
    module = importlib.import_module(f"growlm.commands.{own}")
    function: Callable[..., int | None] = getattr(module, own)
    try:
        if getattr(module, "RAW", False):
            return function(words) or 0
        return function(**_parsed(function, module, words)) or 0
    except SystemExit as end:  # --help and --print_config end this way
        return end.code if isinstance(end.code, int) else 0


def _parsed(function: Callable[..., Any], module: Any, words: list[str]) -> dict[str, Any]:
    import inspect

    from growlm.cli.parser import CommandParser

    usual = ("stack",) if "stack" in inspect.signature(function).parameters else ()
    positional: tuple[str, ...] = getattr(module, "POSITIONAL", usual)
    renamed: dict[str, str] = getattr(module, "RENAMED", {})
    prog = f"growlm {function.__name__.removesuffix('_')}"
    return CommandParser(function, prog, positional, renamed).arguments(words)


def _overview() -> str:
    own_names = {name: own_name(name) for name in command_names()}
    width = max(map(len, own_names), default=0)
    lines = [f"  {name:<{width}}  {function_summary(_COMMANDS / f'{own}.py', own)}" for name, own in own_names.items()]
    return "\n".join(
        [
            "usage: growlm <command> [--option value ...]",
            "",
            "Grow a language model skill by skill: a frozen base, attachable modules, proof that nothing older moved.",
            "",
            "commands:",
            *lines,
            "",
            "`growlm <command> --help` lists a command's options; every command takes --config file.yaml.",
            "",
        ]
    )


def _complain(message: str) -> None:
    from rich.text import Text

    from growlm.progress import console

    console().print(Text.assemble(("growlm:", "bold red"), " ", one_line(message)))
