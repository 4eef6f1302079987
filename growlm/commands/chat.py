"""``growlm chat``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growlm.show.talk import Conversation


def chat(
    stack: Path = Path("checkpoints/stack"),
    path: str | None = None,
    base: str | None = None,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    show_path: bool = False,
    fuse: bool = False,
) -> None:
    """Talk with a stack, in a terminal or through a pipe (one line a turn).

    The stack's router chooses the modules for every turn, unless a path is given. Lines that begin with ``/`` are
    commands; ``/help`` lists them. In a terminal, an empty line or Ctrl-D ends.

    Args:
        stack: the stack's folder.
        path: the path to use: ``base``, a module's name, or names joined by ``+``; by default the router chooses, or,
            in a stack without one, the newest module's is used.
        base: where the base is now, if not where the manifest says.
        max_new_tokens: greatest number of tokens of an answer, at most half of the base's context.
        temperature: 0 always takes the likeliest token; above, tokens are drawn.
        seed: seed of the drawing.
        show_path: print the path of every turn, on standard error.
        fuse: run the modules of --path as one change of weights, right for the inputs of each one's own skill, instead
            of adding up what they change.
    """
    from growlm.show.talk import Conversation, check_limits, open_stack, routes

    check_limits(max_new_tokens, temperature)
    loaded = open_stack(stack, base, path, fuse)
    conversation = Conversation(loaded, max_new_tokens, temperature, seed, routes(loaded, path))
    interactive = sys.stdin is not None and sys.stdin.isatty()
    if interactive:
        print(f"path {conversation.path_text()}; /help lists the commands, an empty line ends")
    for line in _lines(interactive):
        if not _turn(conversation, line, show_path):
            break


_HELP = """\
/path        print the path of the last turn
/path NAME   use this path from now on; /path auto: the router chooses again
/reset       forget the conversation
/exit        end
/help        print this list"""


def _lines(interactive: bool) -> Iterator[str]:
    """Yield the user's lines; an empty one ends a conversation in a terminal and is skipped in a pipe."""
    while sys.stdin is not None:
        try:
            line = input("you> " if interactive else "").strip()
        except EOFError:
            return
        if line:
            yield line
        elif interactive:
            return


def _turn(conversation: "Conversation", line: str, show_path: bool) -> bool:
    """Answer a line, or do what it commands; what is wrong with it is said in one line.

    Returns:
        Whether the conversation goes on.
    """
    from growlm.errors import GrowlmError, one_line

    try:
        if line.startswith("/"):
            return _command(conversation, line)
        if not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line):
            raise GrowlmError("the line is not valid UTF-8 and was left out: send UTF-8 text")
        _answer(conversation, line)
    except GrowlmError as error:
        print(f"growlm: {one_line(str(error))}", file=sys.stderr)
        return True
    if show_path:
        print(f"path {conversation.path_text()}", file=sys.stderr)
    return True


def _answer(conversation: "Conversation", line: str) -> None:
    from growlm.terminal import printable

    for piece in conversation.say(line):
        print(printable(piece), end="", flush=True)
    print(flush=True)


def _command(conversation: "Conversation", line: str) -> bool:
    from growlm.errors import unknown_name

    name, _, argument = line.partition(" ")
    if name in ("/exit", "/quit"):
        return False
    if name == "/help":
        print(_HELP)
    elif name == "/reset":
        conversation.reset()
    elif name == "/path":
        path = conversation.change_path(argument.strip()) if argument.strip() else conversation.path_text()
        print(f"path {path}")
    else:
        raise unknown_name("command", name, ("/path", "/reset", "/exit", "/help"))
    return True
