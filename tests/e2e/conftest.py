"""Small files to learn from, and ways to run growlm: in this process, or in one of its own that may be killed."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import shorten_answers

STEPS = 12
WORDS = ("cat", "dog", "box", "park", "Tom", "Lily", "red", "big", "hello", "yes", "no", "on")

Hook = Callable[[], None]


class Outcome(NamedTuple):
    """How a command ended."""

    status: int | None
    out: str
    err: str


class Files(NamedTuple):
    """What the tests learn from and measure on."""

    base: str
    words: str
    talk: str
    stories: str

    def grow(self, stack: Path, *more: str, skill: str | None = None) -> list[str]:
        """Write the words of a small phase."""
        words = f"grow --skill {skill or self.words} --stack {stack} --base {self.base} --stories {self.stories}"
        options = f"--steps {STEPS} --module lora --trainer.precision 32-true --trainer.accelerator cpu"
        sizes = "--model.batch_size 4 --model.num_scored 4 --model.learning_rate 1e-2 --model.checkpoint_every 3"
        return [*words.split(), *options.split(), *sizes.split(), *more]


@pytest.fixture(autouse=True)
def _short(short_answers: None) -> None:
    """Generate short answers in every test of this folder."""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, tiny_bases: dict[str, Path]) -> Files:
    """Rows with prompts and completions, conversations, stories, and a small base."""
    folder = tmp_path_factory.mktemp("files")
    pairs = [(one, other) for one in WORDS for other in WORDS if one < other]
    rows = [f'{{"prompt": "the {one} {other}", "completion": " sat on {other}"}}' for one, other in pairs]
    (folder / "words.jsonl").write_text("\n".join(rows))
    turns = [f'{{"turns": ["hello {one}", "yes {other}", "no", "goodbye {one}"]}}' for one, other in pairs]
    (folder / "talk.jsonl").write_text("\n".join(turns))
    (folder / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(60)))
    names = ("words.jsonl", "talk.jsonl", "stories.txt")
    return Files(str(tiny_bases["llama"]), *(str(folder / name) for name in names))


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[[Sequence[object]], Outcome]:
    """Run growlm in this process."""
    from growlm.cli.main import main

    def command(words: Sequence[object]) -> Outcome:
        capfd.readouterr()
        status = main([str(word) for word in words])
        return Outcome(status, *capfd.readouterr())

    return command


class Child:
    """A growlm of its own process.

    Args:
        process: the process.
        err: the file that its standard error goes to.
    """

    def __init__(self, process: BaseProcess, err: Path) -> None:
        self.process = process
        self._err = err

    def signal(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        assert self.process.pid is not None
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def wait(self) -> Outcome:
        """Wait for the end; a negative status is the signal that ended it."""
        self.process.join(120)
        assert self.process.exitcode is not None, "it hangs"
        return Outcome(self.process.exitcode, "", self._err.read_text())


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Child]:
    """Start growlm in a process of its own, forked from one that has everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["growlm.cli.phase", "growlm.show.report", __name__])
    children: list[Child] = []

    def start(words: Sequence[object], hook: Hook | None = None) -> Child:
        err = tmp_path / f"err{len(children)}.txt"
        process = context.Process(target=_run, args=([str(word) for word in words], str(err), hook))
        process.start()
        children.append(Child(process, err))
        return children[-1]

    yield start
    for child in children:
        child.process.kill()
        child.process.join()


def _run(words: list[str], err: str, hook: Hook | None) -> None:
    """What a child does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it from birth
    descriptor = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    from growlm.cli.main import main

    shorten_answers(pytest.MonkeyPatch())
    if hook is not None:
        hook()
    status = main(words)
    sys.stderr.flush()
    os._exit(status)


def complaints(outcome: Outcome) -> list[str]:
    """Return the lines in which growlm says what is wrong."""
    return [line for line in outcome.err.splitlines() if line.startswith("growlm: ")]


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def result(folder: Path) -> dict[str, object]:
    """Return what a phase must produce bit for bit: all of a stack but the seconds that it took."""
    import json

    module = next(iter(sorted(folder.glob("modules/*"), reverse=True)))
    record = json.loads((module / "module.json").read_text())
    record["cost"].pop("seconds")
    return {
        "tensors": (module / "module.safetensors").read_bytes(),
        "record": record,
        "accuracy": (folder / "accuracy.json").read_bytes(),
        "config": (folder / "config.json").read_bytes(),
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }
