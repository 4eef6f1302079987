"""What pip installs works in any folder: growlm alone says where bases come from, growlm-bases brings them."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {"growlm": ROOT, "growlm-bases": ROOT / "packages" / "growlm-bases"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build both wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in SOURCES.values():
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
    return {name: next(folder.glob(f"{name.replace('-', '_')}-0*.whl")) for name in SOURCES}


def test_an_installed_wheel_works_in_any_folder(wheels: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # not again for this test
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.jsonl").write_text("".join(f'{{"prompt": "the {n}", "completion": " cat"}}\n' for n in range(9)))

    def install(name: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
        subprocess.run([*pip, str(wheels[name])], check=True, capture_output=True)

    def growlm(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "GROWLM_CHECKPOINTS")
        }
        command = [str(home / "bin" / "growlm"), *words]
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)

    install("growlm")
    dry = ("grow", "--skill", "a.jsonl", "--base", "nano", "--dry_run", "--router", "none")
    refused = growlm(*dry)
    assert refused.returncode == 2
    assert "none is installed here; get growlm's own with pip install growlm-bases" in " ".join(refused.stderr.split())
    install("growlm-bases")
    listed = growlm("ls", "bases")
    assert listed.returncode == 0, listed.stderr
    assert {"nano", "mini"} <= set(listed.stdout.split())
    grown = growlm(*dry)
    assert grown.returncode == 0, grown.stderr
    assert "training examples of" in grown.stderr
    assert [path.name for path in work.iterdir()] == ["a.jsonl"]
