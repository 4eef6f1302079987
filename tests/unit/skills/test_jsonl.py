"""The skill jsonl: shapes, splits, and every malformed line refused by file and line."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.jsonl import Jsonl

TALK = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def talks(count: int) -> list[Any]:
    return [
        {"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(count)
    ]


def contents(skill: Jsonl, split: str) -> list[tuple[str, ...]]:
    return [tuple(m.content for m in example.messages) for example in skill.examples(split)]  # type: ignore[arg-type]


def test_messages(tmp_path: Path):
    skill = skills.build("jsonl", {"train": write(tmp_path / "a.jsonl", talks(50))})
    assert skill.metric == "loss"
    train, test = contents(skill, "train"), contents(skill, "test")
    assert len(train) + len(test) + len(contents(skill, "validation")) == 50
    assert set(train) & set(test) == set()
    assert next(skill.examples("train")).name.startswith("a.jsonl:")


def test_what_is_held_out_depends_on_content_alone(tmp_path: Path):
    first = Jsonl(write(tmp_path / "a.jsonl", talks(60)))
    second = Jsonl(write(tmp_path / "b.jsonl", talks(60)[::-1]))
    assert set(contents(first, "test")) == set(contents(second, "test"))
    larger = Jsonl(write(tmp_path / "c.jsonl", talks(90)))
    assert set(contents(first, "test")) < set(contents(larger, "test")), "more rows move none out of the test"


def test_the_fewest_rows_that_can_be_split(tmp_path: Path):
    skill = Jsonl(write(tmp_path / "a.jsonl", talks(3)))
    assert [len(contents(skill, split)) for split in ("train", "validation", "test")] == [1, 1, 1]
    with pytest.raises(GrowlmError, match="too few different rows"):
        Jsonl(write(tmp_path / "b.jsonl", talks(2)))


def test_turns_drop_what_nobody_answers(tmp_path: Path):
    rows = [{"turns": [f"a{n}", "b", "c"], "id": n} for n in range(9)]
    skill = Jsonl(write(tmp_path / "a.jsonl", rows))
    assert all(turns[1:] == ("b",) for turns in contents(skill, "train"))


def test_completions(tmp_path: Path):
    rows = [{"prompt": f"{n} + 1 =", "completion": f" {n + 1}", "choices": [f" {n}", f" {n + 1}"]} for n in range(9)]
    skill = Jsonl(write(tmp_path / "a.jsonl", rows))
    example = next(skill.examples("train"))
    assert skill.metric == "exact_match"
    assert (example.prompt or "").endswith("+ 1 =")
    assert (example.completion or "").startswith(" ")
    assert len(example.choices) == 2
    assert skill.chance("train") == 0.5
    assert Jsonl(str(tmp_path / "a.jsonl"), metric="loss").metric == "loss"


def test_text_in_xz(tmp_path: Path):
    path = tmp_path / "a.jsonl.xz"
    with lzma.open(path, "wt", encoding="utf-8") as handle:
        handle.writelines(json.dumps({"story": f" Once {n}. "}) + "\n" for n in range(9))
    skill = Jsonl(str(path), fields={"text": "story"})
    assert skill.metric == "bits_per_byte"
    assert (next(skill.examples("train")).text or "").startswith("Once")


def test_mapped_fields_decide_the_shape(tmp_path: Path):
    rows = [
        {"text": "x", "dialog": [{"from": "user", "value": f"{n}"}, {"from": "assistant", "value": "y"}]}
        for n in range(9)
    ]
    fields = {"messages": "dialog", "role": "from", "content": "value"}
    assert Jsonl(write(tmp_path / "a.jsonl", rows), fields=fields).metric == "loss"


def test_splits_by_field(tmp_path: Path):
    parts = ["train", "train", "valid", "test", "other"]
    rows = [{"turns": [f"{n}", "b"], "split": parts[n % 5]} for n in range(20)]
    path = write(tmp_path / "a.jsonl", rows)
    splits = {"train": ["train"], "validation": ["valid"], "test": ["test"]}
    skill = Jsonl(path, split_field="split", splits=splits)
    assert [len(contents(skill, split)) for split in splits] == [8, 4, 4]  # type: ignore[arg-type]
    held_out = Jsonl(path, split_field="split", splits={"train": ["train", "valid"]})
    assert sum(len(contents(held_out, split)) for split in splits) == 12  # type: ignore[arg-type]
    assert all(contents(held_out, split) for split in splits)  # type: ignore[arg-type]


def test_files_for_each_split_stay_apart(tmp_path: Path):
    train, test = write(tmp_path / "train.jsonl", talks(20)), write(tmp_path / "test.jsonl", talks(5))
    skill = Jsonl(train, test=test)
    assert len(contents(skill, "test")) == 5
    assert not set(contents(skill, "test")) & set(contents(skill, "train"))
    assert sorted(skill.left_out) == [f"train.jsonl:{n}" for n in range(1, 6)]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(["\ufeff" + json.dumps(talks(9)[0]), "", *map(json.dumps, talks(9)[1:]), "", ""]))
    assert sum(len(contents(Jsonl(str(path)), split)) for split in ("train", "validation", "test")) == 9


def say(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[1, 2]", "a list instead of an object"),
        ("null", "null instead of an object"),
        ("3", "a number instead of an object"),
        ('{"text": "x"', "no JSON .* at character"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"text": {"1" * 5_000}}}', "a number has too many digits"),
        ({"words": "x"}, "keys needed are missing .found: 'words'"),
        ({}, "found: none"),
        ({"text": "x", "turns": ["a", "b"]}, "several shapes at once .'turns', 'text'"),
        ({"text": "x"}, "shape 'text' after rows with 'messages'"),
        ({"messages": "x"}, "'messages' is not a list"),
        ({"messages": []}, "'messages' is not a list with entries"),
        ({"messages": ["x"]}, "turn 1: no object"),
        ({"messages": [say("tool", "x")]}, "turn 1: role 'tool' instead of 'user' or 'assistant'"),
        ({"messages": [say("user", "x"), say("user", "y")]}, "turn 2: role 'user' instead of 'assistant'"),
        ({"messages": [say("system", "x"), say("user", "y")]}, "no turn of the assistant"),
        (
            {"messages": [say("user", "x"), say("system", "y")]},
            "turn 2: role 'system' instead of 'assistant'; user and",
        ),
        ({"messages": [say("user", "x"), say("assistant", None)]}, "turn 2: 'content' is null"),
        ({"messages": [say("user", [{"type": "image_url"}])]}, "turn 1: 'content' has a part of type 'image_url'"),
        ({"messages": [say("user", "x"), {**say("assistant", "y"), "weight": 0.5}]}, "'weight' is 0.5; give 0 or 1"),
        ('{"text": "x", "text": "y"}', "the key 'text' comes twice"),
        ({"messages": [say("user", "x"), say("assistant", " ")]}, "turn 2: 'content' is empty"),
        ({"messages": [say("user", 3)]}, "turn 1: 'content' is not a string"),
        ({"messages": [{"role": "user"}]}, "turn 1: 'content' is missing"),
        ({"messages": [say("user", "x")]}, "no turn of the assistant"),
        ({"messages": [say("user", "x\ud800")]}, "surrogate"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(tmp_path: Path, row: Any, message: str):
    path = tmp_path / "data.jsonl"
    line = row if isinstance(row, str) else json.dumps(row)
    path.write_text(json.dumps(TALK) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(GrowlmError, match=message) as error:
        Jsonl(str(path))
    assert f"{path}, line 2" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"turns": ["a", 3]}, "turn 2 is not a string"),
        ({"turns": ["a", ""]}, "turn 2 is empty"),
        ({"turns": ["a"]}, "no turn of the assistant"),
        ({"prompt": "a"}, "'completion' is missing"),
        ({"completion": "a"}, "'prompt' is missing"),
        ({"prompt": "a", "completion": ""}, "'completion' is empty"),
        ({"prompt": "a", "completion": "b", "choices": ["c"]}, "none of the choices"),
        ({"prompt": "a", "completion": "b", "choices": []}, "'choices' is not a list"),
        ({"text": None}, "keys needed are missing"),
    ],
)
def test_a_bad_first_line(tmp_path: Path, row: Any, message: str):
    with pytest.raises(GrowlmError, match=f"line 1.*{message}"):
        Jsonl(write(tmp_path / "a.jsonl", [row, row]))


def test_a_line_that_is_no_utf8(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(TALK).encode() + b'\n{"text": "\xff"}\n')
    with pytest.raises(GrowlmError, match=r"line 2: no UTF-8 text"):
        Jsonl(str(path))


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file(tmp_path: Path, content: bytes):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(GrowlmError, match=r"a\.jsonl is empty"):
        Jsonl(str(path))


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(GrowlmError, match="is missing"):
        Jsonl(str(tmp_path / "no.jsonl"))


@pytest.mark.parametrize("content", [b"no xz at all", lzma.compress(b'{"text": "x"}\n' * 9)[:-20]])
def test_a_damaged_archive(tmp_path: Path, content: bytes):
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(content)
    with pytest.raises(GrowlmError, match=r"not a whole \.xz file"):
        Jsonl(str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": {"mesages": "x"}}, "did you mean 'messages'"),
        ({"fields": {"text": "body"}}, "as fields says"),
        ({"split_field": "split"}, "belong together"),
        ({"split_field": "split", "splits": {"valid": ["x"]}}, "did you mean 'validation'"),
        ({"split_field": "part", "splits": {"train": ["x"]}}, "'part' is missing"),
        ({"split_field": "split", "splits": {"train": ["a"], "test": ["tset"]}}, r"no row for test: .*it is \['a'\]"),
        ({"held_out_share": 0.7}, "between 0 and 0.5"),
        ({"metric": "exact_match"}, "unknown metric"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str):
    rows = [{**row, "split": "a"} for row in talks(9)]
    with pytest.raises(GrowlmError, match=message):
        Jsonl(write(tmp_path / "a.jsonl", rows), **options)


def test_a_split_given_twice(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", [{**row, "split": "a"} for row in talks(9)])
    with pytest.raises(GrowlmError, match="test is given twice"):
        Jsonl(path, test=path, split_field="split", splits={"train": ["a"], "test": ["a"]})


def test_the_same_rows_everywhere(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", talks(9))
    with pytest.raises(GrowlmError, match="nothing is left for"):
        Jsonl(path, validation=path, test=path)


def test_an_answer_keeps_its_white_space(tmp_path: Path):
    rows = [{"messages": [say("user", f" Say {n} "), say("assistant", "    return 'ball'\n")]} for n in range(9)]
    skill = Jsonl(write(tmp_path / "a.jsonl", rows))
    assert all(turns[1] == "    return 'ball'\n" for turns in contents(skill, "train"))
    assert all(turns[0].startswith("Say") for turns in contents(skill, "train"))


@pytest.mark.parametrize("key", ["weight", "train", "trainable", "loss"])
def test_a_turn_of_weight_0_is_not_trained(tmp_path: Path, key: str):
    rows = [
        {"messages": [say("user", f"{n}"), {**say("assistant", "a"), key: 0}, say("user", "b"), say("assistant", "c")]}
        for n in range(9)
    ]
    for example in Jsonl(write(tmp_path / "a.jsonl", rows)).examples("train"):
        assert [message.trained for message in example.messages] == [True, False, True, True]


def test_system_turns_and_parts_of_text(tmp_path: Path):
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    rows = [{"messages": [say("system", "Be kind."), say("user", f"{n}"), say("assistant", parts)]} for n in range(9)]
    example = next(Jsonl(write(tmp_path / "a.jsonl", rows)).examples("train"))
    assert [message.role for message in example.messages] == ["system", "user", "assistant"]
    assert example.messages[-1].content == "Hello"


def test_sharegpt(tmp_path: Path):
    turns = [("system", "Be kind."), ("human", "Hi"), ("gpt", "Hello")]
    rows = [
        {"id": n, "conversations": [{"from": role, "value": f"{text} {n}"} for role, text in turns]} for n in range(9)
    ]
    example = next(Jsonl(write(tmp_path / "a.jsonl", rows)).examples("train"))
    assert [message.role for message in example.messages] == ["system", "user", "assistant"]


def test_null_is_absent(tmp_path: Path):
    rows = [{"prompt": f"{n}", "completion": "x", "text": None, "choices": None} for n in range(9)]
    assert Jsonl(write(tmp_path / "a.jsonl", rows)).metric == "exact_match"


def test_unknown_keys_are_named_once_with_their_number(tmp_path: Path):
    rows: list[Any] = [{**talk, "id": 1} for talk in talks(9)]
    rows[0]["messages"][1]["reasoning_content"] = "hm"
    notices = Jsonl(write(tmp_path / "a.jsonl", rows)).notices
    assert "'id' (9 times), 'reasoning_content' (1 time)" in notices[-1]


def test_a_row_of_more_than_a_megabyte_is_refused_by_its_line_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = ['{"text": "a"}', '{"text": "' + "a" * 2_100_000 + '"}', *(f'{{"text": "{n}"}}' for n in range(3, 6))]
    path.write_text("\n".join(rows))
    with pytest.raises(GrowlmError, match=r"rows\.jsonl, line 2: longer than 1,000,000 bytes"):
        Jsonl(str(path))
    skill = Jsonl(str(path), on_bad="skip")
    found = [example for split in ("train", "validation", "test") for example in skill.examples(split)]
    assert sorted(example.name for example in found) == [f"rows.jsonl:{line}" for line in (1, 3, 4, 5)]
    assert f"bad rows left out: 1; the first: {path}, line 2" in skill.notices[1]
