"""Modules of another stack on the same base."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.imports.from_stack import import_modules
from growlm.manifest.manifest import read_manifest
from growlm.registry import routers, skills
from growlm.routing.update import SkillPrompts, update_router
from growlm.stack.stack import ModuleStack

TOKENS = torch.arange(6, 42).reshape(2, 18)

Saved = Callable[..., Path]


@pytest.fixture
def saved(new_stack: Callable[..., Any], tmp_path: Path) -> Saved:
    """Save a stack with the given modules, each grown on those before it."""

    def save(folder: str, *modules: str, family: str = "llama", router: bool = False) -> Path:
        stack = new_stack(family, modules)
        if router:
            draws = {
                name: SkillPrompts(skills.build("stories", {"num_train": 40, "num_test": 20}), stack.tokenizer)
                for name in ("base", *modules)
            }
            update_router(stack, routers.build("ridge", {"num_prompts": 20}), draws)
        stack.save_pretrained(tmp_path / folder)
        return tmp_path / folder

    return save


@torch.no_grad()
def logits(folder: Path, *path: str) -> torch.Tensor:
    stack = ModuleStack.from_pretrained(folder)
    with stack.active(*path):
        return stack(TOKENS).logits


def test_modules_compute_the_same_in_the_other_stack(saved: Saved):
    source, target = saved("source", "first", "second"), saved("target", "own")
    assert [record.name for record in import_modules(source, target)] == ["first", "second"]
    for path in ("first",), ("first", "second"):
        assert torch.equal(logits(target, *path), logits(source, *path))
    ours, theirs = read_manifest(target).modules, read_manifest(source).modules
    assert [record.digest for record in ours[1:]] == [record.digest for record in theirs]
    assert main(["verify", str(target)]) == 0


def test_some_modules_begin_a_new_stack(saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = saved("source", "first", "second")
    assert main(["import", str(source), str(tmp_path / "new"), "--name", "first"]) == 0
    assert "module 'first'" in capsys.readouterr().out
    assert [record.name for record in read_manifest(tmp_path / "new").modules] == ["first"]
    assert torch.equal(logits(tmp_path / "new", "first"), logits(source, "first"))


def test_modules_of_another_stack_bring_their_skills(saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = saved("source", "first")
    assert main(["import", str(source), str(tmp_path / "new"), "--skill", "chat"]) == 2
    assert "whose modules bring their own skills: leave --skill out" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("modules", "names", "family", "message"),
    [
        (("first",), (), "llama", "has a module 'first' already"),
        (("own",), ("second",), "llama", "'second' was grown on 'first', which the stack does not have"),
        (
            ("own", "first"),
            ("second",),
            "llama",
            "grown on 'first', which the stack has with other values",
        ),
        (("own",), ("third",), "llama", "no module 'third' to import: give one of first, second"),
        (("own",), (), "gpt2", "on another base"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    saved: Saved, modules: tuple[str, ...], names: tuple[str, ...], family: str, message: str
):
    source, target = saved("source", "first", "second"), saved("target", *modules, family=family)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with pytest.raises(GrowlmError, match=message):
        import_modules(source, target, names)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_the_router_learns_the_module(saved: Saved, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    source, target = saved("source", "first"), saved("target", "own", router=True)
    short = skills.build("stories", {"num_train": 40, "num_test": 20})
    monkeypatch.setattr("growlm.imports.teach.recorded_skill", lambda record, trust: short)
    import_modules(source, target)
    router = ModuleStack.from_pretrained(target).router
    assert router is not None
    assert set(router.known()) == {"base", "own", "first"}

    def gone(record: Any, trust: bool) -> Any:
        raise GrowlmError("its data are gone")

    monkeypatch.setattr("growlm.imports.teach.recorded_skill", gone)
    with caplog.at_level(logging.WARNING, "growlm"):
        import_modules(saved("third", "other"), target)
    assert "does not learn the module: its data are gone" in caplog.text
    assert read_manifest(target).modules[-1].name == "other"
