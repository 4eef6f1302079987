"""Mutants of a stack's files for what reads or changes a stack. Not in the default tests: nox -s torture."""

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

import growlm
from growlm.errors import GrowlmError
from growlm.files import file_digest, folder_lock, read_metadata, read_tensors
from growlm.manifest.card import accuracy_json, stack_card
from growlm.manifest.html import stack_html
from growlm.manifest.integrity import verify_files
from growlm.manifest.manifest import read_manifest
from growlm.show.tree import stack_tree
from growlm.stack.stack import ModuleStack
from growlm.train.config import PhaseConfig
from growlm.train.prepare import prepare
from growlm.train.score_cache import ScoreCache
from tests.torture import folders
from tests.torture.conftest import Run
from tests.torture.mutations import dump_json, mutate_file, mutate_json, restored, rewritten, sealed

IDS = torch.tensor([[0, 1, 2]])


@pytest.fixture
def files_only(box: Path) -> Path:
    """A stack without a model."""
    return folders.stack(box / "stack", "a", "b", "c")


def read_all(folder: Path, draw_tree: bool = True) -> None:
    """Read a stack as every command does that builds no model; drawing it takes longest."""
    manifest = read_manifest(folder)
    stack_card(manifest)
    accuracy_json(manifest)
    stack_html(manifest)
    if draw_tree:
        Console(file=io.StringIO()).print(stack_tree(manifest))
    for module in manifest.modules:
        read_tensors(folder / manifest.folder_of(module.name) / "module.safetensors")
    read_metadata(folder / "router.safetensors")
    verify_files(folder)


def test_bytes_of_a_stack(files_only: Path, run: Run) -> None:
    """Whatever changes a file is found."""
    names = sorted(folders.contents(files_only))

    def read(rng: random.Random) -> None:
        path = files_only / rng.choice(names)
        whole, mutant = path.read_bytes(), mutate_file(rng, path)
        rewritten(path, mutant, lambda: read_all(files_only, draw_tree=rng.random() < 0.1))
        if mutant != whole:
            raise RuntimeError(f"{path.name} was changed, and nothing found it")

    run("bytes of a stack", 6_000, read)


def reseal(folder: Path, rng: random.Random, *names: str) -> None:
    """Edit a record as somebody would who knows how records are sealed."""
    name, stored = rng.choice(names), folder / "stack.json"
    manifest = json.loads(stored.read_bytes())
    if name == stored.name:
        manifest = mutate_json(rng, manifest)
    else:
        record = mutate_json(rng, json.loads((folder / name).read_bytes()))
        (folder / name).write_bytes(dump_json(record, indent=2) + b"\n")
        manifest["files"][name] = file_digest(folder / name)
    stored.write_bytes(dump_json(sealed(manifest), indent=2) + b"\n")


def test_sealed_records(files_only: Path, run: Run) -> None:
    def read(rng: random.Random) -> None:
        def edited() -> None:
            reseal(files_only, rng, "stack.json", "modules/00-a/module.json", "modules/01-b/module.json")
            read_all(files_only, draw_tree=rng.random() < 0.1)

        restored(files_only, edited)

    run("sealed records", 6_000, read)


def test_commands_on_a_damaged_stack(files_only: Path, run: Run) -> None:
    """A command does its work, or refuses and changes nothing."""
    names = sorted(folders.contents(files_only))
    commands: list[Callable[[], object]] = [
        lambda: folders.undo(files_only),
        lambda: folders.drop(files_only, "b"),
        lambda: folders.grow(files_only, "d"),
        lambda: folders.repair(files_only),
    ]

    def read(rng: random.Random) -> None:
        def work() -> None:
            path = files_only / rng.choice(names)
            path.write_bytes(mutate_file(rng, path))
            before = folders.contents(files_only)
            try:
                rng.choice(commands)()
            except GrowlmError:
                if folders.contents(files_only) != before:
                    raise RuntimeError("a command that refused has changed something") from None
                raise
            read_manifest(files_only)

        restored(files_only, work)

    run("commands on a damaged stack", 1_000, read)


@pytest.fixture
def grown(tiny_bases: dict[str, Path], box: Path) -> Path:
    """A real stack in the sandbox, its base beside it: one phase of one step, with a router."""
    rows = [{"prompt": f"Tom has {n} dogs and", "completion": f" {n} cats"} for n in range(40)]
    (box / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (box / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat on {n} big red boxes" for n in range(60)))
    options = {"trainer.accelerator": "cpu", "trainer.precision": "32-true"}
    growlm.grow(
        str(box / "rows.jsonl"),
        stack=box / "grown",
        base=str(shutil.copytree(tiny_bases["llama"], box / "base")),
        steps=1,
        metric="loss",
        num_scored=1,
        batch_size=2,
        stories=str(box / "stories.txt"),
        **options,
    )
    return box / "grown"


RECORD = "modules/00-rows/module.json"


def test_a_stack_with_its_model(grown: Path, run: Run) -> None:
    names = [name for name in sorted(folders.contents(grown)) if not name.endswith(".md")]

    def read(rng: random.Random) -> None:
        def load() -> None:
            if rng.random() < 0.5:
                path = grown / rng.choice(names)
                path.write_bytes(mutate_file(rng, path))
            else:
                reseal(grown, rng, RECORD)
            ModuleStack.from_pretrained(grown)(IDS)

        restored(grown, load)

    run("a stack with its model", 300, read)


def test_the_next_phase_on_an_edited_stack(grown: Path, box: Path, run: Run) -> None:
    """What a phase reads before it trains: the skills that the records name, the router, the work folder."""
    rows = shutil.copy(box / "rows.jsonl", box / "more.jsonl")

    def read(rng: random.Random) -> None:
        def begin() -> None:
            reseal(grown, rng, RECORD)
            if rng.random() < 0.3:
                (grown / ".work").mkdir()
                (grown / ".work" / "phase.json").write_bytes(dump_json(mutate_json(rng, {"settings": {"seed": 0}})))
            config = PhaseConfig(str(rows), stack=grown, metric="loss", num_scored=1, batch_size=2, rescore=True)
            with folder_lock(grown):
                prepare(config, {"steps": 1, "accumulate_grad_batches": 1}, ScoreCache())

        try:
            restored(grown, begin)
        finally:
            shutil.rmtree(grown / ".work", ignore_errors=True)

    run("the next phase on an edited stack", 100, read)
