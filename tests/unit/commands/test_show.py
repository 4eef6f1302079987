import json
import subprocess
import sys
from pathlib import Path

import pytest

from growlm.cli.main import main


def test_tree(stack_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["show", str(stack_folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("base tiny")
    assert [name for name in ("chat", "memory", "rhymes") if f"── {name}" in out] == ["chat", "memory", "rhymes"]


def test_json_holds_the_whole_manifest(stack_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["show", str(stack_folder), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["base"]["tensors"] == {"embed": "3" * 64}
    assert [module["path"] for module in content["modules"]] == [["chat"], ["chat", "memory"], ["rhymes"]]


def test_a_folder_that_is_no_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["show", str(tmp_path)]) == 2
    assert "is not a stack" in capsys.readouterr().err


def test_an_edited_manifest(stack_folder: Path, capsys: pytest.CaptureFixture[str]):
    path = stack_folder / "stack.json"
    path.write_text(path.read_text().replace("12340", "12341"))
    assert main(["show", str(stack_folder)]) == 2
    assert "was edited or damaged" in capsys.readouterr().err


def test_it_starts_without_torch(stack_folder: Path):
    code = (
        f"import sys; from growlm.cli.main import main; main(['show', {str(stack_folder)!r}])\n"
        "sys.exit(' '.join({'torch', 'lightning', 'transformers', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "chat" in done.stdout
