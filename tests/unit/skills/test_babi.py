"""bAbI, in small files of its format."""

from pathlib import Path

import pytest

from growlm.errors import GrowlmError
from growlm.skills.babi import Babi

PLACES = ("kitchen", "garden", "office")


def story(name: str, number: int) -> str:
    first, second = PLACES[number % 3], PLACES[(number + 1) % 3]
    return (
        f"1 {name} went to the {first}.\n"
        f"2 Where is {name}? \t{first}\t1\n"
        f"3 {name} moved {number} steps to the {second}.\n"
        f"4 Where is {name}? \t{second}\t1 3\n"
    )


def stored(folder: Path, count: int = 40) -> Path:
    for stem in ("qa1_single-supporting-fact", "qa20_agents-motivations"):
        for split, names in (("train", ("Mary", "John")), ("test", ("Daniel",))):
            text = "".join(story(name, number) for number in range(count) for name in names)
            (folder / f"{stem}_{split}.txt").write_text(text)
    return folder


def test_a_question_comes_with_the_story_so_far(tmp_path: Path):
    skill = Babi(str(stored(tmp_path)), tasks=[1])
    first, second, *_ = skill.examples("test")
    assert first.prompt == "Daniel went to the kitchen.\nWhere is Daniel?\nAnswer:"
    assert second.prompt == (
        "Daniel went to the kitchen.\nDaniel moved 0 steps to the garden.\nWhere is Daniel?\nAnswer:"
    )
    assert (first.completion, second.completion) == (" kitchen", " garden")
    assert first.choices == (" garden", " kitchen", " office")
    assert (first.name, first.cut) == ("qa1_single-supporting-fact_test.txt:2", "left")
    assert (skill.metric, skill.chance()) == ("exact_match", pytest.approx(1 / 3))


def test_validation_is_held_out_by_the_story(tmp_path: Path):
    skill = Babi(str(stored(tmp_path)), tasks=[1])
    train, validation = ({e.prompt for e in skill.examples(split)} for split in ("train", "validation"))  # type: ignore[arg-type]
    assert 0 < len(validation) < len(train)
    assert not train & validation
    second = [prompt for prompt in validation if prompt and "steps" in prompt]
    assert all(f"{prompt.split(' moved')[0].split()[0]} moved" in prompt for prompt in second)
    assert len(second) <= len(validation) <= 2 * len(second), "both questions of a story are in the same split"


def test_a_file_of_validation_is_taken(tmp_path: Path):
    stored(tmp_path)
    (tmp_path / "qa1_single-supporting-fact_valid.txt").write_text(story("Sandra", 1))
    skill = Babi(str(tmp_path), tasks=[1])
    assert len(list(skill.examples("validation"))) == 2


def test_several_tasks_take_turns(tmp_path: Path):
    names = [example.name for example in Babi(str(stored(tmp_path)), tasks=[1, 20]).examples("test")]
    assert [name.partition("_")[0] for name in names[:4]] == ["qa1", "qa20", "qa1", "qa20"]


@pytest.mark.parametrize("inside", ["en", "babi_en", "tasks_1-20_v1-2/en"])
def test_the_folder_may_hold_the_original_folders(tmp_path: Path, inside: str):
    (tmp_path / inside).mkdir(parents=True)
    stored(tmp_path / inside)
    assert len(list(Babi(str(tmp_path), tasks=[20], num_test=3).examples("test"))) == 3
    assert Babi.missing_data({"data": str(tmp_path), "tasks": [1, 20]}) is None
    assert str(Babi.missing_data({"data": str(tmp_path)})).endswith("qa2_two-supporting-facts_train.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 Mary went home.\nMary slept.\n", r"line 2: no number and text \('Mary slept.'\)"),
        ("1 Mary went home.\n2 Where is Mary? \t \t1\n", r"line 2: a question without an answer"),
        ("1 Mary went home.\n", r"no question in it"),
        ("", r"no question in it"),
        ("1\n", r"line 1: no number and text"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str):
    stored(tmp_path)
    (tmp_path / "qa1_single-supporting-fact_train.txt").write_text(text)
    with pytest.raises(GrowlmError, match=message) as error:
        Babi(str(tmp_path), tasks=[1])
    assert "\n" not in str(error.value)


def test_wrong_options_and_missing_files(tmp_path: Path):
    stored(tmp_path)
    with pytest.raises(GrowlmError, match="bAbI has no task 21: give numbers from 1 to 20"):
        Babi(str(tmp_path), tasks=[21])
    for tasks in ([], [1, 1]):
        with pytest.raises(GrowlmError, match="give one or more numbers, each once"):
            Babi(str(tmp_path), tasks=tasks)
    with pytest.raises(GrowlmError, match=r"qa2_two-supporting-facts_train.txt is missing"):
        Babi(str(tmp_path), tasks=[2])
    (tmp_path / "qa1_single-supporting-fact_test.txt").write_bytes(b"1 \xff\n")
    with pytest.raises(GrowlmError, match="cannot be read"):
        Babi(str(tmp_path), tasks=[1])
