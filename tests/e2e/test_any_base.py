"""Bases as others made them: with a stock chat template, of other families, in fewer bytes, the tokenizer elsewhere."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from growlm.manifest.manifest import read_manifest
from tests.e2e.conftest import WORDS, Files, Outcome, complaints

Command = Callable[[Sequence[object]], Outcome]
CHATML = (
    "{%- if tools -%}{{- '<|system|>tools: ' + tools[0]['name'] + '<|end|>' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|' + ('user' if m['role'] == 'tool' else m['role']) + '|>' + m['content'] -}}"
    "{%- if m['tool_calls'] -%}{{- 'call ' + m['tool_calls'][0]['name'] -}}{%- endif -%}{{- '<|end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
CLOCK = [
    {"role": "assistant", "content": "", "tool_calls": [{"name": "clock"}]},
    {"role": "tool", "content": "12"},
    {"role": "assistant", "content": "it is 12"},
]


def base_with(files: Files, folder: Path, template: str | None) -> str:
    """Copy the small base, with another chat template or without a tokenizer."""
    shutil.copytree(files.base, folder)
    for name in ("chat_template.jinja", *(() if template else ("tokenizer.json", "tokenizer_config.json"))):
        (folder / name).unlink(missing_ok=True)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return str(folder)


@pytest.mark.parametrize("named", [False, True])
def test_a_stock_template_with_system_turns_and_tools(
    command: Command, files: Files, tmp_path: Path, named: bool
) -> None:
    base = base_with(files, tmp_path / "base", CHATML)
    if named:  # as `save_pretrained` writes a dict of templates
        (tmp_path / "base" / "additional_chat_templates").mkdir()
        (tmp_path / "base" / "additional_chat_templates" / "tool_use.jinja").write_text(CHATML)
        (tmp_path / "base" / "chat_template.jinja").write_text(CHATML[CHATML.index("{%- for") :])
    rows = [
        {"messages": [*asked, *CLOCK], "tools": [{"name": "clock"}]}
        for asked in (
            [{"role": "system", "content": "be kind"}, {"role": "user", "content": f"the time {one}?"}] for one in WORDS
        )
    ]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = files.grow(tmp_path / "stack", "--base", base, "--router", "none", skill=f"{tmp_path}/talks.jsonl")
    outcome = command(words)
    assert outcome.status == 0, outcome.err
    assert "12 conversations (OpenAI messages); 12 system turns; 12 tool turns; 12 with tools" in outcome.err
    outcome = command(["generate", tmp_path / "stack", "hello", "--max_new_tokens", "3"])
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("family", ["phi3", "gemma2", "olmo2", "qwen2_moe", "opt", "t5"])
def test_other_families(
    command: Command, files: Files, tiny_bases: dict[str, Path], tmp_path: Path, family: str
) -> None:
    words = files.grow(tmp_path / "stack", "--base", str(tiny_bases[family]), "--steps", "3", "--router", "none")
    outcome = command(words)
    assert outcome.status == 0, outcome.err
    assert read_manifest(tmp_path / "stack").base.model_type == family


def test_a_family_that_no_table_lists(command: Command, files: Files, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, StableLmConfig, StableLmForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(files.base)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = StableLmConfig(vocab_size=len(tokenizer), num_key_value_heads=4, **sizes, **ids)
    StableLmForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    words = files.grow(tmp_path / "stack", "--base", str(tmp_path / "base"), "--steps", "3", "--router", "none")
    outcome = command(words)
    assert outcome.status == 0, outcome.err


def test_in_half_the_bytes_on_a_named_device_with_checkpoints(command: Command, files: Files, tmp_path: Path) -> None:
    more = ("--dtype", "bfloat16", "--device", "cpu", "--gradient-checkpointing", "--router", "none")
    outcome = command(files.grow(tmp_path / "stack", *more))
    assert outcome.status == 0, outcome.err
    assert command(["verify", tmp_path / "stack"]).status == 0


def test_a_tokenizer_from_elsewhere(command: Command, files: Files, tmp_path: Path) -> None:
    base = base_with(files, tmp_path / "base", None)
    words = files.grow(tmp_path / "stack", "--base", base, "--router", "none")
    assert "has no tokenizer" in complaints(command(words))[0]
    outcome = command([*words, "--tokenizer", files.base])
    assert outcome.status == 0, outcome.err


def test_a_tokenizer_with_more_entries_than_the_embedding_has_rows(
    command: Command, files: Files, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    base = base_with(files, tmp_path / "base", CHATML)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(300)
    model.save_pretrained(base)
    outcome = command(files.grow(tmp_path / "stack", "--base", base))
    assert outcome.status == 2
    assert "and the base's embedding 300 rows" in complaints(outcome)[0]
