"""Rows of Python and of files: which shapes there are, what is said of them, and which are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from growlm.data.example import Example
from growlm.errors import GrowlmError
from growlm.skills._row_examples import RowExamples
from growlm.skills._row_shapes import RowReader
from growlm.skills.jsonl import Jsonl
from growlm.skills.rows import Rows, keep_rows
from tests.unit.skills.test_jsonl import contents, say, talks


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


def test_one_row_and_one_turn_are_said_as_one() -> None:
    read = RowExamples(RowReader(None), "error")
    row = {"messages": [say("system", "s"), say("user", "q"), say("assistant", "a")]}
    list(read.read([("the rows, row 1", row)], "the rows"))
    assert read.notices("the rows") == ("the rows: 1 conversation (OpenAI messages); 1 system turn",)


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


def test_a_function_call_of_sharegpt_is_a_tool_call() -> None:
    called = [{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": "{}"}]
    for value, wanted in ((json.dumps(called[0]), called[:1]), (called, called)):
        turns = [("function_call", value), ("observation", "2"), ("gpt", "two")]
        rows = [
            {"conversations": [{"from": role, "value": text} for role, text in [("human", f"{n}?"), *turns]]}
            for n in range(3)
        ]
        example = examples(rows)[0]
        assert [message.role for message in example.messages] == ["user", "assistant", "tool", "assistant"]
        assert (example.messages[1].content, example.messages[1].trained) == ("", True)
        calls = json.loads(example.messages[1].extra)["tool_calls"]
        assert calls == [{"type": "function", "function": call} for call in wanted]


@pytest.mark.parametrize("value", ["add(1)", '{"name": "add"}', "[]", "3", None])
def test_a_function_call_that_calls_nothing_is_refused(value: Any) -> None:
    row = {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": value}]}
    with pytest.raises(GrowlmError, match=r"turn 2: 'value' of a 'function_call' is no JSON object"):
        examples(numbered(row))


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
    assert f"{path}: bad rows left out: 2; the first: {path}, line 10: no JSON" in skill.notices[1]
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
        (
            {"question": "x"},
            r"""the keys needed .* in fields, such as --skill_options '{"fields": {"prompt": "question",""",
        ),
        ({"chosen": "x", "rejected": "y"}, "'chosen' is text without a prompt"),
        ({"instruction": "x", "output": " "}, "'output' is empty"),
        ({"instruction": "x", "output": "y", "input": 3}, "'input' is not a string"),
        ({"messages": [say("user", "x"), say("assistant", "y")], "tools": "["}, "'tools' is not valid JSON"),
        ({"messages": "[1"}, "'messages' is not a JSON list"),
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
