"""Uploading a stack to the hub and loading it from there, against a local server."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from growlm.stack.hub import base_license, portable_manifest

TOKENS = torch.arange(6, 24)[None]


@pytest.fixture
def hub() -> Iterator[Any]:
    spec = spec_from_file_location("local_hub", Path(__file__).with_name("local_hub.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(code: str, hub: Any, home: Path, *arguments: Any) -> str:
    """Run Python in a process of its own, for which that server is the hub."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_test"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PUSH = """
import sys, growlm
print(growlm.ModuleStack.from_pretrained(sys.argv[1]).push_to_hub("user/stack", license="apache-2.0").oid)
"""
LOAD = """
import json, sys, torch, growlm
from transformers import AutoModelForCausalLM, AutoTokenizer
stack = AutoModelForCausalLM.from_pretrained("user/stack", base=sys.argv[1])
AutoTokenizer.from_pretrained("user/stack")
with torch.inference_mode():
    print(json.dumps(stack(torch.arange(6, 24)[None]).logits.flatten().tolist()))
"""


def test_a_pushed_stack_is_loaded_by_its_id(
    hub: Any, new_stack: Callable[..., Any], tmp_path: Path, tiny_bases: dict[str, Path]
) -> None:
    stack = new_stack(modules=("first", "second"))
    last = stack.manifest.modules[-1]
    named = replace(last, recipe={"stories": str(tmp_path / "secret" / "stories.txt")})
    stack.manifest = replace(stack.manifest, modules=(*stack.manifest.modules[:-1], named))
    stack.save_pretrained(tmp_path / "stack")
    assert run(PUSH, hub, tmp_path / "home", tmp_path / "stack").strip() == "1" * 40
    files = hub.repositories["user/stack"]
    assert {"stack.json", "config.json", "tokenizer.json", "README.md", "modules/01-second/module.safetensors"} <= set(
        files
    )
    assert not any(str(tmp_path).encode() in content or b"secret" in content for content in files.values())
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "growlm"
    assert {"growlm", "llama", "lora"} <= set(front["tags"])
    found = torch.tensor(json.loads(run(LOAD, hub, tmp_path / "other", tiny_bases["llama"])))
    with torch.inference_mode():
        torch.testing.assert_close(found, stack(TOKENS).logits.flatten(), rtol=0, atol=1e-6)


def test_a_repository_that_is_not_there(hub: Any, tmp_path: Path) -> None:
    attempt = "try: growlm.ModuleStack.from_pretrained('user/nothing')"
    said = run(f"import growlm\n{attempt}\nexcept growlm.GrowlmError as error: print(error)", hub, tmp_path)
    assert re.match(r"user/nothing is not a folder, and cannot be fetched from the hub \(404", said)


def test_a_folder_that_looks_like_an_id_is_none(
    tiny_bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from growlm.manifest.card import stack_card
    from growlm.stack.stack import ModuleStack

    shutil.copytree(tiny_bases["llama"], tmp_path / "secret" / "mine")
    monkeypatch.chdir(tmp_path)
    manifest = ModuleStack.from_base("secret/mine").manifest
    assert manifest.base.source == "./secret/mine"
    assert portable_manifest(manifest).base.source == "mine"
    card = stack_card(manifest)
    assert "base_model" not in card
    assert "secret" not in card


def test_base_model_and_licence(new_stack: Callable[..., Any], tmp_path: Path) -> None:
    from growlm.manifest.card import stack_card

    manifest = new_stack().manifest
    assert "base_model" not in stack_card(portable_manifest(manifest))
    on_hub = replace(manifest, base=replace(manifest.base, source="org/base"))
    assert 'base_model: "org/base"' in stack_card(portable_manifest(on_hub))
    (tmp_path / "config.json").write_text("{}")
    assert base_license(str(tmp_path)) is None
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# base\n")
    assert base_license(str(tmp_path)) == "mit"
