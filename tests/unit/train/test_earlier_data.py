"""The data of an earlier skill may be gone or changed: it is not scored again, and growing goes on."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.train.result import Grown

Run = Callable[..., Grown]


def lose(path: Path) -> None:
    path.unlink()


def change(path: Path) -> None:
    path.write_text(path.read_text().replace("Tom", "box"))


@pytest.mark.parametrize(("damage", "said"), [(lose, "first.jsonl"), (change, "its held-out examples changed")])
def test_it_keeps_its_earlier_scores(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], said: str
) -> None:
    first = run("first")
    damage(tmp_path / "first.jsonl")
    with caplog.at_level(logging.WARNING):
        second = run("second")
    assert "module 'first' is not scored again and keeps its earlier scores" in caplog.text
    assert said in caplog.text
    assert set(second.record.scores) == {"stories", "second"}
    assert second.stack.manifest.modules[0].scores == first.record.scores
