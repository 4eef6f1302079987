"""GGUF files and Modelfiles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.export._gguf import interleave, plain_template, pre_tokenizer_name
from growlm.export.exporter import export
from growlm.registry import exporters

gguf = pytest.importorskip("gguf")
NewStack = Callable[..., Any]


def rotate_halves(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary positions as transformers has them: dimension i is paired with i + K / 2."""
    first, second = x.chunk(2, -1)
    return torch.cat(
        [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=-1
    )


def rotate_pairs(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary positions as llama.cpp has them: dimension 2 i is paired with 2 i + 1."""
    first, second = x[..., ::2], x[..., 1::2]
    rotated = (first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin())
    return torch.stack(rotated, dim=-1).flatten(-2)


def test_interleaved_rows_rotate_to_the_same_scores() -> None:
    queries, keys, x = torch.randn(3 * 8, 16), torch.randn(3 * 8, 16), torch.randn(5, 16)
    angles = torch.randn(5, 1, 4)

    def scores(rotate: Any, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        q, k = (rotate((x @ weight.T).view(5, 3, 8), angles) for weight in (one, other))
        return torch.einsum("thk,shk->hts", q, k)

    expected = scores(rotate_halves, queries, keys)
    found = scores(rotate_pairs, interleave(queries, 3), interleave(keys, 3))
    torch.testing.assert_close(found, expected)


def test_the_file_says_what_the_base_is(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    export(stack, exporters.build("gguf"), tmp_path / "out")
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    field = {name: value.contents() for name, value in reader.fields.items() if not name.startswith("GGUF.")}
    assert field["general.architecture"] == "llama"
    assert field["llama.block_count"] == 4
    assert field["llama.attention.head_count_kv"] == 2
    assert field["tokenizer.ggml.pre"] == "smollm"
    assert field["tokenizer.ggml.tokens"] == stack.tokenizer.convert_ids_to_tokens(range(320))
    assert field["tokenizer.ggml.eos_token_id"] == stack.tokenizer.eos_token_id
    assert "generation" not in field["tokenizer.chat_template"].replace("add_generation_prompt", "")
    assert "output.weight" not in {tensor.name for tensor in reader.tensors}, "tied"


def test_llama_cpp_generates_the_same(new_stack: NewStack, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    checks = export(new_stack(modules=("first", "second")), exporters.build("gguf"), tmp_path / "out")
    assert checks[-1].value == "4 of 4"


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_other_architectures_are_refused(new_stack: NewStack, tmp_path: Path, family: str) -> None:
    with pytest.raises(GrowlmError, match=f"not '{family}'.*--to hf"):
        export(new_stack(family), exporters.build("gguf"), tmp_path / "out")


def test_another_tokenizer_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(GrowlmError, match="not a byte-level BPE"):
        pre_tokenizer_name(words)


def test_generation_marks_are_taken_out_of_templates() -> None:
    assert plain_template("a{%- generation -%}b{% endgeneration %}c") == "abc"
