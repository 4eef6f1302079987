"""Text of strangers on a terminal."""

import pytest
from rich.table import Table
from rich.text import Text

from growlm.errors import GrowlmError
from growlm.metrics.accuracy_matrix import AccuracyMatrix
from growlm.terminal import counted, plural, printable, safe_console

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07\u202ec[bold]d[/bold][/nothing]"


def test_what_steers_a_terminal_becomes_a_space():
    assert printable(HOSTILE) == "a [2Jb ]0;title  c[bold]d[/bold][/nothing]"
    assert printable("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert printable("\udce9") == " "


def test_a_noun_goes_with_its_number():
    assert [counted(number, "step") for number in (0, 1, 2_000)] == ["0 steps", "1 step", "2,000 steps"]
    assert counted(2, "entry", "entries") == "2 entries"
    assert [plural(number, "is", "are") for number in (1, 1.5)] == ["is", "are"]
    with pytest.raises(GrowlmError, match="no row 2 in a matrix of 1 skill:"):
        AccuracyMatrix(1).update(2, 0, 1.0)


@pytest.mark.parametrize("width", [None, 200])
def test_a_console_prints_names_as_they_are(width: int | None, capsys: pytest.CaptureFixture[str]):
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, style="bold"))
    console = safe_console(width=width)
    console.print(HOSTILE)
    console.print(table)
    written = capsys.readouterr().out
    assert written.count("a [2Jb ]0;title") == 5
    assert "\x1b" not in written
    assert "\x07" not in written
    assert "\u202e" not in written


def test_the_programs_own_colours_stay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    safe_console().print(Text("a\x1bb", style="bold"))
    assert capsys.readouterr().out == "\x1b[1ma b\x1b[0m\n"
