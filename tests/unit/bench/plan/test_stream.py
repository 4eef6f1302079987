from pathlib import Path
from typing import Any

import pytest
import yaml

from growlm.bench.plan.stream import StreamSkill, read_stream
from growlm.errors import GrowlmError
from growlm.recipes import recipe_names
from growlm.registry import skills

GOOD: dict[str, Any] = {
    "skills": {"chat": {"options": {"num_train": 50}}, "words": {"skill": "memory"}, "arithmetic": None},
    "orders": {1: ["chat", "words", "arithmetic"], "back": ["arithmetic", "words", "chat"]},
    "phase": {"steps": 3, "batch_size": 4, "learning_rate": 1, "router": "arrow"},
    "composites": {"chat_memory": ["chat", "words"], "memory_arithmetic": ["arithmetic", "words"]},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}, sort_keys=False))
    return path


def test_reads_what_the_file_says(tmp_path: Path):
    stream = read_stream(str(write(tmp_path)))
    assert stream.name == "mine"
    assert stream.skills == {
        "chat": StreamSkill("chat", {"num_train": 50}),
        "words": StreamSkill("memory", {}),
        "arithmetic": StreamSkill("arithmetic", {}),
    }
    assert stream.orders == {"1": ("chat", "words", "arithmetic"), "back": ("arithmetic", "words", "chat")}
    assert stream.phase == GOOD["phase"]
    assert stream.composites == {"chat_memory": ("chat", "words"), "memory_arithmetic": ("arithmetic", "words")}


def test_leaves_out_what_it_is_told_to(tmp_path: Path):
    stream = read_stream(str(write(tmp_path)), exclude=["chat"])
    assert list(stream.skills) == ["words", "arithmetic"]
    assert stream.orders == {"1": ("words", "arithmetic"), "back": ("arithmetic", "words")}
    assert list(stream.composites) == ["memory_arithmetic"], "a composite goes with what it needs"


def test_options_of_every_skill_that_has_them(tmp_path: Path):
    stream = read_stream(str(write(tmp_path)), skill_options={"num_train": 7})
    assert [skill.options for skill in stream.skills.values()] == [{"num_train": 7}] * 3
    with pytest.raises(GrowlmError, match=r"unknown option of any skill of the stream 'num_trian': did you mean"):
        read_stream(str(tmp_path / "mine.yaml"), skill_options={"num_trian": 7})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": {}}, r"unknown key of a stream in .*mine.yaml 'order': did you mean 'orders'"),
        ({"orders": {"1": ["chat", "words", "chat", "arithmetic"]}}, r"order '1' names chat twice"),
        ({"orders": {"1": ["chat", "wrods", "arithmetic"]}}, r"unknown skill in order '1' .*did you mean 'words'"),
        ({"orders": {"1": ["chat", "words"]}}, r"no order names arithmetic"),
        ({"orders": {"1": "chat"}}, r"order '1' is 'chat'; give a list"),
        ({"orders": {"1": []}}, r"order '1' is \[\]; give a list"),
        ({"orders": {}}, r"'orders' is missing or empty"),
        ({"orders": ["chat"]}, r"'orders' is \['chat'\]; give keys with values"),
        ({"skills": {"chat": {"skil": "chat"}}}, r"unknown key of skill 'chat' .*did you mean 'skill'"),
        ({"skills": {"chat": {"skill": "chta"}}}, r"unknown skill 'chta': did you mean 'chat'"),
        ({"skills": {"chat": {"options": {"num_trian": 3}}}}, r"unknown option of skill 'chat' .*'num_train'"),
        ({"skills": {"../chat": {"skill": "chat"}}}, r"skill '../chat' cannot be a name"),
        ({"skills": {"chat": "chat"}}, r"skill 'chat' is 'chat'; write \{skill: NAME"),
        ({"skills": {"chat": {"options": [1]}}}, r"'options' keys with values"),
        ({"phase": {"steps": 3, "learning_rat": 1}}, r"unknown key of phase .*did you mean 'learning_rate'"),
        ({"phase": {"steps": 3, "seed": 1}}, r"unknown key of phase in .*'seed'"),
        ({"phase": {"batch_size": 3}}, r"steps is None; give a whole number"),
        ({"phase": {"steps": 0}}, r"steps is 0; give a whole number"),
        ({"phase": {"steps": True}}, r"steps is True; give a whole number"),
        ({"phase": {"steps": 1, "learning_rate": "1e-3"}}, r"learning_rate is '1e-3', expected float; write 1.0e-3"),
        ({"phase": {"steps": 1, "batch_size": 1.5}}, r"batch_size is 1.5, expected int"),
        (
            {"phase": {"steps": 1, "router_options": 3}},
            r"router_options is 3, expected dict\[str, typing.Any\]$",
        ),
        ({"composites": {"chat_memory": ["chat", "arithmetic"]}}, r"is made of chat, memory; name those"),
        ({"composites": {"chat_memory": ["chat", "memory"]}}, r"unknown skill that composite 'chat_memory'"),
        ({"composites": {"chat_mmory": ["chat", "words"]}}, r"unknown skill 'chat_mmory': did you mean 'chat_memory'"),
        ({"composites": {"chat": ["words"]}}, r"composite 'chat' is a skill of the stream, too"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(GrowlmError, match=message) as error:
        read_stream(str(write(tmp_path, **changes)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("orders:\n  1: [chat]\n  '1': [words]\n", r"mine.yaml, line 3: '1' is given twice"),
        ("skills: [\n", r"mine.yaml is not YAML"),
        ("skills: \x00\n", r"mine.yaml is not YAML"),
        ("- chat\n", r"holds list instead of keys"),
        ("", r"'skills' is missing or empty"),
    ],
)
def test_no_usable_yaml(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(GrowlmError, match=message) as error:
        read_stream(str(path))
    assert "\n" not in str(error.value)


def test_unknown_recipe_missing_file_and_unknown_name_to_leave_out(tmp_path: Path):
    with pytest.raises(GrowlmError, match="did you mean 'five-skills'"):
        read_stream("five-skill")
    with pytest.raises(GrowlmError, match="is missing"):
        read_stream(str(tmp_path / "none.yaml"))
    with pytest.raises(GrowlmError, match="unknown skill to leave out of stream 'mine' 'memory'"):
        read_stream(str(write(tmp_path)), exclude=["memory"])
    with pytest.raises(GrowlmError, match="no skill left"):
        read_stream(str(write(tmp_path)), exclude=["chat", "words", "arithmetic"])


def test_five_skills_has_every_composite_of_its_skills():
    stream = read_stream("five-skills")
    assert list(stream.skills) == ["chat", "memory", "reasoning", "arithmetic", "commands"]
    assert len(stream.orders) >= 2
    assert all(set(names) == set(stream.skills) for names in stream.orders.values())
    composed = {name for name in skills if set(getattr(skills.get(name), "parts", ["-"])) <= set(stream.skills)}
    assert set(stream.composites) == composed


def test_every_shipped_stream_is_listed():
    assert "five-skills" in recipe_names("streams")
