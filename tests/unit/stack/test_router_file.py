"""A stack's router on disk: one file, checked, and never of another stack."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.files import read_metadata, read_tensors, write_tensors
from growlm.manifest import store
from growlm.manifest.own_files import ROUTER_FILE
from growlm.routing.ridge import Ridge
from growlm.stack.stack import ModuleStack

PROMPTS = {"base": [[0, 50 + n, 51] for n in range(6)], "first": [[0, 90 + n, 91] for n in range(6)],
           "second": [[0, 150 + n, 151] for n in range(6)]}  # fmt: skip


def routed_stack(new_stack: Callable[..., Any], *modules: str) -> Any:
    stack = new_stack(modules=modules)
    router = Ridge(width=12)
    for name in ("base", *modules):
        router.learn(stack, name, lambda split, limit, augment, name=name: PROMPTS[name])
    stack.router = router
    return stack


@pytest.fixture
def folder(new_stack: Callable[..., Any], tmp_path: Path) -> Path:
    routed_stack(new_stack, "first", "second").save_pretrained(tmp_path / "stack")
    return tmp_path / "stack"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_router_comes_back_to_the_last_bit(new_stack: Callable[..., Any], folder: Path, tmp_path: Path):
    stack = ModuleStack.from_pretrained(folder)
    assert stack.router is not None
    assert stack.router.name == "ridge"
    assert stack.router.options()["width"] == 12
    assert stack.router.known() == ("base", "first", "second")
    stack.save_pretrained(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_a_router_of_an_earlier_version_stays_what_it_was(new_stack: Callable[..., Any], tmp_path: Path):
    """Its file does not name the options that came later: what it has learned is of no other features."""
    stack = new_stack(modules=["first"])
    stack.router = Ridge(width=80, last_words=0, augment=False)
    for name in ("base", "first"):
        stack.router.learn(stack, name, lambda split, limit, augment, name=name: PROMPTS[name])
    earlier = stack.router.options()
    del earlier["last_words"], earlier["augment"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ridge, "options", lambda router: earlier)
        stack.save_pretrained(tmp_path / "stack")
    assert "last_words" not in read_metadata(tmp_path / "stack" / ROUTER_FILE)["growlm"]
    loaded = ModuleStack.from_pretrained(tmp_path / "stack").router
    assert isinstance(loaded, Ridge)
    assert loaded.options() == stack.router.options()
    assert torch.equal(loaded.weights(), stack.router.weights())


def test_undo_restores_the_router(new_stack: Callable[..., Any], folder: Path, tmp_path: Path):
    stack = ModuleStack.from_pretrained(folder)
    stack.undo()
    assert stack.router is not None
    assert stack.router.known() == ("base", "first")
    stack.save_pretrained(tmp_path / "in-memory")
    store.undo(folder)
    assert contents(folder) == contents(tmp_path / "in-memory")


def test_a_stack_without_a_router(new_stack: Callable[..., Any], tmp_path: Path):
    stack = new_stack()
    stack.save_pretrained(tmp_path / "stack")
    assert not (tmp_path / "stack" / ROUTER_FILE).exists()
    assert ModuleStack.from_pretrained(tmp_path / "stack").router is None
    with pytest.raises(GrowlmError, match="the stack has no router"):
        stack.generate(torch.tensor([[0, 1]]), routed=True)


def test_what_a_router_knows_of_other_modules_is_left_out(folder: Path):
    """As after a crash between the router and what it is for: the stack is whole."""
    newer = (folder / ROUTER_FILE).read_bytes()
    store.undo(folder)
    (folder / ROUTER_FILE).write_bytes(newer)
    router = ModuleStack.from_pretrained(folder).router
    assert router is not None
    assert router.known() == ("base", "first")


def edited(path: Path, metadata: dict[str, str] | None = None, **tensors: torch.Tensor) -> None:
    content = read_metadata(path) if metadata is None else metadata
    write_tensors(path, {**read_tensors(path), **tensors}, content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is damaged"),
        (lambda path: path.write_bytes(b"\x80\x04."), "is damaged"),
        (lambda path: edited(path, **{"limit/first": torch.tensor(3.0).double()}), "was edited or damaged"),
        (lambda path: edited(path, {"growlm": read_metadata(path)["growlm"].replace("ridge", "arrow")}), "was edited"),
        (lambda path: edited(path, {}), "is not a router of growlm"),
        (lambda path: edited(path, {"growlm": '{"format_version": 9, "digest": ""}'}), "has format version 9"),
        (lambda path: edited(path, {"growlm": "[]"}), "is not a growlm file"),
    ],
)
def test_a_bad_router_file_is_refused_in_one_line(folder: Path, damage: Callable[[Path], None], message: str):
    damage(folder / ROUTER_FILE)
    with pytest.raises(GrowlmError, match=message) as refused:
        ModuleStack.from_pretrained(folder)
    assert "\n" not in str(refused.value)
    assert ROUTER_FILE in str(refused.value)


@pytest.mark.parametrize("padded", [False, True])
def test_each_row_goes_by_its_own_path(new_stack: Callable[..., Any], padded: bool):
    """A batch of mixed prompts gives each row what it gives alone."""
    stack = routed_stack(new_stack, "first", "second")
    prompts = [PROMPTS[name][0] for name in ("second", "base", "first", "base")]
    if padded:
        prompts[1] = prompts[1][1:]
    rows = torch.tensor([[5] * (3 - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (3 - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    chosen = stack.router.choose(stack, prompts)
    settings: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 5}
    together = stack.generate(rows, attention_mask=mask, routed=True, **settings)
    several = stack.generate(rows, attention_mask=mask, routed=True, **{**settings, "num_beams": 2})
    assert several.shape == together.shape
    assert chosen[0] == ("first", "second")
    assert chosen[2] == ("first",)
    for row, (prompt, path) in enumerate(zip(prompts, chosen, strict=True)):
        with stack.active(*path):
            alone = stack.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)).long(), **settings)
        assert together[row, 3:].tolist() == alone[0, len(prompt) :].tolist()
    assert stack.path == ("first", "second")
