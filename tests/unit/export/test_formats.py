"""Every export format against the stack that it came from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from growlm.errors import GrowlmError
from growlm.export.exporter import export
from growlm.modules.block import Block
from growlm.modules.embedding import Embedding
from growlm.registry import exporters
from tests.contracts.conftest import DECODERS

NewStack = Callable[..., Any]
TOKENS = torch.arange(6, 42).reshape(2, 18)


def with_embedding(stack: Any, outputs: bool = False) -> Any:
    """A stack with a module that changes the token embedding too, moved as training would."""
    stack.attach("words", {"embedding": Embedding(rank=3, outputs=outputs)})
    with torch.no_grad():
        for parameter in stack.module_parameters("words").values():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return stack.eval()


@pytest.mark.parametrize("family", DECODERS)
def test_hf_folders_compute_what_the_path_does(new_stack: NewStack, tmp_path: Path, family: str) -> None:
    stack = new_stack(family, modules=("first", "second"))
    checks = export(stack, exporters.build("hf"), tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(model(TOKENS).logits, stack(TOKENS).logits, rtol=0, atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == stack.tokenizer.chat_template
    assert [check.value for check in checks[1:2]] == ["4 of 4"]
    assert "first" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_hf_in_half_precision(new_stack: NewStack, tmp_path: Path, dtype: str) -> None:
    export(new_stack(), exporters.build("hf", {"dtype": dtype}), tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert model.dtype == getattr(torch, dtype)


@pytest.mark.filterwarnings(
    "ignore:Model has `tie_word_embeddings=True`",
    "ignore:`is_gradient_checkpointing`",
    "ignore:fan_in_fan_out is set to True but the target module is `torch.nn.Linear`",  # GPT-2's output embedding
)
@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize("modules", [("first",), ("first", "second")])
def test_peft_adapters_compute_what_the_path_does(
    new_stack: NewStack,
    tmp_path: Path,
    tiny_bases: dict[str, Path],
    family: str,
    modules: tuple[str, ...],
    outputs: bool,
) -> None:
    from peft import PeftModel

    stack = with_embedding(new_stack(family, modules=modules), outputs)
    if family == "qwen3_moe":  # PEFT moves changes of the layers without experts to the experts of the others
        with pytest.raises(GrowlmError, match=r"layers\.3\.mlp\..*_proj for one of this base's experts.*--to hf"):
            export(stack, exporters.build("peft"), tmp_path / "out")
        return
    export(stack, exporters.build("peft"), tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(tiny_bases[family], dtype=torch.float32)
    model = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    ours = stack(TOKENS).logits.detach()
    torch.testing.assert_close(model(TOKENS).logits, ours, rtol=0, atol=1e-5 * float(ours.abs().max().clamp(min=1)))


def test_peft_cannot_hold_layers(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    stack.attach("deep", {"block": Block(after=[1])})
    with pytest.raises(GrowlmError, match=r"'deep' has a block at model\.layers\.1.*--to hf"):
        export(stack, exporters.build("peft"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`", "ignore:`is_gradient_checkpointing`")
def test_the_card_begins_with_what_the_hub_reads(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    stack.manifest = replace(stack.manifest, base=replace(stack.manifest.base, source="org/base"))
    export(stack, exporters.build("peft"), tmp_path / "out")
    front = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---\n")[1])
    assert front["library_name"] == "peft"
    assert front["base_model"] == "org/base"


def test_peft_of_the_bare_base(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    with stack.active(), pytest.raises(GrowlmError, match="no module to export"):
        export(stack, exporters.build("peft"), tmp_path / "out")


@pytest.mark.parametrize("format_name", list(exporters))
def test_a_folder_in_use_is_left_alone(new_stack: NewStack, tmp_path: Path, format_name: str) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(GrowlmError, match="not an empty folder"):
        export(new_stack(), exporters.build(format_name), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_that_computes_something_else_is_refused(
    new_stack: NewStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = new_stack()
    with stack.active():
        other = stack.merged()
    monkeypatch.setattr(type(stack), "merged", lambda self: other)
    with pytest.raises(GrowlmError, match="logits differ by"):
        export(stack, exporters.build("hf"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
