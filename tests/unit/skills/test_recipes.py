"""Recipes of skills: what they name exists."""

from typing import Any

import pytest
import yaml

from growlm.recipes import recipe_names, recipe_path, recipe_summary
from growlm.registry import methods, module_kinds, skills
from growlm.train.config import option_names


def recipe(name: str) -> dict[str, Any]:
    return yaml.safe_load(recipe_path("skills", name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", recipe_names("skills"))
def test_a_recipe_names_what_there_is(name: str):
    model = recipe(name)["model"]
    assert recipe_summary(recipe_path("skills", name))
    assert set(model) <= set(option_names())
    assert set(model.get("skill_options", {})) <= set(skills.options(model["skill"]))
    assert set(model.get("method_options", {})) <= set(methods.options(model.get("method", "grow")))
    for kind, options in model.get("method_options", {}).get("module", {}).items():
        module_kinds.build(kind, options)
    assert recipe(name)["trainer"]["max_steps"] >= 1


def test_recipes_of_real_skills_are_there():
    assert {"babi", "dailydialog", "ag_news"} <= set(recipe_names("skills"))
