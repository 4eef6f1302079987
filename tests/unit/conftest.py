"""A stack's manifest written by hand: two modules on the base, one of them with a child."""

from collections.abc import Callable
from pathlib import Path

import pytest

from growlm.stack.manifest import BaseRecord, Manifest, ModuleRecord, module_json, stack_json


def scores(**values: tuple[str, float, float, float]) -> dict[str, dict[str, dict[str, object]]]:
    return {
        skill: {
            mode: {"metric": metric, "value": value, "loss": 1.5}
            for mode, value in zip(("base", "oracle", "all"), rest, strict=True)
        }
        for skill, (metric, *rest) in values.items()
    }


def module(name: str, parents: tuple[str, ...] = (), parameters: int = 1_234, **changes: object) -> ModuleRecord:
    return ModuleRecord(
        **{
            "name": name,
            "kinds": {"lora": {"rank": 8, "alpha": None}},
            "parents": parents,
            "skill": {"name": name, "options": {}, "train_digest": "5" * 64},
            "method": {"name": "grow", "options": {}},
            "seed": 7,
            "recipe": {},
            "parameters": parameters,
            "tensors": {"a": "1" * 64},
            "digest": "2" * 64,
            "scores": scores(**{name: ("contains", 0.125, 0.75, 0.5)}),
            "cost": {"steps": 1200, "tokens": 34_000, "seconds": 2.5},
            **changes,
        }
    )


@pytest.fixture
def make_module() -> Callable[..., ModuleRecord]:
    return module


@pytest.fixture
def manifest() -> Manifest:
    base = BaseRecord("tiny", "llama", 12_340, {"embed": "3" * 64}, "4" * 64)
    return Manifest(base, (module("chat"), module("memory", ("chat",)), module("rhymes", parameters=2_500_000)))


@pytest.fixture
def stack_folder(tmp_path: Path, manifest: Manifest) -> Path:
    """The manifest as files, without tensors."""
    folder = tmp_path / "stack"
    for record in manifest.modules:
        own = folder / manifest.folder_of(record.name)
        own.mkdir(parents=True)
        (own / "module.json").write_text(module_json(record))
    (folder / "stack.json").write_text(stack_json(manifest))
    return folder
