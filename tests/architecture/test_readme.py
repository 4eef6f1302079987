"""The README keeps what it promises: two blocks to run first, commands that exist."""

import re
import subprocess
from pathlib import Path

import pytest

from growlm.cli.main import command_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def quick_start_blocks() -> list[str]:
    section = README.split("## Quick start\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)


def test_quick_start_begins_with_the_main_job_and_the_tests():
    main_job, tests = quick_start_blocks()[:2]
    assert "growlm grow" in main_job
    assert "-m pytest" in tests
    assert all("pip install -c constraints.txt" in block for block in (main_job, tests))


@pytest.mark.parametrize("block", quick_start_blocks())
def test_blocks_are_scripts(block: str):
    done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^\s*\$ ", block, re.MULTILINE), "a prompt is no part of a script"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "REPRODUCIBILITY.md"])
def test_every_command_named_exists(document: str):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)growlm ([a-z_]+)", text, re.MULTILINE))
    assert named <= set(command_names())
