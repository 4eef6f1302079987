"""Mutants of recipes. Not in the default tests: nox -s torture."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from growlm.bench.plan.entries import read_entries
from growlm.bench.plan.stream import read_stream
from growlm.cli.parser import CommandParser
from growlm.cli.phase import PhaseCLI, long_options
from growlm.commands.pretrain import pretrain
from growlm.recipes import read_yaml
from tests.torture.conftest import Run
from tests.torture.mutations import dump_json, mutate_bytes, mutate_json

RECIPES = Path(__file__).parents[2] / "recipes"


@cache
def values(path: Path) -> Any:
    """Read a recipe as it is."""
    return json.loads(json.dumps(yaml.safe_load(path.read_bytes())))


def recipe(rng: random.Random, path: Path) -> bytes:
    """Return a mutant of a recipe: of its values, as YAML or as the JSON that YAML holds, or of its bytes."""
    if rng.random() < 0.6:
        content = mutate_json(rng, values(path))
        if rng.random() < 0.5:
            return dump_json(content)
        try:
            return yaml.safe_dump(content, allow_unicode=True).encode(errors="surrogatepass")
        except RecursionError:
            return dump_json(content)
    whole = path.read_bytes()
    anchors = b"\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *d]\n"
    return whole + anchors if rng.random() < 0.05 else mutate_bytes(rng, whole)


def test_yaml(box: Path, run: Run) -> None:
    sources = [path for path in sorted(RECIPES.rglob("*.yaml")) if path.stat().st_size < 1_000]
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        path.write_bytes(recipe(rng, rng.choice(sources)))
        read_yaml(path)

    run("YAML", 5_000, read)


def test_streams_and_lists_of_methods(box: Path, run: Run) -> None:
    streams, entries = sorted((RECIPES / "streams").glob("*.yaml")), sorted((RECIPES / "bench").glob("*.yaml"))
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        if rng.random() < 0.7:
            path.write_bytes(recipe(rng, rng.choice(streams)))
            read_stream(str(path), box)
        else:
            path.write_bytes(recipe(rng, rng.choice(entries)))
            read_entries(str(path))

    run("streams and lists of methods", 1_500, read)


def test_recipes_of_phases(box: Path, run: Run) -> None:
    sources = sorted((RECIPES / "skills").glob("*.yaml"))
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        path.write_bytes(recipe(rng, rng.choice(sources)))
        PhaseCLI([*long_options(["--config", str(path)]), "--trainer.accelerator=cpu"], "growlm grow")

    run("recipes of phases", 40, read)


def test_recipes_of_bases(box: Path, run: Run) -> None:
    sources = sorted((RECIPES / "base").glob("*.yaml"))
    path = box / "recipe.yaml"

    def read(rng: random.Random) -> None:
        path.write_bytes(recipe(rng, rng.choice(sources)))
        CommandParser(pretrain, "growlm pretrain", (), {}).arguments([f"--config={path}"])

    run("recipes of bases", 300, read)
