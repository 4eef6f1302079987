"""A stack that growlm 0.1.0 wrote loads and computes what it did.

``version_1`` holds a base of 14 thousand weights, a stack of two modules that 0.1.0 grew on it, and the logits then.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from growlm.manifest import store
from growlm.stack.stack import ModuleStack

FILES = Path(__file__).parent / "version_1"
TOKENS = torch.tensor([[0, 60, 61, 62, 63, 64, 70, 80]])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stack in a folder from which its base is found by the name that is recorded."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "stack"


def test_every_path_computes_the_same_logits(folder: Path) -> None:
    stack = ModuleStack.from_pretrained(folder)
    expected = json.loads((FILES / "logits.json").read_text())
    assert len(expected) == 3
    for path, logits in expected.items():
        with stack.active(*filter(None, path.split("+"))), torch.no_grad():
            found = stack(TOKENS).logits[0, -1, : len(logits)]
        torch.testing.assert_close(found, torch.tensor(logits), rtol=0, atol=2e-5)
    assert stack.verify() == len(stack.frozen_tensors())
    assert stack.router is not None
    assert set(stack.router.known()) == {"base", "words", "talk"}


def test_its_last_module_can_be_undone(folder: Path) -> None:
    assert store.undo(folder) == "talk"
    stack = ModuleStack.from_pretrained(folder)
    assert [record.name for record in stack.manifest.modules] == ["words"]
    assert stack.manifest.modules[0].scores["words"]["oracle"]["loss"] == pytest.approx(5.606319095149185)
