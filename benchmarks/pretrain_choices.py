"""What suits pretraining the 50M base: short runs of a smaller size, each with one thing changed.

``python benchmarks/pretrain_choices.py --question little-text [--card checkpoints/tinystories-50m]``

- ``little-text``: a base of 49 million parameters meets the five million tokens of TinyStories at hand many times over.
  Here ``mini`` meets a smaller share of them as often, so that what shows is what a long run on all of them would meet.
- ``grown``: without a GPU that base begins as ``mini``, expanded, and sees few tokens. Here a base of the size of
  ``mini`` begins as ``nano``: how fast may it go on without undoing what the smaller one learned last?

All runs of a question see as many tokens in as many rows, with the same seed and validation stories, and differ from
the first in the one thing that they are named after. Run again, it resumes. ``--card`` puts the table into
a base's model card.
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from card_section import put_section
from jsonargparse import auto_cli

from growlm.data.text import SEPARATOR
from growlm.errors import GrowlmError
from growlm.files import read_json, write_json, write_text
from growlm.pretrain.config import PretrainData, PretrainRun
from growlm.pretrain.run import pretrain_base
from growlm.pretrain.source import TextSource


@dataclass(frozen=True)
class Choice:
    """What a run has otherwise than the first.

    Args:
        run: other settings of the run.
        size: another shape of about as many parameters.
        added: another text beside the stories, as much of it as of them.
        repeat: passes over the stories in an epoch, where the other text has one.
        expand: a smaller base to begin with.
    """

    run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    size: str = "mini"
    added: str | None = None
    repeat: float = 1.0
    expand: str | None = None


def _from_nano(rate: float | None) -> Choice:
    """Begin as ``nano``, whose heads have 32 dimensions, at rates in the proportion of the defaults."""
    if rate is None:
        return Choice(size=_HEADS_OF_32)
    return Choice({"muon_lr": rate, "adamw_lr": rate / 5, "warmup_steps": 10}, size=_HEADS_OF_32, expand="nano")


_HEADS_OF_32 = "256x8x8x640"
_LITTLE_TEXT = {
    "as mini": Choice(),
    "dropout 0.1": Choice({"dropout": 0.1}),
    "weight decay 0.4": Choice({"weight_decay": 0.4}),
    "weight decay 0": Choice({"weight_decay": 0.0}),
    "Muon at half the rate": Choice({"muon_lr": 0.01}),
    "AdamW alone, 0.002": Choice({"muon_lr": None, "adamw_lr": 0.002}),
    "cosine": Choice({"schedule": "cosine"}),
    "deeper: 13 layers of 192": Choice(size="192x13x3x512"),
    "wider: 5 layers of 320": Choice(size="320x5x5x832"),
    "books, a third": Choice(added="books", repeat=2.0),
    "picture books, a third": Choice(added="picture books", repeat=2.0),
    "TinyWorld's stories, a third": Choice(added="TinyWorld", repeat=2.0),
}
_GROWN = {
    "from nano, Muon 0.005": _from_nano(0.005),
    "from nano, Muon 0.001": _from_nano(0.001),
    "from nano, Muon 0.002": _from_nano(0.002),
    "from nano, Muon 0.01": _from_nano(0.01),
    "from nano, Muon 0.02": _from_nano(0.02),
    "at random, Muon 0.02": _from_nano(None),
}
QUESTIONS = {"little-text": (_LITTLE_TEXT, 400_000), "grown": (_GROWN, None)}


@dataclass(frozen=True)
class Settings:
    """What all runs have in common; a folder holds runs of one."""

    story_bytes: int | None
    steps: int
    rows_per_step: int
    row_length: int
    stories: int
    seed: int
    threads: int


def main(
    question: Literal["little-text", "grown"] = "little-text",
    data: Path = Path("data"),
    out: Path | None = None,
    steps: int = 150,
    rows_per_step: int = 8,
    row_length: int = 512,
    stories: int = 300,
    seed: int = 0,
    threads: int = 2,
    card: Path | None = None,
) -> None:
    """Train what has not been trained yet, write ``choices.json`` and print the table.

    Args:
        question: which runs.
        data: folder of ``tinystories`` (``train.txt``, ``valid.txt``) and ``books`` (``books.jsonl``,
            ``picturebooks.txt``).
        out: folder of the runs and the result; left out: results/pretrain-<question>.
        steps: steps of a run.
        rows_per_step: rows of a step.
        row_length: tokens of a row.
        stories: validation stories of which bits per byte are measured.
        seed: seed of the runs.
        threads: CPU threads.
        card: folder of a base whose card gets the table.
    """
    choices, story_bytes = QUESTIONS[question]
    settings = Settings(story_bytes, steps, rows_per_step, row_length, stories, seed, threads)
    out = out or Path("results") / f"pretrain-{question}"
    out.mkdir(parents=True, exist_ok=True)
    file = out / "choices.json"
    result: dict[str, Any] = read_json(file) if file.exists() else {"settings": vars(settings), "runs": {}}
    if result["settings"] != vars(settings):
        raise GrowlmError(f"{file} was made with other settings: give another --out")
    validation = _validation(data, out, stories)
    for label, choice in choices.items():
        if label not in result["runs"]:
            result["runs"][label] = _run(choice, settings, data, validation, out)
            write_json(file, result)
    text = _table(result)
    sys.stdout.write(text)
    if card is not None:
        put_section(card / "README.md", f"What was tried at a smaller size: {question}", text)


def _validation(data: Path, out: Path, count: int) -> Path:
    """Write the first validation stories to a file of their own."""
    documents = TextSource(path=str(data / "tinystories" / "valid.txt")).documents()
    chosen = [story for story, _ in zip(documents, range(count), strict=False)]
    file = out / "validation.txt"
    write_text(file, f"\n{SEPARATOR}\n".join(chosen))
    return file


def _run(choice: Choice, settings: Settings, data: Path, validation: Path, out: Path) -> dict[str, Any]:
    stories = TextSource(str(data / "tinystories" / "train.txt"), max_bytes=settings.story_bytes, repeat=choice.repeat)
    sources = [stories]
    if choice.added is not None:
        sources.append(replace(_added(choice.added, data), max_bytes=settings.story_bytes))
    run = PretrainRun(steps=settings.steps, watch_every=0, compile=True, threads=settings.threads)
    folder = pretrain_base(
        "run",
        choice.size,
        PretrainData(sources, str(validation), "nano", settings.row_length, settings.rows_per_step),
        replace(run, **choice.run),
        settings.seed,
        out,
        out,
        overwrite=True,
        expand=choice.expand,
    )
    training = read_json(folder / "training.json")
    shutil.rmtree(folder)
    return {
        "bits_per_byte": training["validation"]["bits_per_byte"],
        **{key: training[key] for key in ("parameters", "tokens_seen", "training_seconds", "machine", "versions")},
        "source_bytes": [source["bytes"] for source in training["sources"]],
        "passes": training["tokens_seen"] / sum(source["tokens"] * source["repeat"] for source in training["sources"]),
    }


def _added(what: str, data: Path) -> TextSource:
    if what == "TinyWorld":
        return TextSource(skill="stories", skill_options={"num_train": 4_000})
    return TextSource(str(data / "books" / {"books": "books.jsonl", "picture books": "picturebooks.txt"}[what]))


def _table(result: dict[str, Any]) -> str:
    runs, settings = result["runs"], result["settings"]
    reference = next(iter(runs.values()))["bits_per_byte"]
    lines = ["| run | parameters | bits per byte | change |", "|---|---|---|---|"]
    lines += [
        f"| {label} | {run['parameters']:,} | {run['bits_per_byte']:.4f} | {run['bits_per_byte'] - reference:+.4f} |"
        for label, run in runs.items()
    ]
    first = next(iter(runs.values()))
    note = (
        f"Made by `benchmarks/pretrain_choices.py`: {settings['steps']} steps, {first['tokens_seen']:,} tokens each, "
        f"{first['passes']:.1f} passes over {sum(first['source_bytes']) / 1e6:.1f} MB of stories, seed "
        f"{settings['seed']}; measured on the first {settings['stories']} validation stories."
    )
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    auto_cli(main)
