import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.manifest.changes import changes
from growlm.manifest.manifest import Manifest, module_json, stack_json


def scored(value: float, metric: str = "contains") -> dict[str, Any]:
    return {"metric": metric, "value": value, "loss": 1.0, "count": 4}


@pytest.fixture
def measured(manifest: Manifest) -> Manifest:
    """A stack of three skills: chat fell from 0.9 to 0.6, memory was not measured again, the text took 10 % more."""
    bits = {"base": scored(1.0, "bits_per_byte"), "all": scored(1.0, "bits_per_byte")}
    scores: list[dict[str, Any]] = [
        {"stories": bits, "chat": {"base": scored(0.0), "all": scored(0.9)}},
        {"stories": bits, "chat": {"all": scored(0.7)}, "memory": {"all": scored(0.5)}},
        {
            "stories": bits | {"all": scored(1.1, "bits_per_byte")},
            "chat": {"all": scored(0.6)},
            "rhymes": {"all": scored(1.0)},
        },
    ]
    modules = tuple(replace(record, scores=own) for record, own in zip(manifest.modules, scores, strict=True))
    return replace(manifest, modules=modules)


def test_what_got_worse_and_by_how_much(measured: Manifest) -> None:
    text, chat, memory = changes(measured)
    assert (text.skill, text.before, text.after, text.loss) == ("stories", 1.0, 1.1, pytest.approx(0.1))
    assert (chat.skill, chat.before, chat.after, chat.measured_after) == ("chat", 0.9, 0.6, "rhymes")
    assert chat.loss == pytest.approx(0.3)
    assert (memory.skill, memory.after) == ("memory", None)
    assert not memory.loss > 0


def test_a_mode_that_was_not_measured_has_no_skills(measured: Manifest) -> None:
    assert [change.skill for change in changes(measured, "routed")] == ["stories"]
    with pytest.raises(GrowlmError, match="unknown mode 'al': did you mean 'all'"):
        changes(measured, "al")
    with pytest.raises(GrowlmError, match="no modules yet"):
        changes(replace(measured, modules=()))


@pytest.mark.parametrize(("limit", "status", "count"), [("0.05", 1, 2), ("0.2", 1, 1), ("0.4", 0, 0)])
def test_the_exit_status(
    measured: Manifest, stack_folder: Path, capsys: pytest.CaptureFixture[str], limit: str, status: int, count: int
) -> None:
    write(measured, stack_folder)
    assert main(["check", str(stack_folder), "--limit", limit]) == status
    out = capsys.readouterr().out
    assert f"{count} of 3 got worse by more than {float(limit)}" in out
    assert "not measured again" in out
    assert main(["check", str(stack_folder), "--limit", limit, "--json"]) == status
    content = json.loads(capsys.readouterr().out)
    assert content["passed"] == (status == 0)
    assert [entry["loss"] for entry in content["skills"]] == [pytest.approx(0.1), pytest.approx(0.3), None]


def test_a_negative_limit_is_one_line(stack_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(stack_folder), "--limit", "-1"]) == 2
    assert "--limit -1.0 is too small" in capsys.readouterr().err


def write(manifest: Manifest, folder: Path) -> None:
    for record in manifest.modules:
        (folder / manifest.folder_of(record.name) / "module.json").write_text(module_json(record))
    (folder / "stack.json").write_text(stack_json(manifest))
