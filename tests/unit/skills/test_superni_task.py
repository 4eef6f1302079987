"""Super-NaturalInstructions, in small files of both its formats."""

import json
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.skills.superni_task import SuperniTask

TASK = "task363_sst2_polarity_classification"
PROMPT = "Definition: Tell the mood.\n\nNow complete the following example -\nInput: {}\nOutput:"


def content(name: str, count: int, answers: tuple[Any, ...] = ("POS", "NEG"), **changes: Any) -> dict[str, Any]:
    return {
        "Definition": ["Tell the mood.", "Another way to say it."],
        "Positive Examples": [{"input": "lovely", "output": "POS", "explanation": "it is"}] * 2,
        "Instances": [
            {"id": str(n), "input": f"{name} {n}", "output": answers[n % len(answers)]} for n in range(count)
        ],
        **changes,
    }


def stored(folder: Path, **files: Any) -> Path:
    where = folder / TASK
    where.mkdir(parents=True)
    for name, text in {**{s: content(s, 4) for s in ("train", "dev", "test")}, **files}.items():
        if text is not None:
            (where / f"{name}.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return folder


@pytest.mark.parametrize("inside", ["", "SuperNI", "CL_Benchmark/SuperNI", "tasks"])
def test_folders_of_splits(tmp_path: Path, inside: str):
    stored(tmp_path / inside)
    skill = SuperniTask(str(tmp_path), TASK)
    test = list(skill.examples("test"))
    assert (test[1].prompt, test[1].completion) == (PROMPT.format("test 1"), " NEG")
    assert test[1].choices == (" NEG", " POS")
    assert [len(list(skill.examples(split))) for split in ("train", "validation", "test")] == [4, 4, 4]  # type: ignore[arg-type]
    assert (skill.metric, skill.max_answer_tokens) == ("rouge_l", 50)


def test_positive_examples_stand_in_the_prompt_when_asked(tmp_path: Path):
    example = next(SuperniTask(str(stored(tmp_path)), TASK, num_examples=1).examples("test"))
    assert example.prompt == (
        "Definition: Tell the mood.\n\nPositive Example 1 -\nInput: lovely\nOutput: POS\n\n"
        "Now complete the following example -\nInput: test 0\nOutput:"
    )
    with pytest.raises(GrowlmError, match="num_examples -1"):
        SuperniTask(str(tmp_path), TASK, num_examples=-1)


def test_one_file_as_the_collection_has_it(tmp_path: Path):
    (tmp_path / f"{TASK}.json").write_text(json.dumps(content("x", 260)))
    skill = SuperniTask(str(tmp_path), TASK, num_train=40)
    parts = {split: {e.prompt for e in skill.examples(split)} for split in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert [len(found) for found in parts.values()] == [40, 100, 100]
    assert len(set.union(*parts.values())) == 240
    (tmp_path / f"{TASK}.json").write_text(json.dumps(content("x", 200)))
    with pytest.raises(GrowlmError, match="200 different instances are too few"):
        SuperniTask(str(tmp_path), TASK)


def test_free_answers_have_no_choices(tmp_path: Path):
    free = tuple(f"a summary of number {n} in full words" for n in range(4))
    data = str(stored(tmp_path, train=content("train", 4, free)))
    assert {example.choices for example in SuperniTask(data, TASK).examples("train")} == {()}
    with pytest.raises(GrowlmError, match="its answers are free; score by generation"):
        SuperniTask(data, TASK, scoring="candidates")
    assert SuperniTask(str(tmp_path), TASK).scoring == "generation"


def test_of_several_outputs_the_first_is_taken(tmp_path: Path):
    data = str(stored(tmp_path, test=content("test", 2, (["POS", "NEG"],))))
    assert [example.completion for example in SuperniTask(data, TASK).examples("test")] == [" POS", " POS"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": content("test", 0)}, r"the test split is empty"),
        ({"test": {"Instances": []}}, r"test.json: no object with 'Definition' and 'Instances'"),
        ({"test": "[]"}, r"test.json: no object with 'Definition' and 'Instances'"),
        ({"test": "{"}, r"test.json is not valid JSON"),
        ({"test": content("test", 1, Instances=[{"input": "a"}])}, r"row 1: 'output' is missing \(found: 'input'\)"),
        ({"test": content("test", 1, ([],))}, r"row 1: output is \[\]; a text was expected"),
        ({"test": content("test", 1, Definition=[])}, r"test.json: Definition is \[\]; a text was expected"),
        ({"test": None}, r"test.json is missing; add it or leave it out"),
    ],
)
def test_bad_files(tmp_path: Path, files: dict[str, Any], message: str):
    with pytest.raises(GrowlmError, match=message) as error:
        SuperniTask(str(stored(tmp_path, **files)), TASK)
    assert "\n" not in str(error.value)


def test_missing_tasks(tmp_path: Path):
    stored(tmp_path)
    assert SuperniTask.missing_data({"data": str(tmp_path), "task": TASK}) is None
    assert SuperniTask.missing_data({"data": str(tmp_path), "task": "task1"}) == str(tmp_path / "task1")
    (tmp_path / TASK / "train.json").unlink()
    assert SuperniTask.missing_data({"data": str(tmp_path), "task": TASK}) == str(tmp_path / TASK / "train.json")
    with pytest.raises(GrowlmError, match="task 'task1' is not there or incomplete"):
        SuperniTask(str(tmp_path), "task1")
