"""Mutants of every file that growlm reads: one line or a result, no traceback, no hang, nothing touched outside.

Not in the default tests: ``nox -s torture``. ``TORTURE_MUTANTS`` scales the counts: at 1 there are 100,000 in all.
``TORTURE_MINUTES`` ends each reader early.
"""

import json
import lzma
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from growlm.bench.plan.entries import read_entries
from growlm.bench.plan.stream import read_stream
from growlm.bench.report.markdown import read_numbers, results_page
from growlm.bench.report.report import scores_table, write_report
from growlm.bench.run.result import read_cell
from growlm.cli.parser import CommandParser
from growlm.cli.phase import PhaseCLI, long_options
from growlm.commands.pretrain import pretrain
from growlm.files import file_digest, folder_lock, read_json
from growlm.manifest.integrity import rebuild, verify_files
from growlm.metrics import blimp as blimp_module
from growlm.recipes import read_yaml
from growlm.registry import skills
from growlm.sealed import json_digest, rendered_digest, seal
from growlm.stack.stack import ModuleStack
from growlm.train.config import PhaseConfig
from growlm.train.prepare import prepare
from growlm.train.score_cache import ScoreCache
from tests.torture import folders
from tests.torture.mutants import dump_json, mutate_bytes, mutate_json, read_mutants, sandbox
from tests.torture.torture_readers import read_all

SCALE = float(os.environ.get("TORTURE_MUTANTS", "0.01"))
SEED = int(os.environ.get("TORTURE_SEED", "0"))
Reader = Callable[[random.Random], object]


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with sandbox() as folder:
        monkeypatch.setenv("GROWLM_STATE", str(folder / "state"))
        yield folder


def run(name: str, count: int, box: Path, read: Reader, capfd: Any) -> None:
    line = read_mutants(name, max(3, round(count * SCALE)), box, read, SEED)
    with capfd.disabled():
        sys.stdout.write(f"\n{line}\n")


def rewritten(path: Path, content: bytes, read: Callable[[], object]) -> object:
    """Read with other content in a file, which has its own again afterwards."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        return read()
    finally:
        path.write_bytes(whole)


def any_bytes(rng: random.Random, path: Path) -> bytes:
    """A mutant of a file: of its bytes, or of its values if it is JSON."""
    whole = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        return dump_json(mutate_json(rng, json.loads(whole)))
    if path.suffix == ".safetensors" and rng.random() < 0.6:
        size = int.from_bytes(whole[:8], "little")
        head = dump_json(mutate_json(rng, json.loads(whole[8 : 8 + size])))
        return len(head).to_bytes(8, "little") + head + whole[8 + size :]
    return mutate_bytes(rng, whole)


# -- stacks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def files_only(box: Path) -> Path:
    return folders.stack(box / "stack", "a", "b", "c")


def test_bytes_of_a_stack(files_only: Path, box: Path, capfd: Any) -> None:
    names = sorted(folders.contents(files_only))

    def read(rng: random.Random) -> None:
        path = files_only / rng.choice(names)
        rewritten(path, any_bytes(rng, path), lambda: read_all(files_only))

    run("bytes of a stack", 6_000, box, read, capfd)


def reseal(folder: Path, rng: random.Random) -> None:
    """Edit a record as somebody would who knows how records are sealed."""
    name = rng.choice(["stack.json", "modules/00-a/module.json", "modules/01-b/module.json"])
    manifest = json.loads((folder / "stack.json").read_bytes())
    if name == "stack.json":
        manifest = mutate_json(rng, manifest)
    else:
        record = mutate_json(rng, json.loads((folder / name).read_bytes()))
        (folder / name).write_bytes(dump_json(record, indent=2) + b"\n")
        manifest["files"][name] = file_digest(folder / name)
    if isinstance(manifest, dict):
        manifest.pop("digest", None)
        manifest = seal(manifest, lambda content: rendered_digest(content) if valid(content) else "0" * 64)
    (folder / "stack.json").write_bytes(dump_json(manifest, indent=2) + b"\n")


def valid(content: Any) -> bool:
    try:
        rendered_digest(content)
    except (ValueError, UnicodeError):
        return False
    return True


def restored(folder: Path, work: Callable[[], object]) -> None:
    """Work on a folder, which is as it was afterwards."""
    whole = folders.contents(folder)
    try:
        work()
    finally:
        for name in {*folders.contents(folder), *whole}:
            if name not in whole:
                (folder / name).unlink()
            elif not (folder / name).exists() or (folder / name).read_bytes() != whole[name]:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(whole[name])


def test_sealed_records(files_only: Path, box: Path, capfd: Any) -> None:
    def read(rng: random.Random) -> None:
        def edited() -> None:
            reseal(files_only, rng)
            read_all(files_only)

        restored(files_only, edited)

    run("sealed records", 6_000, box, read, capfd)


def test_commands_on_a_damaged_stack(files_only: Path, box: Path, capfd: Any) -> None:
    names = sorted(folders.contents(files_only))
    commands: list[Callable[[], object]] = [
        lambda: folders.undo(files_only),
        lambda: folders.drop(files_only, "b"),
        lambda: folders.grow(files_only, "d"),
        lambda: _repair(files_only),
    ]

    def read(rng: random.Random) -> None:
        def work() -> None:
            path = files_only / rng.choice(names)
            path.write_bytes(any_bytes(rng, path))
            rng.choice(commands)()
            verify_files(files_only)

        restored(files_only, work)

    run("commands on a damaged stack", 1_000, box, read, capfd)


def _repair(folder: Path) -> None:
    with folder_lock(folder):
        rebuild(folder, folders.BASE)


@pytest.fixture
def base(tiny_bases: dict[str, Path], box: Path) -> Path:
    """One small base in the sandbox."""
    return shutil.copytree(tiny_bases["llama"], box / "base")


@pytest.fixture
def grown(base: Path, box: Path) -> Path:
    """A real stack: one phase of one step, with a router."""
    import growlm

    rows = [{"prompt": f"Tom has {n} dogs and", "completion": f" {n} cats"} for n in range(40)]
    (box / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (box / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat on {n} big red boxes" for n in range(60)))
    options = {"trainer.accelerator": "cpu", "trainer.precision": "32-true"}
    growlm.grow(
        str(box / "rows.jsonl"),
        stack=box / "grown",
        base=str(base),
        steps=1,
        metric="loss",
        num_scored=1,
        batch_size=2,
        stories=str(box / "stories.txt"),
        **options,
    )
    return box / "grown"


def test_a_stack_with_its_model(grown: Path, box: Path, capfd: Any) -> None:
    names = [name for name in sorted(folders.contents(grown)) if not name.endswith(".md")]

    def read(rng: random.Random) -> None:
        def load() -> None:
            if rng.random() < 0.5:
                path = grown / rng.choice(names)
                path.write_bytes(any_bytes(rng, path))
            else:
                reseal_one(grown, rng)
            stack = ModuleStack.from_pretrained(grown)
            stack(_ids())

        restored(grown, load)

    run("a stack with its model", 300, box, read, capfd)


def _ids() -> Any:
    import torch

    return torch.tensor([[0, 1, 2]])


def reseal_one(folder: Path, rng: random.Random) -> None:
    name = "modules/00-rows/module.json"
    manifest = json.loads((folder / "stack.json").read_bytes())
    record = mutate_json(rng, json.loads((folder / name).read_bytes()))
    (folder / name).write_bytes(dump_json(record, indent=2) + b"\n")
    manifest["files"][name] = file_digest(folder / name)
    manifest.pop("digest", None)
    (folder / "stack.json").write_bytes(dump_json(seal(manifest), indent=2) + b"\n")


def test_the_next_phase_on_an_edited_stack(grown: Path, base: Path, box: Path, capfd: Any) -> None:
    """What a phase reads before it trains: the skills that the records name, the router, the work folder."""
    rows = shutil.copy(box / "rows.jsonl", box / "more.jsonl")

    def read(rng: random.Random) -> None:
        def begin() -> None:
            reseal_one(grown, rng)
            if rng.random() < 0.3:
                (grown / ".work").mkdir()
                (grown / ".work" / "phase.json").write_bytes(dump_json(mutate_json(rng, {"settings": {"seed": 0}})))
            config = PhaseConfig(str(rows), stack=grown, metric="loss", num_scored=1, batch_size=2, rescore=True)
            with folder_lock(grown):
                prepare(config, {"steps": 1}, ScoreCache())

        try:
            restored(grown, begin)
        finally:
            shutil.rmtree(grown / ".work", ignore_errors=True)

    run("the next phase on an edited stack", 100, box, read, capfd)


# -- bases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gpt_neox"])
def test_a_base(tiny_bases: dict[str, Path], family: str, box: Path, capfd: Any) -> None:
    folder = shutil.copytree(tiny_bases[family], box / "base")
    names = [name for name in sorted(folders.contents(folder)) if (folder / name).suffix in (".json", ".safetensors")]
    settings = [name for name in names if name in ("config.json", "generation_config.json")]

    def read(rng: random.Random) -> None:
        path = folder / rng.choice(settings if rng.random() < 0.5 else names)

        def load() -> None:
            stack = ModuleStack.from_base(str(folder))
            stack(_ids())
            stack.tokenizer("Tom has 3 dogs")

        rewritten(path, any_bytes(rng, path), load)

    run(f"a base ({family})", 200, box, read, capfd)


# -- recipes -------------------------------------------------------------------------------------------------------

RECIPES = Path(__file__).parents[2] / "recipes"


def recipe(rng: random.Random, path: Path) -> bytes:
    whole = path.read_bytes()
    if rng.random() < 0.6:
        content = mutate_json(rng, json.loads(json.dumps(yaml.safe_load(whole))))
        try:
            return yaml.safe_dump(content, allow_unicode=True).encode(errors="surrogatepass")
        except RecursionError:
            return dump_json(content)
    anchors = b"\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *d]\n"
    return whole + anchors if rng.random() < 0.05 else mutate_bytes(rng, whole)


def test_yaml(box: Path, capfd: Any) -> None:
    sources = [path for path in sorted(RECIPES.rglob("*.yaml")) if path.stat().st_size < 1_500]
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        path.write_bytes(recipe(rng, rng.choice(sources)))
        read_yaml(path)

    run("YAML", 13_000, box, read, capfd)


def test_streams_and_lists_of_methods(box: Path, capfd: Any) -> None:
    streams, entries = sorted((RECIPES / "streams").glob("*.yaml")), sorted((RECIPES / "bench").glob("*.yaml"))
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        if rng.random() < 0.7:
            path.write_bytes(recipe(rng, rng.choice(streams)))
            read_stream(str(path), box)
        else:
            path.write_bytes(recipe(rng, rng.choice(entries)))
            read_entries(str(path))

    run("streams and lists of methods", 1_500, box, read, capfd)


def test_recipes_of_phases(box: Path, capfd: Any) -> None:
    sources = sorted((RECIPES / "skills").glob("*.yaml"))
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        path.write_bytes(recipe(rng, rng.choice(sources)))
        PhaseCLI([*long_options(["--config", str(path)]), "--trainer.accelerator=cpu"], "growlm grow")

    run("recipes of phases", 40, box, read, capfd)


def test_recipes_of_bases(box: Path, capfd: Any) -> None:
    sources = sorted((RECIPES / "base").glob("*.yaml"))
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        path.write_bytes(recipe(rng, rng.choice(sources)))
        CommandParser(pretrain, "growlm pretrain", (), {}).arguments([f"--config={path}"])

    run("recipes of bases", 300, box, read, capfd)


# -- results -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cell(box: Path) -> Path:
    """A finished cell with answers."""
    from growlm.data.example import Message
    from growlm.metrics.scoring import Answer
    from tests.unit.bench.conftest import make

    path = box / "results" / "cells" / "grow" / "1" / "0" / "cell.json"
    result = make()
    said = Answer("chat/test/0", Message("assistant", "yes", (("yes",),), ()), "yes", 1.0)
    result.answers = {"chat": {"routed": [said], "oracle": [said], "all": [said]}}
    result.write(path)
    return path


def test_cells(cell: Path, box: Path, capfd: Any) -> None:
    whole = json.loads(cell.read_bytes())

    def read(rng: random.Random) -> None:
        content = any_bytes(rng, cell)
        if rng.random() < 0.7:
            edited = mutate_json(rng, whole)
            edited = {key: edited[key] for key in edited if key != "digest"} if isinstance(edited, dict) else edited
            content = dump_json(seal(edited, json_digest) if isinstance(edited, dict) and valid(edited) else edited)
        rewritten(cell, content, lambda: read_cell(cell))

    run("cells", 26_000, box, read, capfd)


def test_answers(cell: Path, box: Path, capfd: Any) -> None:
    path = cell.with_name("answers.jsonl.xz")
    rows = [json.loads(line) for line in lzma.decompress(path.read_bytes()).splitlines()]

    def read(rng: random.Random) -> None:
        content = mutate_bytes(rng, path.read_bytes())
        if rng.random() < 0.7:
            content = lzma.compress(b"\n".join(dump_json(mutate_json(rng, row)) for row in rows), preset=0)
        rewritten(path, content, lambda: read_cell(cell))

    run("answers", 15_000, box, read, capfd)


def test_reports(cell: Path, box: Path, capfd: Any) -> None:
    whole = json.loads(cell.read_bytes())
    results = cell.parents[4]

    def read(rng: random.Random) -> None:
        edited = mutate_json(rng, whole)
        if isinstance(edited, dict) and valid(edited):
            edited = seal({key: edited[key] for key in edited if key != "digest"}, json_digest)
        rewritten(cell, dump_json(edited), lambda: write_report(results, box / "out"))

    run("reports", 60, box, read, capfd)


def test_numbers_and_scores(cell: Path, box: Path, capfd: Any) -> None:
    write_report(cell.parents[4], box / "out")
    numbers = box / "out" / "results.json"
    scores = json.loads(cell.read_bytes())["scores"]
    made = box / "scores.json"

    def read(rng: random.Random) -> None:
        if rng.random() < 0.5:
            rewritten(numbers, any_bytes(rng, numbers), lambda: results_page(read_numbers(numbers), None, "x"))
        else:
            made.write_bytes(dump_json(mutate_json(rng, scores)))
            scores_table(read_json(made), "scores")

    run("numbers and scores", 22_000, box, read, capfd)


# -- data ----------------------------------------------------------------------------------------------------------

ROWS: dict[str, Any] = {
    "messages": {
        "messages": [
            {"role": "system", "content": "be short"},
            {"role": "user", "content": "hello @"},
            {"role": "assistant", "content": "good day", "weight": 1},
        ]
    },
    "conversations": {"conversations": [{"from": "human", "value": "hello @"}, {"from": "gpt", "value": "yes"}]},
    "turns": {"turns": ["hello @", "yes"]},
    "completion": {"prompt": "Tom @", "completion": " said", "choices": [" said", " sat"]},
    "text": {"text": "the cat sat @"},
}
"""A row of every shape; ``@`` becomes the row's number."""


def test_rows(box: Path, tiny_bases: dict[str, Path], capfd: Any) -> None:
    from growlm.base.load import load_tokenizer

    tokenizer = load_tokenizer(tiny_bases["llama"])
    from growlm.data.encode import encode_windows

    def read(rng: random.Random) -> None:
        row = rng.choice(list(ROWS.values()))
        rows = [json.loads(json.dumps(row).replace("@", str(number))) for number in range(24)]
        rows[rng.randrange(24)] = mutate_json(rng, row)
        content = b"\n".join(map(dump_json, rows))
        if rng.random() < 0.4:
            content = mutate_bytes(rng, content)
        path = box / "rows.jsonl"
        if rng.random() < 0.1:
            content = lzma.compress(content, preset=0)
            path = box / "rows.jsonl.xz"
            content = mutate_bytes(rng, content) if rng.random() < 0.5 else content
        path.write_bytes(content)
        skill = skills.build("jsonl", {"train": str(path)})
        for split in ("train", "validation", "test"):
            for example in skill.examples(split):
                encode_windows(example, tokenizer, 64)

    run("rows", 5_000, box, read, capfd)


def test_other_data(box: Path, capfd: Any) -> None:
    babi, task = box / "babi", "qa1_single-supporting-fact"
    asked = [f"1 Tom{n} is in the park.\n2 Where is Tom{n}?\tpark\t1\n" for n in range(13)]
    files = {
        "stories": (box / "stories.txt", "<|endoftext|>".join(f"Tom has {n} dogs" for n in range(40))),
        "babi": (babi / f"{task}_train.txt", "".join(asked[1:])),
        "babi test": (babi / f"{task}_test.txt", asked[0]),
        "blimp": (box / "blimp.jsonl", '{"sentence_good": "a", "sentence_bad": "b", "linguistics_term": "c"}\n' * 3),
    }
    for path, text in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    readers: dict[str, Callable[[], object]] = {
        "stories": lambda: list(skills.build("stories", {"file": str(files["stories"][0])}).examples("test")),
        "babi": lambda: list(skills.build("babi", {"data": str(box / "babi"), "tasks": [1]}).examples("test")),
        "blimp": lambda: blimp_module._read(files["blimp"][0], None),
    }

    def read(rng: random.Random) -> None:
        name = rng.choice(sorted(files))
        path = files[name][0]
        rewritten(path, mutate_bytes(rng, path.read_bytes()), readers[name.split()[0]])

    run("other data", 2_900, box, read, capfd)
