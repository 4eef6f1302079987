"""Looking around starts without torch, lightning or transformers."""

import subprocess
import sys

import pytest

SLOW = ("rich", "logging", "multiprocessing", "importlib.metadata", "importlib.resources", "email", "inspect")
"""Modules that take longer to import than all of growlm that the overview needs."""
HEAVY = ("torch", "lightning", "transformers", "torchmetrics", "tokenizers", "numpy")


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["--version"], ["ls"], ["ls", "--json"], ["ls", "--help"], ["nonsense"]]
)
def test_looking_around_is_light(words: list[str]):
    code = (
        "import sys; from growlm.cli.main import main; "
        f"main({words!r}); sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_command_imports_anything_heavy_to_be_found():
    code = (
        "import importlib, sys; from growlm.cli.main import command_names, own_name\n"
        "for name in command_names(): importlib.import_module(f'growlm.commands.{own_name(name)}')\n"
        f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lines", ["import growlm", "from growlm.cli.main import main; main(['--help'])"])
def test_the_overview_and_the_import_take_a_few_hundredths_of_a_second(lines: str):
    code = (
        "import sys; before = set(sys.modules)\n"
        f"{lines}\n"
        f"sys.exit(' '.join(name for name in {SLOW!r} if name in set(sys.modules) - before) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
