"""Growing on tasks of published benchmarks: scored as asked, long prompts cut and counted, in the stack for good."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlm.files import read_json

LABELS = ["yes", "no"]


def task(folder: Path) -> Path:
    """Write a task of which one training and one test example are longer than the small base's context."""
    (folder / "boolqa").mkdir(parents=True)
    for split, count in (("train", 12), ("test", 6)):
        rows = [
            {
                "task": "boolqa", "instruction": "the cat sat ? Option: yes, no.\n",
                "input": f"{split} {n} " + "the big red box " * (400 if n == 5 else 1), "output": LABELS[n % 2],
            }
            for n in range(count)
        ]  # fmt: skip
        (folder / "boolqa" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.mark.parametrize("scoring", ["generation", "candidates"])
def test_a_task_is_grown_and_scored_as_asked(
    tmp_path: Path, files: Any, command: Callable[..., Any], scoring: str
) -> None:
    stack = tmp_path / "stack"
    options = json.dumps({"data": str(task(tmp_path / "data")), "task": "boolqa", "scoring": scoring})
    grown = command(files.grow(stack, "--model.skill_options", options, "--name", "boolqa", skill="cl_task"))
    assert grown.status in (0, None), grown.err
    # one of the twelve is held out for validation
    assert "1 of 11 examples are longer than max_length: their prompts are cut" in grown.out + grown.err
    module = read_json(stack / "modules" / "00-boolqa" / "module.json")
    assert module["cost"]["num_truncated"] == 1
    for mode in ("base", "oracle", "routed", "all"):
        score = module["scores"]["boolqa"][mode]
        assert (score["metric"], score["scoring"], score["count"]) == ("label_match", scoring, 4)
        assert score["value"] in (0, 0.25, 0.5, 0.75, 1)
        assert score["cut"] == 0, "the long test example is not among the first four"
    assert module["scores"]["stories"]["oracle"]["scoring"] == "likelihood"
    got = command(["eval", str(stack), "--skill", "boolqa", "--json"])
    assert got.status in (0, None), got.err
    cuts = [row["score"]["cut"] for row in json.loads(got.out)]
    assert cuts
    assert set(cuts) == {1}
