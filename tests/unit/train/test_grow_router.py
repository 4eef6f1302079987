"""A phase and its router: taught at the end, the same bytes after a kill, refused early, left alone when asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from growlm.errors import GrowlmError
from growlm.files import read_metadata, read_tensors
from growlm.manifest import store
from growlm.manifest.own_files import ROUTER_FILE
from growlm.stack.stack import ModuleStack
from growlm.train.result import Grown

Run = Callable[..., Grown]


class Killed(BaseException):
    """Takes the place of the end of the process."""


class Kill(Callback):
    def on_train_end(self, trainer: Trainer, *args: Any) -> None:
        raise Killed


def contents(folder: Path) -> dict[str, bytes]:
    """Read the stack's files, not those of an unfinished phase."""
    files = [path for path in folder.rglob("*") if path.is_file() and store.WORK not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def described(folder: Path) -> dict[str, Any]:
    return json.loads(read_metadata(folder / ROUTER_FILE)["growlm"])


def test_the_router_is_taught_at_the_end_of_each_phase(run: Run, tmp_path: Path):
    folder = tmp_path / "stack"
    first = run("first")
    one = described(folder)
    assert (one["name"], one["modules"]) == ("ridge", {"first": first.record.digest})
    grown = run("second")
    assert described(folder)["modules"] == {"first": first.record.digest, "second": grown.record.digest}
    assert grown.record.recipe["router"] == "ridge"
    assert grown.stack.router is not None
    assert grown.stack.router.known() == ("base", "first", "second")
    loaded = ModuleStack.from_pretrained(folder)
    prompts = [[0, word] for word in range(40, 90, 3)]
    assert loaded.router is not None
    assert loaded.router.choose(loaded, prompts) == grown.stack.router.choose(grown.stack, prompts)
    for skill in ("stories", "first", "second"):
        routed = grown.record.scores[skill]["routed"]
        assert 0 <= routed["routing_accuracy"] <= 1
        assert sum(routed["paths"].values()) == pytest.approx(1)
    matrix = json.loads((folder / "accuracy.json").read_text())["modes"]
    assert matrix["routed"][2] == [grown.record.scores[skill]["routed"]["value"] for skill in ("first", "second")]


def test_a_killed_phase_leaves_the_same_router(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run("first", "whole")
    run("first", "killed")
    before = contents(tmp_path / "killed")
    run("second", "whole")
    with pytest.raises(Killed):
        run("second", "killed", Kill())
    apply = store._apply
    monkeypatch.setattr(store, "_apply", lambda *args: (apply(*args), _kill())[0])
    with pytest.raises(Killed):  # when everything is written
        run("second", "killed")
    monkeypatch.setattr(store, "_apply", apply)
    store.undo(tmp_path / "killed")
    assert contents(tmp_path / "killed") == before
    monkeypatch.setattr(store, "_apply", lambda *args: _kill())
    with pytest.raises(Killed):  # when nothing is written yet
        run("second", "killed")
    monkeypatch.undo()
    run("second", "killed")
    names = {"killed": set(contents(tmp_path / "killed")), "whole": set(contents(tmp_path / "whole"))}
    assert names["killed"] == names["whole"]
    for folder in ("killed", "whole"):
        assert ROUTER_FILE in names[folder]
    assert (tmp_path / "killed" / ROUTER_FILE).read_bytes() == (tmp_path / "whole" / ROUTER_FILE).read_bytes()
    assert store.undo(tmp_path / "killed") == "second"
    assert contents(tmp_path / "killed") == before


def _kill() -> None:
    raise Killed


def test_none_leaves_the_router_as_it_is(run: Run, tmp_path: Path):
    run("first")
    before = (tmp_path / "stack" / ROUTER_FILE).read_bytes()
    grown = run("second", router="none")
    assert (tmp_path / "stack" / ROUTER_FILE).read_bytes() == before
    assert "routed" not in grown.record.scores["first"]
    assert ModuleStack.from_pretrained(tmp_path / "stack").router.known() == ("base", "first")  # type: ignore[union-attr]


def test_a_stacks_router_goes_on_with_its_own_options(run: Run, tmp_path: Path):
    """It could not be made anew where the data of an earlier skill are gone."""
    run("first", router_options={"width": 20, "last_words": 0})
    before = read_tensors(tmp_path / "stack" / ROUTER_FILE)
    (tmp_path / "first.jsonl").unlink()
    with pytest.raises(GrowlmError, match="has to learn module 'first', whose data are gone"):
        run("second", router_options={"width": 30})
    run("second")
    after = read_tensors(tmp_path / "stack" / ROUTER_FILE)
    assert set(described(tmp_path / "stack")["modules"]) == {"first", "second"}
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


def test_another_router_learns_every_module(run: Run, tmp_path: Path):
    run("first", router="none")
    assert not (tmp_path / "stack" / ROUTER_FILE).exists()
    grown = run("second", router="arrow")
    assert described(tmp_path / "stack")["name"] == "arrow"
    assert set(described(tmp_path / "stack")["modules"]) == {"first", "second"}
    assert grown.stack.router is not None
    assert grown.stack.router.options() == {"threshold": 0.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"router": "rigde"}, "unknown router 'rigde': did you mean 'ridge'"),
        ({"router_options": {"widht": 3}}, "unknown option of router 'ridge' 'widht': did you mean 'width'"),
        ({"router_options": {"layer": 9}}, "do not fit this base"),
        ({"router": "arrow", "method_options": {"module": {"block": {"num_blocks": 1}}}}, "changes no weight"),
    ],
)
def test_what_cannot_be_routed_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, settings: dict[str, Any], message: str
):
    with pytest.raises(GrowlmError, match=message):
        run("first", **settings)
    assert not (tmp_path / "stack" / "stack.json").exists()
