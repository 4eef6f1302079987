import io
import logging

import pytest
from rich.console import Console

from growlm.progress import clock, console, log_to_stderr, track


@pytest.fixture
def every_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr("growlm.progress.LOG_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "growlm")
    return caplog


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    shown = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr("growlm.progress.console", lambda: shown)
    return stream


@pytest.fixture
def handlers():
    logger = logging.getLogger("growlm")
    before, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    yield logger.handlers
    logger.handlers[:] = before
    logger.setLevel(level)


def test_one_line_per_interval_where_there_is_no_terminal(every_line: pytest.LogCaptureFixture):
    with track(40, "scoring chat") as advance:
        advance(10, "loss 2.100")
        advance(30)
    first, last = every_line.messages
    assert first.startswith("scoring chat: 10/40, loss 2.100, 0:00 left")
    assert last.startswith("scoring chat: 40/40, ")


def test_a_short_loop_logs_nothing(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "growlm")
    with track(2, "scoring chat") as advance:
        advance()
        advance()
    assert caplog.messages == []


def test_the_end_of_a_long_loop_is_logged(every_line: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    with track(2, "scoring chat") as advance:
        advance()
        monkeypatch.setattr("growlm.progress.LOG_SECONDS", 60.0)
        advance()
    assert [line.partition(",")[0] for line in every_line.messages] == ["scoring chat: 1/2", "scoring chat: 2/2"]


def test_a_resumed_loop_counts_on(every_line: pytest.LogCaptureFixture):
    with track(1_000, "grow chat", completed=990) as advance:
        advance()
    assert every_line.messages[0].startswith("grow chat: 991/1,000, ")


def test_a_bar_in_a_terminal(terminal: io.StringIO):
    with track(4, "grow chat") as advance:
        advance(2, "loss 2.900")
    assert "50%" in terminal.getvalue()
    assert "loss 2.900" in terminal.getvalue()


def test_bars_of_nested_loops_share_the_terminal(terminal: io.StringIO):
    with track(2, "outer") as outer, track(3, "inner") as inner:
        inner(3)
        outer(2)
    with track(1, "next"):
        pass
    assert all(word in terminal.getvalue() for word in ("outer", "inner", "next"))


def test_an_error_closes_the_bar(terminal: io.StringIO):
    with pytest.raises(ValueError, match="in the loop"), track(2, "outer"):
        raise ValueError("in the loop")
    with track(2, "another") as advance:
        advance()
    assert "another" in terminal.getvalue()


def test_other_processes_show_no_bar(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with track(2, "grow chat") as advance:
        advance()
    assert terminal.getvalue() == ""


def test_log_lines_go_to_stderr_whole_and_once(handlers: list[logging.Handler], capsys: pytest.CaptureFixture[str]):
    log_to_stderr()
    log_to_stderr()
    line = "a line [with brackets] " + "and many words " * 20
    logging.getLogger("growlm.train").info(line)
    assert capsys.readouterr().err == f"{line}\n"


def test_other_processes_log_warnings_only(
    handlers: list[logging.Handler], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LOCAL_RANK", "1")
    log_to_stderr()
    logging.getLogger("growlm.train").info("scoring")
    logging.getLogger("growlm.train").warning("truncated")
    assert capsys.readouterr().err == "truncated\n"


def test_the_console_is_shared():
    assert console() is console()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3_661, "1:01:01")])
def test_clock(seconds: float, text: str):
    assert clock(seconds) == text
