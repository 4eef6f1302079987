"""TRACE, in small files of its format."""

import json
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.skills.trace_task import TraceTask


def stored(folder: Path, task: str = "FOMC", answers: tuple[str, ...] = ("A", "B", "C"), **files: Any) -> Path:
    where = folder / task
    where.mkdir(parents=True)
    rows = {
        split: [{"prompt": f"{split} text {n}\nStance:", "answer": answer} for n, answer in enumerate(answers)]
        for split in ("train", "eval", "test")
    }
    for name, content in {**rows, **files}.items():
        if content is not None:
            (where / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize("inside", ["", "LLM-CL-Benchmark_500"])
def test_the_authors_folders(tmp_path: Path, inside: str):
    stored(tmp_path / inside)
    skill = TraceTask(str(tmp_path), "fomc", scoring="candidates_per_token")
    test = list(skill.examples("test"))
    assert len(test) == 3
    assert (test[1].prompt, test[1].completion) == ("test text 1\nStance:", " B")
    assert test[1].choices == (" A", " B", " C")
    assert (skill.metric, skill.scoring, skill.chance()) == (
        "exact_match",
        "candidates_per_token",
        pytest.approx(1 / 3),
    )


@pytest.mark.parametrize(
    ("task", "answer", "metric"),
    [
        ("ScienceQA", "B\nA clause is a group of words.", "letter_match"),
        ("MeetingBank", "A motion was passed.", "rouge_l"),
        ("Py150", "return <NUM_LIT:0>", "edit_similarity"),
        ("NumGLUE-cm", "13.5", "exact_match"),
        ("NumGLUE-ds", "2", "exact_match"),
        ("20Minuten", "Ein Satz.", "sari"),
    ],
)
def test_every_task_has_the_metric_of_the_paper(tmp_path: Path, task: str, answer: str, metric: str):
    skill = TraceTask(str(stored(tmp_path, task, (answer,))), task)
    example = next(skill.examples("train"))
    assert skill.metric == metric
    assert (example.completion, example.choices) == (f" {answer}", ())
    with pytest.raises(GrowlmError, match="has no candidates to score by"):
        TraceTask(str(tmp_path), task, scoring="candidates")


def test_the_mark_of_a_corpus_is_no_part_of_the_prompt(tmp_path: Path):
    rows = [{"prompt": "<s> import os <EOL>", "answer": "x = os "}]
    example = next(TraceTask(str(stored(tmp_path, "Py150", ("y",), test=rows)), "py150").examples("test"))
    assert (example.prompt, example.completion) == ("import os <EOL>", " x = os")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": [{"prompt": "a", "answer": "D"}]}, r"test.json, row 1: answer 'D' is none of A, B, C"),
        ({"test": [{"prompt": "a", "answer": ""}]}, r"row 1: 'answer' is ''; a text was expected"),
        ({"test": [{"prompt": "a"}]}, r"row 1: 'answer' is missing \(found: 'prompt'\)"),
        ({"test": []}, r"FOMC: the test split is empty"),
        ({"test": "[{"}, r"test.json is not valid JSON"),
        ({"train": None}, r"task 'fomc' is incomplete: .*train.json is missing"),
    ],
)
def test_bad_files(tmp_path: Path, files: dict[str, Any], message: str):
    with pytest.raises(GrowlmError, match=message) as error:
        TraceTask(str(stored(tmp_path, **files)), "fomc")
    assert "\n" not in str(error.value)


def test_missing_and_unknown_tasks(tmp_path: Path):
    stored(tmp_path, **{"eval": None})
    assert TraceTask.missing_data({"data": str(tmp_path), "task": "FOMC"}) is None
    assert TraceTask.missing_data({"data": str(tmp_path), "task": "Py150"}) == str(tmp_path / "Py150" / "train.json")
    with pytest.raises(GrowlmError, match="task 'Py150' is incomplete"):
        TraceTask(str(tmp_path), "Py150")
    with pytest.raises(GrowlmError, match="unknown task of TRACE 'FOMCC': did you mean 'FOMC'"):
        TraceTask(str(tmp_path), "FOMCC")


def test_a_long_answer_ends_after_so_many_words(tmp_path: Path):
    rows = [{"prompt": "why?", "answer": "B\nbecause it is so"}, {"prompt": "what?", "answer": "C\nthat's it"}]
    stored(tmp_path, "ScienceQA", ("A",), test=rows)
    skill = TraceTask(str(tmp_path), "ScienceQA", answer_words=3)
    assert [example.completion for example in skill.examples("test")] == [" B\nbecause it", " C\nthat's it"]
    assert skill.shortened == ("ScienceQA/test:1",)
    assert TraceTask(str(tmp_path), "ScienceQA").shortened == ()
    with pytest.raises(GrowlmError, match="answer_words 0"):
        TraceTask(str(tmp_path), "ScienceQA", answer_words=0)
