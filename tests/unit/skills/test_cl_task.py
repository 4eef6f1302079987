"""The 15-task benchmark, in small files of both its formats."""

import json
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.cl_task import ClTask

LABELS = ["entailment", "contradiction"]


def stored(folder: Path, group: str = "NLI", task: str = "RTE", **files: Any) -> Path:
    """Write a task as O-LoRA's authors store it."""
    where = folder / "CL_Benchmark" / group / task
    where.mkdir(parents=True)
    rows = {
        split: [{"sentence": f"sentence 1: {split} {n}\n", "label": LABELS[n % 2]} for n in range(count)]
        for split, count in (("train", 6), ("dev", 2), ("test", 4))
    }
    for name, content in {"labels": LABELS, **rows, **files}.items():
        if content is not None:
            (where / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def line(split: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "task": "boolqa", "instruction": "True or false? Option: True, False.\n",
        "input": f"{split} passage {number}\nAnswer:", "output": ["True", "False"][number % 2], **changes,
    }  # fmt: skip


def lines(folder: Path, **files: Any) -> Path:
    """Write a task as JSON lines."""
    where = folder / "boolqa"
    where.mkdir(parents=True)
    rows = {split: [line(split, n) for n in range(count)] for split, count in (("train", 6), ("dev", 2), ("test", 4))}
    for name, content in {**rows, **files}.items():
        if content is not None:
            text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
            (where / f"{name}.jsonl").write_text(text)
    return folder


def test_the_authors_folders(tmp_path: Path):
    skill = ClTask(str(stored(tmp_path)), "rte")
    train, validation, test = (list(skill.examples(split)) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (6, 2, 4)
    assert test[1].name == "RTE/test:2"
    assert test[1].prompt == (
        "Choose one of the options.\nOption: entailment, contradiction \nsentence 1: test 1\n\nAnswer:"
    )
    assert test[1].completion == " contradiction"
    assert test[1].choices == (" entailment", " contradiction")
    assert test[1].cut == "middle"
    assert (skill.metric, skill.scoring) == ("label_match", "generation")
    assert (skill.chance(), skill.majority()) == (0.5, 0.5)


@pytest.mark.parametrize("place", [".", "CL_Benchmark"])
def test_the_authors_instructions_are_read_where_they_are(tmp_path: Path, place: str):
    data = stored(tmp_path)
    (tmp_path / place / "configs").mkdir()
    (tmp_path / place / "configs" / "instruction_config.json").write_text(
        json.dumps({"NLI": [{"instruction_type": "zero-shot", "instruction": "How do they relate?\n"}]})
    )
    for given in (data, data / "CL_Benchmark"):
        example = next(ClTask(str(given), "RTE").examples("test"))
        assert example.prompt is not None
        assert example.prompt.startswith("How do they relate?\nOption: entailment, contradiction \n")


def test_instructions_of_your_own(tmp_path: Path):
    data = stored(tmp_path)
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"NLI": [{"instruction": "Well?\n"}]}))
    example = next(ClTask(str(data), "RTE", instructions=str(own)).examples("test"))
    assert example.prompt is not None
    assert example.prompt.startswith("Well?\n")
    own.write_text(json.dumps({"SC": []}))
    with pytest.raises(GrowlmError, match="no instruction for 'NLI'"):
        ClTask(str(data), "RTE", instructions=str(own))
    with pytest.raises(GrowlmError, match=r"nowhere.json is missing"):
        ClTask(str(data), "RTE", instructions=str(tmp_path / "nowhere.json"))


def test_copa_names_its_options_itself(tmp_path: Path):
    rows = [{"sentence": f"Which? A: a{n} B: b", "label": "AB"[n % 2]} for n in range(4)]
    data = stored(tmp_path, "COPA", "COPA", labels=["A", "B"], train=rows[:2], dev=None, test=rows[2:])
    assert next(ClTask(str(data), "copa").examples("test")).prompt == "Which? A: a2 B: b\nAnswer:"


def test_json_lines(tmp_path: Path):
    skill = ClTask(str(lines(tmp_path)), "BoolQA", scoring="candidates", cut="left")
    test = list(skill.examples("test"))
    assert test[0].prompt == "True or false? Option: True, False.\ntest passage 0\nAnswer:"
    assert (test[0].completion, test[0].choices, test[0].cut) == (" True", (" False", " True"), "left")
    assert skill.scoring == "candidates"


def test_every_prompt_ends_alike(tmp_path: Path):
    """Some copies end the texts of one split with ``Answer:`` and those of another without."""
    rows = [line("test", n, input=f"test passage {n}\n") for n in range(2)]
    skill = ClTask(str(lines(tmp_path, test=rows)), "boolqa")
    ends = [str(e.prompt)[-len("passage 0\nAnswer:") :] for split in ("train", "test") for e in skill.examples(split)]
    assert set(ends[-2:]) == {"assage 0\n\nAnswer:", "assage 1\n\nAnswer:"}
    assert all(end.endswith("\nAnswer:") for end in ends)


@pytest.mark.parametrize("write", [stored, lines])
def test_what_stands_in_the_test_stands_nowhere_else(tmp_path: Path, write: Any):
    data = write(tmp_path)
    folder = next(path.parent for path in data.rglob("test.json*"))
    ending = next(folder.glob("test.*")).suffix
    (folder / f"dev{ending}").write_bytes((folder / f"test{ending}").read_bytes())  # as in the authors' copy
    skill = ClTask(str(data), folder.name)
    assert len(skill.left_out) == 4
    parts = [{example.prompt for example in skill.examples(split)} for split in ("train", "validation", "test")]  # type: ignore[arg-type]
    assert len(parts[1]) >= 1, "held out from training"
    assert len(parts[0]) + len(parts[1]) == 6
    assert len(parts[2]) == 4
    assert len(set.union(*parts)) == 10


@pytest.mark.parametrize("missing", [None, ""])
def test_development_may_be_missing_or_empty(tmp_path: Path, missing: str | None):
    skill = ClTask(str(lines(tmp_path, dev=missing)), "boolqa")
    assert len(list(skill.examples("train"))) + len(list(skill.examples("validation"))) == 6
    assert list(skill.examples("validation"))


def test_rows_without_an_agreed_label_are_left_out(tmp_path: Path):
    rows = [{"sentence": "a", "label": "-"}, {"sentence": "b", "label": "entailment"}]
    assert len(list(ClTask(str(stored(tmp_path, test=rows)), "rte").examples("test"))) == 1
    rows = [line("test", 0, output="-"), line("test", 1)]
    assert len(list(ClTask(str(lines(tmp_path, test=rows)), "boolqa").examples("test"))) == 1


def test_prompts_may_be_held_short_in_every_split(tmp_path: Path):
    skill = ClTask(str(stored(tmp_path)), "rte", cut="left", max_prompt=12)
    for split in ("train", "validation", "test"):
        assert {(example.cut, example.max_prompt) for example in skill.examples(split)} == {("left", 12)}
    assert skill.digest("test") != ClTask(str(tmp_path), "rte", cut="left").digest("test")
    with pytest.raises(GrowlmError, match=r"max_prompt is 1, .*at least 2 tokens"):
        ClTask(str(tmp_path), "rte", max_prompt=1)


def test_a_sample_is_always_the_same(tmp_path: Path):
    data = str(stored(tmp_path))
    samples = [[e.name for e in ClTask(data, "rte", num_train=3, num_test=2).examples("train")] for _ in range(2)]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 3
    whole = [e.name for e in ClTask(data, "rte").examples("train")]
    assert samples[0] == [name for name in whole if name in samples[0]], "in the file's order"
    assert len(list(ClTask(data, "rte", num_test=2).examples("test"))) == 2
    assert len(list(ClTask(data, "rte", num_test=99).examples("test"))) == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": [{"sentence": "a", "label": "maybe"}]}, r"test.json, row 1: label 'maybe' is none of entailment"),
        ({"test": [{"sentence": "a", "label": 1}]}, r"row 1: label 1 is none of"),
        ({"test": []}, r"RTE: the test split is empty"),
        ({"train": []}, r"RTE: the train split is empty"),
        ({"test": "[{"}, r"test.json is not valid JSON"),
        ({"test": {"a": 1}}, r"test.json: dict instead of a list of rows"),
        ({"test": ["a"]}, r"test.json, row 1: no object"),
        ({"test": [{"text": "a", "label": "entailment"}]}, r"row 1: 'sentence' is missing \(found: 'text', 'label'\)"),
        ({"test": [{"sentence": " ", "label": "entailment"}]}, r"row 1: 'sentence' is ' '; a text was expected"),
        ({"test": [{"sentence": "\ud800", "label": "entailment"}]}, r"holds half of a surrogate pair"),
        ({"labels": {}}, r"labels.json: no list of labels"),
        ({"labels": ["a", "a"]}, r"labels.json: a label appears twice"),
        ({"test": None}, r"task 'rte' is incomplete: .*test.json is missing; add it or leave the task out"),
        ({"train": [{"sentence": "t", "label": "entailment"}], "test": [{"sentence": "t", "label": "entailment"}]},
         r"nothing is left for train"),
    ],
)  # fmt: skip
def test_bad_folders(tmp_path: Path, files: dict[str, Any], message: str):
    with pytest.raises(GrowlmError, match=message) as error:
        ClTask(str(stored(tmp_path, **files)), "rte")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": json.dumps(line("test", 0)) + "\n{broken\n"}, r"test.jsonl, line 2: no JSON"),
        ({"test": [line("test", 0, output="Maybe")]}, r"test.jsonl, line 1: label 'Maybe' is none of False, True"),
        ({"test": [line("test", 0, task="rte")]}, r"line 1: a row of task 'rte' among those of 'boolqa'"),
        ({"test": [line("test", 0, input=None)]}, r"line 1: 'input' is None; a text was expected"),
        ({"test": ""}, r"test.jsonl is empty"),
        ({"train": None}, r"is incomplete: .*train.jsonl is missing"),
    ],
)
def test_bad_lines(tmp_path: Path, files: dict[str, Any], message: str):
    with pytest.raises(GrowlmError, match=message) as error:
        ClTask(str(lines(tmp_path, **files)), "boolqa")
    assert "\n" not in str(error.value)


def test_missing_tasks_and_wrong_options(tmp_path: Path):
    data = str(stored(tmp_path))
    with pytest.raises(GrowlmError, match=r"task 'qqp' is not in .*: expected CL_Benchmark/<group>/qqp/labels.json"):
        ClTask(data, "qqp")
    with pytest.raises(GrowlmError, match="num_train 0 is too small: give 1 or more"):
        ClTask(data, "rte", num_train=0)
    with pytest.raises(GrowlmError, match="option 'scoring' is \"guess\""):
        skills.build("cl_task", {"data": data, "task": "rte", "scoring": "guess"})


def test_missing_data_is_named_without_reading(tmp_path: Path):
    data = stored(tmp_path, train="not read")
    assert ClTask.missing_data({"data": str(data), "task": "rte"}) is None
    assert ClTask.missing_data({"data": str(data), "task": "qqp"}) == str(data / "qqp")
    (data / "CL_Benchmark" / "NLI" / "RTE" / "test.json").unlink()
    assert str(ClTask.missing_data({"data": str(data), "task": "rte"})).endswith("NLI/RTE/test.json")
