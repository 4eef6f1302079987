"""What was grown goes to other programs, and what PEFT trained comes in, by the commands alone."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from growlm.manifest.manifest import read_manifest
from tests.e2e.conftest import Files, Outcome

Command = Callable[[Sequence[object]], Outcome]
FORMATS = {
    "hf": ("model.safetensors", "tokenizer.json", "generation_config.json", "chat_template.jinja"),
    "peft": ("adapter_config.json", "adapter_model.safetensors"),
    "gguf": ("model.gguf",),
    "ollama": ("model.gguf", "Modelfile"),
}
NEEDS = {"peft": "peft", "gguf": "gguf", "ollama": "gguf"}


@pytest.fixture(scope="module")
def grown(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack with the modules ``words`` and ``talk``, side by side."""
    from growlm.cli.main import main

    stack = tmp_path_factory.mktemp("out") / "stack"
    for skill in (files.words, files.talk):
        assert main(files.grow(stack, "--on", "none", "--router", "none", "--steps", "6", skill=skill)) == 0
    return stack


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`", "ignore:`is_gradient_checkpointing`")
@pytest.mark.parametrize("name", FORMATS)
def test_a_path_is_exported_and_compared(command: Command, grown: Path, tmp_path: Path, name: str) -> None:
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    outcome = command(["export", grown, "--to", name, "--path", "talk", "--out", tmp_path / "out"])
    assert outcome.status == 0, outcome.err
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"README.md", *FORMATS[name]}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "bit for bit" in card if "gguf" in NEEDS.get(name, "") else "4 of 4" in card
    assert str(tmp_path) not in card
    assert str(grown) not in card


def test_modules_grown_apart_are_exported_as_one_change(command: Command, grown: Path, tmp_path: Path) -> None:
    words = ["export", grown, "--to", "hf", "--path", "words+talk", "--out", tmp_path / "out"]
    assert command([*words, "--fuse"]).status == 0
    assert command([*words[:-1], tmp_path / "sum"]).status == 0
    fused, added = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "sum"))
    assert fused != added


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`", "ignore:`is_gradient_checkpointing`")
def test_an_adapter_comes_in_and_is_grown_on(command: Command, files: Files, grown: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    adapter, stack = tmp_path / "adapter", tmp_path / "stack"
    assert command(["export", grown, "--to", "peft", "--path", "talk", "--out", adapter]).status == 0
    outcome = command(["import", adapter, stack, "--base", files.base, "--name", "theirs"])
    assert outcome.status == 0, outcome.err
    outcome = command(files.grow(stack, "--on", "theirs", "--router", "none", "--steps", "3"))
    assert outcome.status == 0, outcome.err
    assert [record.path for record in read_manifest(stack).modules] == [("theirs",), ("theirs", "words")]
