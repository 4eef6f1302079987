"""A phase that is killed at any moment and run again ends in the bits of one that was not."""

import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from growlm.manifest.manifest import read_manifest
from tests.e2e.conftest import STEPS, Child, Files, Outcome, complaints, contents, result

Command = Callable[[Sequence[object]], Outcome]
Start = Callable[..., Child]

# where a process may die: between any two changes of the disk, in a step, while scoring
_MOMENTS = (
    ("os", "fsync"),
    ("os", "replace"),
    ("os", "rename"),
    ("os", "unlink"),
    ("os", "mkdir"),
    ("os", "rmdir"),
    ("shutil", "copy2"),
    ("growlm.train.score_cache", "score_with_answers"),
    ("growlm.methods.method", "trained_token_losses"),
)


def die_at(moment: int, seen: str) -> None:
    """Kill this process when one of the moments comes up for the ``moment``-th time; note each in a file."""
    import importlib

    count = 0

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            with open(seen, "a") as file:  # noqa: PTH123
                file.write(f"{name}\n")
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return function(*args, **kwargs)

        return counted

    for module_name, name in _MOMENTS:
        module = importlib.import_module(module_name)
        setattr(module, name, counting(name, getattr(module, name)))


@pytest.fixture(scope="module")
def whole(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack whose phase was not disturbed; read it, do not change it."""
    from growlm.cli.main import main

    stack = tmp_path_factory.mktemp("whole") / "stack"
    assert main(files.grow(stack)) == 0
    return stack


def moments(start: Start, files: Files, folder: Path) -> list[str]:
    """List the moments of an undisturbed phase."""
    seen = folder / "seen.txt"
    assert start(files.grow(folder / "counted"), functools.partial(die_at, -1, str(seen))).wait().status == 0
    return seen.read_text().split()


def test_killed_at_moments_of_its_work(
    files: Files, start: Start, command: Command, whole: Path, tmp_path: Path
) -> None:
    names = moments(start, files, tmp_path)
    draw = random.Random(0)
    training = [index for index, name in enumerate(names) if name == "trained_token_losses"][2:-2]
    scoring = [index for index, name in enumerate(names) if name == "score_with_answers"]
    assert len(scoring) == 5  # two before, three after: of the stories the stack's path too
    committing = range(scoring[-1] + 1, len(names))
    assert len(committing) > 10
    chosen = [draw.choice(training), scoring[1], draw.choice(scoring[2:]), *draw.sample(committing, 4)]
    for number, moment in enumerate(chosen):
        stack = tmp_path / f"killed{number}"
        child = start(files.grow(stack), functools.partial(die_at, moment, str(tmp_path / "ignored.txt")))
        assert child.wait().status == -signal.SIGKILL
        if (stack / "stack.json").exists():
            read_manifest(stack)  # whole at any moment
        assert command(files.grow(stack)).status == 0
        assert result(stack) == result(whole), names[moment]
        assert not list(stack.glob(".*"))


def test_killed_again_and_again(files: Files, start: Start, command: Command, whole: Path, tmp_path: Path) -> None:
    stack, draw = tmp_path / "stack", random.Random(1)
    begun = time.monotonic()
    assert start(files.grow(tmp_path / "timed")).wait().status == 0
    whole_time = time.monotonic() - begun
    killed = 0
    for _ in range(4):
        child = start(files.grow(stack))
        time.sleep(draw.uniform(0.3, 0.9) * whole_time)
        child.signal(signal.SIGKILL)
        killed += child.wait().status == -signal.SIGKILL
    assert killed
    assert command(files.grow(stack)).status == 0
    assert result(stack) == result(whole)


def test_undo_killed_at_every_moment(files: Files, start: Start, command: Command, whole: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(whole, bare)
    seen = tmp_path / "seen.txt"
    assert start(["undo", bare], functools.partial(die_at, -1, str(seen))).wait().status == 0
    names = seen.read_text().split()
    assert len(names) > 10
    for moment in random.Random(2).sample(range(len(names)), 6):
        stack = tmp_path / f"killed{moment}"
        shutil.copytree(whole, stack)
        child = start(["undo", stack], functools.partial(die_at, moment, str(tmp_path / "ignored.txt")))
        assert child.wait().status == -signal.SIGKILL
        if read_manifest(stack).modules:  # nothing happened yet
            assert command(["undo", stack]).status == 0
        else:  # the next command that writes takes the rest away
            assert command(["undo", stack]).status == 2
        (stack / ".lock").unlink(missing_ok=True)
        assert contents(stack) == contents(bare), names[moment]


def interrupted_in_training(child: Child, stack: Path) -> Outcome:
    """Wait until a state was saved, then presses Ctrl-C."""
    deadline = time.monotonic() + 120
    while not (stack / ".work" / "resume.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.signal(signal.SIGINT)
    return child.wait()


def slow_steps(seconds: float) -> None:
    """Make every training step take its time, so that something can happen meanwhile."""
    from growlm.train.phase import GrowPhase

    step = GrowPhase.training_step

    def slow(self: GrowPhase, *args: Any) -> Any:
        time.sleep(seconds)
        return step(self, *args)

    GrowPhase.training_step = slow  # type: ignore[method-assign]


def test_control_c_in_the_middle(files: Files, start: Start, command: Command, whole: Path, tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    done = interrupted_in_training(start(files.grow(stack), functools.partial(slow_steps, 0.2)), stack)
    assert done.status == 130
    assert len(complaints(done)) == 1
    line = done.err.splitlines()[-1]
    assert line.startswith("growlm: interrupted at step ")
    step = line.split()[4]
    assert line == f"growlm: interrupted at step {step} of {STEPS}; the same command resumes at step {step}"
    assert "Traceback" not in done.err
    assert read_manifest(stack).modules == ()
    assert not (stack / ".lock").exists()
    done = command(files.grow(stack))
    assert done.status == 0
    assert "resumed after step" in done.err
    assert result(stack) == result(whole)


def test_control_c_leaves_a_grown_stack_as_it_is(
    files: Files, start: Start, command: Command, whole: Path, tmp_path: Path
) -> None:
    stack = tmp_path / "stack"
    shutil.copytree(whole, stack)
    done = interrupted_in_training(
        start(files.grow(stack, skill=files.talk), functools.partial(slow_steps, 0.2)), stack
    )
    assert done.status == 130
    now = {name: bytes_ for name, bytes_ in contents(stack).items() if not name.startswith(".work/")}
    assert now == contents(whole)


def test_only_one_grows_at_a_time(files: Files, start: Start, command: Command, tmp_path: Path, whole: Path) -> None:
    stack = tmp_path / "stack"
    child = start(files.grow(stack), functools.partial(slow_steps, 0.1))
    deadline = time.monotonic() + 120
    while not (stack / ".work").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    done = command(files.grow(stack))
    assert done.status == 2
    assert (
        done.err
        == f"growlm: {stack} is in use by process {child.process.pid}: wait until it ends, or give another folder\n"
    )
    assert command(["undo", stack]).status == 2
    assert child.wait().status == 0
    assert result(stack) == result(whole)


@pytest.fixture
def unfinished(files: Files, start: Start, tmp_path: Path) -> Path:
    """A stack with an unfinished phase."""
    stack = tmp_path / "stack"
    child = start(files.grow(stack), functools.partial(slow_steps, 0.2))
    interrupted_in_training(child, stack)
    return stack


def test_other_settings_do_not_continue_a_phase(files: Files, command: Command, unfinished: Path, whole: Path) -> None:
    before = contents(unfinished)
    for change, said in (
        (("--seed", "1"), "seed 0, now 1"),
        (("--steps", "13"), f"steps {STEPS}, now 13"),
        (("--name", "other"), "name 'words', now 'other'"),
        (("--model.learning_rate", "0.5"), "learning_rate 0.01, now 0.5"),
        (("--module", "block"), "method_options"),
    ):
        done = command([*files.grow(unfinished), *change])
        assert done.status == 2
        error = done.err.splitlines()[-1]
        assert error.startswith("growlm: an unfinished phase with other settings is in ")
        assert said in error
        assert "--restart true" in error
        assert contents(unfinished) == before
    assert command([*files.grow(unfinished), "--seed", "1", "--restart", "true"]).status == 0
    assert read_manifest(unfinished).modules[0].seed == 1
    assert not (unfinished / ".work").exists()


def test_other_data_does_not_continue_a_phase(files: Files, start: Start, command: Command, tmp_path: Path) -> None:
    words = tmp_path / "words.jsonl"
    shutil.copy(files.words, words)
    stack = tmp_path / "stack"
    interrupted_in_training(start(files.grow(stack, skill=str(words)), functools.partial(slow_steps, 0.2)), stack)
    words.write_text(words.read_text() + '\n{"prompt": "the cat and", "completion": " yes"}\n')
    before = contents(stack)
    done = command(files.grow(stack, skill=str(words)))
    assert done.status == 2
    assert "an unfinished phase with other settings" in done.err
    assert contents(stack) == before


def test_a_damaged_state_says_what_to_do(files: Files, command: Command, unfinished: Path, whole: Path) -> None:
    state = unfinished / ".work" / "resume.ckpt"
    state.write_bytes(state.read_bytes()[:500])
    done = command(files.grow(unfinished))
    assert done.status == 2
    assert len(complaints(done)) == 1
    assert "resume.ckpt is damaged" in done.err
    assert command([*files.grow(unfinished), "--restart", "true"]).status == 0
    assert result(unfinished) == result(whole)
