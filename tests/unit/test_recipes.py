import os
from pathlib import Path

import pytest
import yaml

from growlm import recipes
from growlm.errors import GrowlmError
from growlm.registry import skills
from growlm.skills.procedural import Procedural


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes" / "skills"
    folder.mkdir(parents=True)
    return folder


def test_shipped_recipes_are_found_from_anywhere(own: Path):
    assert recipes.recipe_path("skills", "chat").is_file()
    assert "chat" in recipes.recipe_names("skills")


OF_STREAMS = {"look_alike"}
"""Skills that streams train, to compare routers, and nobody grows for its own sake."""


@pytest.mark.parametrize(
    "name", [name for name in skills if issubclass(skills.get(name), Procedural) and name not in OF_STREAMS]
)
def test_every_skill_of_tinyworld_has_a_recipe(name: str):
    file = recipes.recipe_path("skills", name)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["model"]["skill"] == name
    assert recipes.recipe_summary(file).lower().startswith("conversation" if name == "chat" else name)
    assert 100 <= content["trainer"]["max_steps"] <= 3_000


def test_your_own_are_used_only_by_their_path(own: Path):
    shipped = recipes.recipe_path("skills", "chat")
    (own / "chat.yaml").write_text("# mine\n")
    (own / "poems.yaml").write_text("model: {}\n")
    assert recipes.recipe_path("skills", "chat") == shipped != own / "chat.yaml"
    assert "poems" not in recipes.recipe_names("skills")
    with pytest.raises(GrowlmError, match=r"to use the file in this folder, give recipes/skills/poems\.yaml"):
        recipes.recipe_path("skills", "poems")
    mine = recipes.recipe_file("skills", "recipes/skills/chat.yaml")
    assert recipes.recipe_summary(mine) == "mine"
    assert recipes.recipe_summary(own / "poems.yaml") == ""
    (own / "chat.yaml").write_text("# Mine, of 3.0 MB,\n# on two lines. More.\n#   growlm grow\nmodel: {}\n# no\n")
    assert recipes.recipe_summary(mine) == "Mine, of 3.0 MB, on two lines."
    assert recipes.recipe_file("skills", "chat") == shipped


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "more than 100,000 values"),
        ("a: &a [*a]", "an anchor contains itself"),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("a: 1\nb: {c: 1, c: 2}", "line 2: 'c' is given twice"),
        ("a: !!python/object/apply:os.system ['true']", "is not YAML"),
        ("- a", "holds list instead of keys"),
        ("a: \x00", "is not YAML"),
        ('a: 1\nb: ["x\\0"]', "line 2: a null character"),
    ],
)
def test_what_yaml_may_not_hold(text: str, message: str):
    with pytest.raises(GrowlmError, match=message):
        recipes.parse_yaml(text, "mine.yaml")


def test_files_that_are_no_yaml_files(tmp_path: Path):
    (tmp_path / "large.yaml").write_text("#" * 1_000_001)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    (tmp_path / "good.yaml").write_text("a: &a {b: 1}\nc: *a")
    (tmp_path / "empty.yaml").touch()
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, message in (
        ("large.yaml", "1,000,001 bytes"),
        ("latin.yaml", "not UTF-8"),
        ("pipe.yaml", "not a regular file"),
        ("none.yaml", "is missing"),
    ):
        with pytest.raises(GrowlmError, match=message):
            recipes.read_yaml(tmp_path / name)
    assert recipes.read_yaml(tmp_path / "good.yaml") == {"a": {"b": 1}, "c": {"b": 1}}
    assert recipes.read_yaml(tmp_path / "empty.yaml") == {}


def test_a_wheel_carries_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "site-packages" / "growlm"
    (package / "recipes_data" / "skills").mkdir(parents=True)
    (package / "recipes_data" / "skills" / "inside.yaml").write_text("")
    monkeypatch.setattr(recipes, "__file__", str(package / "recipes.py"))
    monkeypatch.chdir(tmp_path)
    assert recipes.recipe_names("skills") == ["inside"]
    (package / "recipes_data" / "skills" / "inside.yaml").unlink()
    (package / "recipes_data" / "skills").rmdir()
    (package / "recipes_data").rmdir()
    with pytest.raises(GrowlmError, match="install growlm again"):
        recipes.recipe_names("skills")


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        ("skills", "chta", "unknown recipe in 'skills' 'chta': did you mean 'chat'"),
        ("skills", "../base/nano", "unknown recipe in 'skills'"),
        ("skill", "chat", "unknown recipe group 'skill': did you mean 'skills'"),
    ],
)
def test_unknown_names(group: str, name: str, message: str):
    with pytest.raises(GrowlmError, match=message):
        recipes.recipe_path(group, name)
