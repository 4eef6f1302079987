"""What a stack's folder says about itself, and that nothing in it can be changed unseen."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.manifest.manifest import BaseRecord, Manifest, ModuleRecord, module_json, read_manifest, stack_json

BASE = BaseRecord("mini", "llama", 10, {"model.weight": "ab"}, "cd")


def record(name: str, parents: tuple[str, ...] = ()) -> ModuleRecord:
    return ModuleRecord(
        name=name,
        kinds={"lora": {"rank": 4, "layers": None}},
        parents=parents,
        skill={"name": name, "options": {"file": "ä.jsonl"}, "train_digest": "12", "test_digest": "34"},
        method={"name": "grow", "options": {}},
        seed=3,
        recipe={"learning_rate": 2e-3},
        parameters=5,
        tensors={"lora.A": "ef"},
        digest="01",
        scores={name: {"base": {"metric": "loss", "value": 1.5, "loss": 1.5, "count": 2}}},
        cost={"steps": 3, "tokens": 4, "seconds": 0.1},
        environment={"python": "3"},
    )


MANIFEST = Manifest(BASE, (record("first"), record("second", ("first",))))


def write(folder: Path, manifest: Manifest = MANIFEST) -> Path:
    for module in manifest.modules:
        target = folder / manifest.folder_of(module.name)
        target.mkdir(parents=True)
        (target / "module.json").write_text(module_json(module), encoding="utf-8")
    (folder / "stack.json").write_text(stack_json(manifest), encoding="utf-8")
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], module: Callable[..., None] | None = None) -> None:
    """Change the manifest as one would who knows how its digests are made."""
    content = json.loads((folder / "stack.json").read_text())
    if module is not None:
        path = folder / content["modules"][0]["folder"] / "module.json"
        inner = json.loads(path.read_text())
        module(inner)
        text = json.dumps(inner, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text)
        content["files"][f"{content['modules'][0]['folder']}/module.json"] = hashlib.sha256(text.encode()).hexdigest()
    change(content)
    content.pop("digest")
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    content["digest"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "stack.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def test_round_trip(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path)) == MANIFEST
    rewrite(tmp_path, lambda content: None, lambda content: None)  # what the other tests do, changing nothing
    assert read_manifest(tmp_path) == MANIFEST


def test_places_and_paths() -> None:
    assert MANIFEST.folder_of("second") == "modules/01-second"
    assert MANIFEST.modules[1].path == ("first", "second")
    assert MANIFEST.parents() == {"first": (), "second": ("first",)}
    with pytest.raises(GrowlmError, match="unknown module 'frist': did you mean 'first'"):
        MANIFEST.folder_of("frist")


def test_no_folder_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(GrowlmError, match=r"is not a stack \(stack.json is missing\): grow one"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["stack.json", "modules/00-first/module.json"])
def test_no_byte_can_be_changed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path) / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1 << position % 8
        path.write_bytes(altered)
        with pytest.raises(GrowlmError):
            read_manifest(tmp_path)
    for altered in (
        whole.replace(b" ", b"\n", 1),
        whole.replace(b"\n", b"\r\n"),
        whole + b"\n",
        whole[:-1],
        b"",
        b"[]",
    ):
        path.write_bytes(altered)
        with pytest.raises(GrowlmError):
            read_manifest(tmp_path)
    path.write_bytes(whole)
    assert read_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize(("name", "known"), [("stack.json", "1 and 2"), ("modules/00-first/module.json", "1")])
@pytest.mark.parametrize("version", [3, 99, "1.1", True, None, [1]])
def test_another_version_is_refused_by_its_number(tmp_path: Path, name: str, known: str, version: object) -> None:
    path = write(tmp_path) / name
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": version}))
    message = re.escape(f"has format version {version!r}, this growlm reads version {known}: upgrade")
    with pytest.raises(GrowlmError, match=message):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("base"),
        lambda content: content.pop("modules"),
        lambda content: content.update(base=3),
        lambda content: content.update(base=[]),
        lambda content: content.update(base=[["x"]]),
        lambda content: content["base"].pop("source"),
        lambda content: content["base"].update(more=1),
        lambda content: content["base"].update(source=3),
        lambda content: content["base"].update(parameters="many"),
        lambda content: content["base"].update(tensors=["model.weight"]),
        lambda content: content["base"].update(tensors={"model.weight": 3}),
        lambda content: content.update(modules=3),
        lambda content: content.update(modules=["first"]),
        lambda content: content["modules"][0].pop("name"),
        lambda content: content.pop("files"),
        lambda content: content.update(files=["stack.json"]),
        lambda content: content["files"].pop("modules/00-first/module.json"),
        lambda content: content["files"].update({"modules/00-first/module.json": "00"}),
        lambda content: content["files"].update({"notes.txt": "00"}),
        lambda content: content["files"].update({"../x/README.md": "00"}),
        lambda content: content["files"].update({"README.md": 0}),
        lambda content: content["modules"][0].update(name="second"),
        lambda content: content["modules"][0].update(parameters=6),
        lambda content: content["modules"][0].update(parents=["second"]),
        lambda content: content["modules"][0].update(kinds=["block"]),
        lambda content: content.update(more=1),
        lambda content: content["modules"].reverse(),
    ],
)
def test_wrong_fields_are_refused_even_with_the_right_digests(tmp_path: Path, change: Callable[..., None]) -> None:
    rewrite(write(tmp_path), change)
    with pytest.raises(GrowlmError):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"kinds": ["lora"]},
        {"kinds": {"lora": 3}},
        {"parents": "second"},
        {"parents": [3]},
        {"skill": None},
        {"tensors": {"lora.A": None}},
        {"scores": []},
        {"parameters": 5.5},
        {"name": "other"},
        {"more": 1},
    ],
)
def test_wrong_values_of_a_module_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    rewrite(write(tmp_path), lambda content: None, lambda content: content.update(change))
    with pytest.raises(GrowlmError, match=r"00-first/module\.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../../evil", "/etc", "..", "", "a/b", "A", 3, None])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: object) -> None:
    rewrite(write(tmp_path), lambda content: content["modules"][0].update(name=name, folder=f"modules/00-{name}"))
    with pytest.raises(GrowlmError, match="cannot be a name"):
        read_manifest(tmp_path)


def test_the_place_of_a_module_is_no_choice_of_the_file(tmp_path: Path) -> None:
    rewrite(write(tmp_path), lambda content: content["modules"][0].update(folder="../elsewhere"))
    with pytest.raises(GrowlmError, match="contradicts itself"):
        read_manifest(tmp_path)


def test_two_modules_of_one_name(tmp_path: Path) -> None:
    twice = replace(MANIFEST, modules=(record("first"), replace(record("first"), seed=4)))
    for index, module in enumerate(twice.modules):
        target = tmp_path / f"modules/{index:02d}-first"
        target.mkdir(parents=True)
        (target / "module.json").write_text(module_json(module), encoding="utf-8")
    (tmp_path / "stack.json").write_text(stack_json(twice), encoding="utf-8")
    with pytest.raises(GrowlmError, match=r"contradicts itself|was edited or damaged"):
        read_manifest(tmp_path)


def test_a_missing_module_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "modules/01-second/module.json").unlink()
    with pytest.raises(GrowlmError, match=r"01-second/module\.json is missing: is its folder complete"):
        read_manifest(tmp_path)
