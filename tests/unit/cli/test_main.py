import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from growlm.cli import main as cli
from growlm.commands import ls
from growlm.errors import GrowlmError


def test_overview_lists_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in cli.command_names():
        line = next(line for line in text.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 2, f"{name} says nothing of itself"


def test_version(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"growlm {version('growlm')}\n"


def test_without_words_the_process_own_count(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["growlm", "--version"])
    assert cli.main() == 0
    assert capsys.readouterr().out.startswith("growlm ")


@pytest.mark.parametrize("name", cli.command_names())
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([name, "--help"]) == 0
    assert "usage: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sl"], "growlm: unknown command 'sl': did you mean 'ls'? known: "),
        (["ls", "modls"], "growlm: --sort: unknown value 'modls': did you mean 'modules'? known: "),
        (["ls", "--jsno"], "growlm: unknown option '--jsno': did you mean '--json'?"),
        (["verify", "no/such/stack"], "growlm: no/such/stack"),
    ],
)
def test_mistakes_are_one_line_and_status_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


def raising(error: BaseException):
    def ls(sort: str | None = None) -> None:
        """Fail."""
        raise error

    return ls


def test_a_message_stays_one_line_and_cannot_steer_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr(ls, "ls", raising(GrowlmError("name 'a\nb\x1b[2J' [bold]is wrong[/bold]")))
    assert cli.main(["ls"]) == 2
    assert capsys.readouterr().err == "growlm: name 'a b [2J' [bold]is wrong[/bold]\n"


@pytest.mark.parametrize(("said", "shown"), [((), "interrupted"), (("run it again",), "run it again")])
def test_interrupt(said: tuple[str, ...], shown: str, monkeypatch, capsys):
    monkeypatch.setattr(ls, "ls", raising(KeyboardInterrupt(*said)))
    assert cli.main(["ls"]) == 130
    assert capsys.readouterr().err == f"growlm: {shown}\n"


@pytest.mark.usefixtures("signals_end_commands")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_as_ctrl_c_does(number: int, monkeypatch, capsys):
    ended: list[str] = []

    def stopped(sort: str | None = None) -> None:
        """Get a signal."""
        try:
            signal.raise_signal(number)
        finally:
            ended.append("cleaned up")

    before = signal.getsignal(number)
    monkeypatch.setattr(ls, "ls", stopped)
    assert cli.main(["ls"]) == 130
    assert capsys.readouterr().err == "growlm: interrupted\n"
    assert ended == ["cleaned up"]
    assert signal.getsignal(number) == before


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(ls, "ls", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["ls"])


class MisconfigurationException(Exception):  # noqa: N818
    """Named as Lightning's, which is not imported here."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission denied: change its permissions"),
        (OSError(28, "No space left on device", "x.json"), "x.json: No space left on device: free some space"),
        (OSError(30, "Read-only file system"), "Read-only file system: choose a folder that can be written"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "text is not valid utf-8"),
        (MemoryError(), "not enough memory: use a smaller batch"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0"), "is the disk full?"),
        (yaml.YAMLError("odd"), "yaml refuses a file (YAMLError: odd): it is damaged"),
        (MisconfigurationException("odd"), "Lightning refuses an option of the trainer: odd"),
    ],
)
def test_what_the_system_or_a_library_reports_is_one_line(error: Exception, said: str, monkeypatch, capsys):
    monkeypatch.setattr(ls, "ls", raising(error))
    assert cli.main(["ls"]) == 2
    written = capsys.readouterr().err
    assert written.startswith("growlm: ")
    assert written.count("\n") == 1
    assert said in written


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("ls >&-", 0, ""),  # nobody listens: nothing to complain of
        ("ls > /dev/full", 2, "growlm: No space left on device: free some space, then run the command again\n"),
        ("ls recipes/x 2>&-", 2, ""),
    ],
)
def test_closed_and_full_outputs(command: str, status: int, said: str, tmp_path: Path):
    line = f"{sys.executable} -m growlm {command}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (status, said)


def test_an_output_without_some_characters_gets_them_escaped(tmp_path: Path):
    stack = tmp_path / "checkpoints" / "caf\u00e9"
    stack.mkdir(parents=True)
    (stack / "stack.json").write_text('{"base": {"source": "caf\u00e9"}, "modules": []}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "growlm", "ls", "stacks"], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "caf\\xe9" in done.stdout


def test_status_and_raw_arguments(monkeypatch):
    received: list[str] = []

    def raw(arguments: list[str]) -> int:
        received.extend(arguments)
        return 7

    monkeypatch.setattr(ls, "ls", raw)
    monkeypatch.setattr(ls, "RAW", True, raising=False)
    assert cli.main(["ls", "--any.thing=1", "word"]) == 7
    assert received == ["--any.thing=1", "word"]


def test_a_reader_that_went_away_is_no_error():
    # it writes only when it is signalled that the reader has gone
    program = "import sys; from growlm.cli.main import main; sys.stdin.read(); sys.exit(main(['--help']))"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_python_m_growlm(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "growlm", "lss"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("growlm: unknown command 'lss'")
