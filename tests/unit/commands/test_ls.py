import json
from pathlib import Path

import pytest

from growlm.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    checkpoints = tmp_path / "checkpoints"
    for name, files in {
        "tiny": {"config.json": '{"model_type": "llama"}', "model.safetensors": "x" * 100_000},
        "broken": {"config.json": "{", "model.safetensors": ""},
        "mine": {"stack.json": '{"base": {"source": "tiny"}, "modules": [{"name": "chat"}, {"name": "memory"}]}'},
        "odd": {"stack.json": "[]"},
    }.items():
        (checkpoints / name).mkdir(parents=True)
        for file, text in files.items():
            (checkpoints / name / file).write_text(text)
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, str]]:
    assert main(["ls", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_everything(folder: Path, capsys: pytest.CaptureFixture[str]):
    found = listed(capsys)
    assert list(found) == ["modules", "methods", "routers", "skills", "bases", "recipes", "stacks"]
    assert {"block", "lora"} <= set(found["modules"])
    assert "grow" in found["methods"]
    assert "ridge" in found["routers"]
    assert "skills/chat" in found["recipes"]
    assert all(summary for members in found.values() for summary in members.values())


def test_bases_and_stacks(folder: Path, capsys: pytest.CaptureFixture[str]):
    bases = listed(capsys, "bases")["bases"]
    assert bases["tiny"] == "llama, 0.1 MB, checkpoints/tiny"
    assert bases["broken"].startswith("damaged")
    assert listed(capsys, "stacks") == {
        "stacks": {"mine": "tiny + chat + memory, checkpoints/mine", "odd": "damaged, checkpoints/odd"}
    }


def test_table(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["ls", "stacks"]) == 0
    assert "mine  tiny + chat + memory" in capsys.readouterr().out


def test_an_empty_sort_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main(["ls", "stacks"]) == 0
    assert "none yet" in capsys.readouterr().out
