from pathlib import Path

import pytest

from growlm.base.presets import PRESETS
from growlm.cli.parser import CommandParser
from growlm.commands.pretrain import pretrain
from growlm.errors import GrowlmError
from growlm.pretrain.config import PretrainData, PretrainRun
from growlm.pretrain.source import TextSource

RECIPES = sorted(Path(__file__).parents[3].glob("recipes/base/*.yaml"))


def parse(*words: str) -> dict[str, object]:
    return CommandParser(pretrain, "growlm pretrain").arguments(words)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_a_base_is_complete(recipe: Path) -> None:
    parsed = parse("--config", str(recipe))
    data = parsed["data"]
    assert isinstance(data, PretrainData)
    assert isinstance(parsed["run"], PretrainRun)
    assert all(isinstance(source, TextSource) for source in data.sources)
    assert data.sources
    assert parsed["name"] == recipe.stem.removesuffix("-local").removesuffix("-cpu")
    assert parsed["size"] in PRESETS
    assert data.validation is None or data.validation not in {source.path for source in data.sources}


def test_a_later_option_wins() -> None:
    parsed = parse("--config", str(RECIPES[0]), "--run.steps", "7", "--data.sources", '[{"path": "a.txt"}]')
    assert parsed["run"].steps == 7
    assert parsed["data"].sources == [TextSource(path="a.txt")]


def test_an_unknown_key_is_shown_beside_what_was_expected(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: x\ndata:\n  sources:\n    - pth: a.txt\n")
    with pytest.raises(GrowlmError, match=r"found \[\{'pth': 'a.txt'\}\], expected list\[TextSource\]"):
        parse("--config", str(recipe))
