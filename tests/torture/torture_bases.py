"""Mutants of a base's files. Not in the default tests: nox -s torture."""

import random
import shutil
from pathlib import Path

import pytest
import torch

from growlm.stack.stack import ModuleStack
from tests.torture import folders
from tests.torture.conftest import Run
from tests.torture.mutations import mutate_file, rewritten


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gpt_neox"])
def test_a_base(tiny_bases: dict[str, Path], family: str, box: Path, run: Run) -> None:
    folder = shutil.copytree(tiny_bases[family], box / "base")
    names = [name for name in sorted(folders.contents(folder)) if (folder / name).suffix in (".json", ".safetensors")]
    settings = [name for name in names if name in ("config.json", "generation_config.json")]

    def read(rng: random.Random) -> None:
        path = folder / rng.choice(settings if rng.random() < 0.5 else names)

        def load() -> None:
            stack = ModuleStack.from_base(str(folder))
            stack(torch.tensor([[0, 1, 2]]))
            stack.tokenizer("Tom has 3 dogs")

        rewritten(path, mutate_file(rng, path), load)

    run(f"a base ({family})", 200, read)
