"""Mutants of results. Not in the default tests: nox -s torture."""

import json
import lzma
import random
from pathlib import Path

import pytest

from growlm.bench.report.markdown import read_numbers, results_page
from growlm.bench.report.report import scores_table, write_report
from growlm.bench.run.result import read_cell
from growlm.data.example import Message
from growlm.files import read_json
from growlm.metrics.scoring import Answer
from growlm.sealed import json_digest
from tests.torture.conftest import Run
from tests.torture.mutations import dump_json, mutate_bytes, mutate_file, mutate_json, rewritten, sealed
from tests.unit.bench.conftest import make


@pytest.fixture
def cell(box: Path) -> Path:
    """A finished cell with answers."""
    path = box / "results" / "cells" / "grow" / "1" / "0" / "cell.json"
    result = make()
    said = Answer("chat/test/0", Message("assistant", "yes", (("yes",),), ()), "yes", 1.0)
    result.answers = {"chat": {"routed": [said], "oracle": [said], "all": [said]}}
    result.write(path)
    return path


def test_cells(cell: Path, run: Run) -> None:
    whole = json.loads(cell.read_bytes())

    def read(rng: random.Random) -> None:
        content = (
            dump_json(sealed(mutate_json(rng, whole), json_digest)) if rng.random() < 0.7 else mutate_file(rng, cell)
        )
        rewritten(cell, content, lambda: read_cell(cell))

    run("cells", 26_000, read)


def test_answers(cell: Path, run: Run) -> None:
    path = cell.with_name("answers.jsonl.xz")
    rows = [json.loads(line) for line in lzma.decompress(path.read_bytes()).splitlines()]

    def read(rng: random.Random) -> None:
        content = mutate_bytes(rng, path.read_bytes())
        if rng.random() < 0.7:
            content = lzma.compress(b"\n".join(dump_json(mutate_json(rng, row)) for row in rows), preset=0)
        rewritten(path, content, lambda: read_cell(cell))

    run("answers", 19_000, read)


def test_reports(cell: Path, box: Path, run: Run) -> None:
    whole, results = json.loads(cell.read_bytes()), cell.parents[4]

    def read(rng: random.Random) -> None:
        content = dump_json(sealed(mutate_json(rng, whole), json_digest))
        rewritten(cell, content, lambda: write_report(results, box / "out"))

    run("reports", 60, read)


def test_numbers_and_scores(cell: Path, box: Path, run: Run) -> None:
    write_report(cell.parents[4], box / "out")
    numbers = box / "out" / "results.json"
    scores = json.loads(cell.read_bytes())["scores"]
    made = box / "scores.json"

    def read(rng: random.Random) -> None:
        if rng.random() < 0.5:
            rewritten(numbers, mutate_file(rng, numbers), lambda: results_page(read_numbers(numbers), None, "x"))
        else:
            made.write_bytes(dump_json(mutate_json(rng, scores)))
            scores_table(read_json(made), "scores")

    run("numbers and scores", 26_000, read)
