"""The skill jsonl: shapes, splits, and every malformed line refused by file and line."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from growlm.data.example import Example
from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.jsonl import Jsonl
from growlm.skills.rows import Rows, keep_rows

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
        ({"words": "x"}, "keys needed are missing .found: 'words'"),
        ({}, "found: none"),
        ({"text": "x", "turns": ["a", "b"]}, "several shapes at once .'turns', 'text'"),
        ({"text": "x"}, "shape 'text' after rows with 'messages'"),
        ({"messages": "x"}, "'messages' is no list"),
        ({"messages": []}, "'messages' is no list with entries"),
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
        ({"messages": [say("user", 3)]}, "turn 1: 'content' is no string"),
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
        ({"turns": ["a", 3]}, "turn 2 is no string"),
        ({"turns": ["a", ""]}, "turn 2 is empty"),
        ({"turns": ["a"]}, "no turn of the assistant"),
        ({"prompt": "a"}, "'completion' is missing"),
        ({"completion": "a"}, "'prompt' is missing"),
        ({"prompt": "a", "completion": ""}, "'completion' is empty"),
        ({"prompt": "a", "completion": "b", "choices": ["c"]}, "none of the choices"),
        ({"prompt": "a", "completion": "b", "choices": []}, "'choices' is no list"),
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
    with pytest.raises(GrowlmError, match=r"no whole \.xz file"):
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
    assert "'id' (9 times), 'reasoning_content' (1 times)" in notices[-1]


def examples(rows: Any, **options: Any) -> tuple[Example, ...]:
    """Return all examples of some rows, in their order."""
    skill = Rows(keep_rows(rows), **options)
    found = [example for split in ("train", "validation", "test") for example in skill.examples(split)]
    return tuple(sorted(found, key=lambda example: int(example.name.partition(":")[2])))


def spoken(example: Example) -> list[tuple[str, str, bool]]:
    return [(message.role, message.content, message.trained) for message in example.messages]


SHAPES_OF_ROWS = {
    "conversations (OpenAI messages)": (
        {"messages": [say("system", "s"), say("assistant", " hi "), say("user", "q"), say("assistant", "a\n")]},
        [("system", "s", True), ("assistant", " hi ", True), ("user", "q", True), ("assistant", "a\n", True)],
    ),
    "conversations (ShareGPT)": (
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": " a"},
                {"from": "human", "value": "?"},
            ]
        },
        [("user", "q", True), ("assistant", " a", True)],
    ),
    "instructions with answers (Alpaca)": (
        {"instruction": "add", "input": "1 2", "output": " 3", "text": None},
        [("user", "add\n\n1 2", True), ("assistant", " 3", True)],
    ),
    "prompts with completions": (
        {"prompt": [say("user", "q"), say("assistant", "a"), say("user", "r")], "completion": [say("assistant", " b")]},
        [("user", "q", True), ("assistant", "a", False), ("user", "r", True), ("assistant", " b", True)],
    ),
    "preference pairs, of which the chosen side is trained": (
        {"prompt": "q", "chosen": " good", "rejected": "bad"},
        [("user", "q", True), ("assistant", " good", True)],
    ),
}


@pytest.mark.parametrize("name", SHAPES_OF_ROWS)
def test_the_shape_is_found_and_said_with_counts(name: str) -> None:
    row, expected = SHAPES_OF_ROWS[name]
    rows = [{**row, "id": n, "text": None} for n in range(3)] + numbered(row)
    found, said = examples(rows), "\n".join(Rows(keep_rows(rows)).notices)
    assert spoken(found[0]) == expected
    assert f"the rows: 6 {name}" in said
    assert "keys that are not used: 'id' (3 times)" in said


def numbered(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return three rows whose first text differs."""
    return [json.loads(json.dumps(row).replace('"q"', f'"q{n}"').replace('"add"', f'"add {n}"')) for n in range(3)]


def test_tools_go_to_the_chat_template() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "clock"}}]}
    turns = [say("user", "time?"), call, {**say("tool", " 12 "), "tool_call_id": "1"}, say("assistant", "12")]
    rows = [{"messages": [say("system", f"{n}"), *turns], "tools": [{"type": "function"}]} for n in range(3)]
    example = examples(rows)[0]
    assert "3 system turns; 3 tool turns; 3 with tools" in Rows(keep_rows(rows)).notices[0]
    assert json.loads(example.tools) == [{"type": "function"}]
    assert [message.role for message in example.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert json.loads(example.messages[2].extra) == {"tool_calls": call["tool_calls"]}
    assert (example.messages[2].content, example.messages[3].content) == ("", " 12 ")


def test_an_instruction_takes_a_template() -> None:
    rows = [{"instruction": f"add {n}", "input": "{instruction}", "output": "x"} for n in range(3)]
    assert (
        examples(rows, template="Given {input}: {instruction}!")[0].messages[0].content == "Given {instruction}: add 0!"
    )
    with pytest.raises(GrowlmError, match="has not both places"):
        examples(rows, template="{instruction}")


def test_bad_rows_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*map(json.dumps, talks(9)), "no JSON", '{"text": "x"}']))
    with pytest.raises(GrowlmError, match="line 10: no JSON"):
        Jsonl(str(path))
    skill = Jsonl(str(path), on_bad="skip")
    assert sum(len(contents(skill, split)) for split in ("train", "validation", "test")) == 9
    assert f"{path}: 2 bad rows are left out; the first: {path}, line 10: no JSON" in skill.notices[1]
    path.write_text("no JSON\n{}")
    with pytest.raises(GrowlmError, match=r"none of 2 rows can be used; the first: .* line 1"):
        Jsonl(str(path), on_bad="skip")


@pytest.mark.parametrize("row", [{"id": 1}, {"messages": [{**say("user", "x"), "id": 1}, say("assistant", "y")]}])
def test_strict_refuses_keys_that_nothing_is_made_of(row: dict[str, Any]) -> None:
    rows = [*talks(3), {**talks(1)[0], **row}]
    assert len(examples(rows)) == 4
    with pytest.raises(GrowlmError, match=r"row 4.*: nothing is made of the key 'id'"):
        examples(rows, strict=True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": "x", "rejected": "y"}, "'chosen' is text without a prompt"),
        ({"instruction": "x", "output": " "}, "'output' is empty"),
        ({"instruction": "x", "output": "y", "input": 3}, "'input' is no string"),
        ({"messages": [say("user", "x"), say("assistant", "y")], "tools": "["}, "'tools' is no JSON"),
        ({"messages": "[1"}, "'messages' is no JSON list"),
    ],
)
def test_a_bad_row_of_another_shape(row: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=f"the rows, row 1: {message}"):
        examples([row])


def test_rows_are_a_list_an_iterator_or_a_data_set() -> None:
    datasets = pytest.importorskip("datasets")
    expected = keep_rows(talks(9))
    assert keep_rows(iter(talks(9))) == keep_rows(datasets.Dataset.from_list(talks(9))) == expected
    splits = {"train": talks(5), "test": talks(9)[5:]}
    skill = Rows(keep_rows(splits))
    assert len(list(skill.examples("test"))) == 4
    assert keep_rows(datasets.DatasetDict({key: datasets.Dataset.from_list(rows) for key, rows in splits.items()}))
    with pytest.raises(GrowlmError, match="row 1 is a int: give dicts"):
        keep_rows([1])
    with pytest.raises(GrowlmError, match="there are no rows"):
        keep_rows([])
    with pytest.raises(GrowlmError, match="were given in another process"):
        Rows("0" * 64)


def test_a_row_of_more_than_a_megabyte_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": "' + "a" * 1_000_000 + '"}\n')
    with pytest.raises(GrowlmError, match=r"rows\.jsonl, line 2: longer than 1,000,000 bytes"):
        Jsonl(str(path))
