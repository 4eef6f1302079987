"""Phases of two steps on a small random base."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from growlm.train.result import Grown

WORDS = ("cat", "dog", "box", "park", "Tom", "Lily", "red", "big")


@pytest.fixture(autouse=True)
def _short(short_answers: None) -> None:
    """Generate short answers in every test of this folder."""


@pytest.fixture
def run(tiny_bases: dict[str, Path], tmp_path: Path) -> Callable[..., Grown]:
    """Grow a module on one of two skills of prompts and completions."""
    stories = tmp_path / "stories.txt"
    stories.write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))
    for name, ask in {"first": "hello {}", "second": "{} 1 2 3 {}"}.items():
        rows = [
            {"prompt": ask.replace("{}", f"{one} {two}"), "completion": f" {name[0]}"} for one in WORDS for two in WORDS
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(name: str, folder: str = "stack", *callbacks: Callback, **settings: Any) -> Grown:
        given = {"num_scored": 4, "stories": str(stories), "parents": "none", **settings}
        given.setdefault("method_options", {"module": {"lora": {"rank": 2}}})
        phase = GrowPhase(
            str(tmp_path / f"{name}.jsonl"),
            stack=tmp_path / folder,
            base=str(tiny_bases["llama"]),
            batch_size=4,
            **given,
        )
        trainer = new_trainer(max_steps=2, precision="32-true", accelerator="cpu", callbacks=list(callbacks))
        return fit_phase(phase, trainer)

    return run
