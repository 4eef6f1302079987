"""The tested versions and their hashes are the same list; malicious uploads are excluded."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_version_has_hashes() -> None:
    pinned = re.findall(r"(?m)^([\w.-]+==\S+)$", (ROOT / "constraints.txt").read_text())
    hashed = re.findall(r"(?m)^([\w.-]+==\S+) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\\n|$|\n))+)", hashes())
    assert sorted(name.replace("_", "-") for name in pinned) == sorted(name for name, _ in hashed)
    assert len(pinned) > 100


def hashes() -> str:
    return (ROOT / "constraints-hashes.txt").read_text()


def test_malicious_uploads_are_excluded() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (lightning,) = (need for need in needed if need.startswith("lightning"))
    assert "!=2.6.2" in lightning
    assert "!=2.6.3" in lightning
