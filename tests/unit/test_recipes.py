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


@pytest.mark.parametrize("name", [name for name in skills if issubclass(skills.get(name), Procedural)])
def test_every_skill_of_tinyworld_has_a_recipe(name: str):
    file = recipes.recipe_path("skills", name)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["model"]["skill"] == name
    assert recipes.recipe_summary(file).lower().startswith("conversation" if name == "chat" else name)
    assert 100 <= content["trainer"]["max_steps"] <= 2_000


def test_your_own_come_first(own: Path):
    (own / "chat.yaml").write_text("# mine\n")
    (own / "poems.yaml").write_text("model: {}\n")
    assert recipes.recipe_path("skills", "chat").read_text() == "# mine\n"
    assert "poems" in recipes.recipe_names("skills")
    assert recipes.recipe_summary(recipes.recipe_path("skills", "chat")) == "mine"
    assert recipes.recipe_summary(recipes.recipe_path("skills", "poems")) == ""


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
