"""Text for people: what may come from a stranger's file made safe for a terminal and for Markdown, and counts."""

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from growlm.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console


def printable(text: str) -> str:
    """Replace what steers a terminal (escape sequences, carriage returns, bidirectional controls) by spaces.

    Line breaks and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in "\n\t" else " " for character in text)


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Write how many there are of something: ``1 step``, ``2,000 steps``; see ``plural``."""
    return f"{number:,} {plural(number, noun, several)}"


def plural(number: float, noun: str, several: str | None = None) -> str:
    """Return the form of a noun that goes with a number.

    Args:
        number: how many there are.
        noun: what one is called.
        several: what several are called; None: the noun with an s.
    """
    return noun if number == 1 else several or f"{noun}s"


def safe_console(*, stderr: bool = False, width: int | None = None, soft_wrap: bool = False) -> "Console":
    """Build a console on which names, labels and data are literal: no markup, no escape sequences of their own.

    Args:
        stderr: write to standard error instead of standard output.
        width: characters a line; None: the terminal's, or 80.
        soft_wrap: leave the breaking of long lines to the terminal.

    Returns:
        The console; it still colours what the program colours.
    """
    return _console_class()(stderr=stderr, width=width, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


@cache
def _console_class() -> "type[Console]":
    """Define the class on first use: rich takes a while to import."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(printable(text), style)

    return SafeConsole


def markdown_text(text: str) -> str:
    """Escape a text for Markdown and for the HTML that it may hold."""
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$!])", r"\\\1", text)


def markdown_code(text: str) -> str:
    """Write a text as a code span that it cannot leave, whatever backticks it has."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"
