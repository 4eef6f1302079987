"""Importance as tables and heat maps."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.files import combined_digest, tensor_digests
from growlm.manifest.manifest import ModuleRecord
from growlm.methods.importance.units import ACCUMULATED, OF_PHASE
from growlm.modules.lora import Lora
from growlm.show.importance import OUTSIDE, importance_map, importance_table, plot_importance
from growlm.stack.stack import ModuleStack

TENSORS = {
    "importance/lora.model.layers.10.mlp.up_proj": torch.tensor([0.0, 1.0]),
    "importance/lora.model.layers.2.self_attn.q_proj": torch.tensor([0.25, 0.75]),
    "importance/lora.model.layers.2.mlp.up_proj": torch.tensor([1e-9]),
    "phase_importance/lora.model.layers.2.mlp.up_proj": torch.tensor([0.5]),
    "replay/tokens": torch.tensor([3]),
}


def test_the_map_has_layers_in_order_and_means_of_units() -> None:
    found = importance_map(TENSORS)
    assert found.layers == ("2", "10")
    assert found.projections == ("up_proj", "q_proj")
    assert found.values == ((pytest.approx(1e-9), 0.5), (0.5, None))
    assert importance_map(TENSORS, of_phase=True).values == ((0.5,),)


@pytest.mark.parametrize(
    ("unit", "layer", "projection"),
    [
        ("lora.model.layers.3.self_attn.q_proj", "3", "q_proj"),
        ("lora.model.layers.3.self_attn.q_proj.A", "3", "q_proj"),
        ("dense.model.layers.3.mlp.up_proj.layer.weight", "3", "up_proj"),
        ("dense.model.embed_tokens.layer.weight", OUTSIDE, "embed_tokens"),
        ("dense.gpt_neox.layers.0.attention.dense.layer.bias", "gpt_neox.0", "dense"),
        ("lora.encoder.block.1.layer.0.SelfAttention.q.B", "encoder.block.1", "q"),
        ("strange", OUTSIDE, "strange"),
    ],
)
def test_where_a_unit_is(unit: str, layer: str, projection: str) -> None:
    found = importance_map({ACCUMULATED + unit: torch.ones(1)})
    assert (found.layers, found.projections) == ((layer,), (projection,))


def test_units_outside_the_layers_come_last() -> None:
    names = ("model.norm.layer.weight", "model.layers.0.mlp.up_proj.layer.weight")
    assert importance_map({f"{ACCUMULATED}dense.{name}": torch.ones(1) for name in names}).layers == ("0", OUTSIDE)


def test_a_module_without_importance() -> None:
    with pytest.raises(GrowlmError, match="the module keeps no importance: grow it with method tasl, kif or"):
        importance_map({"fisher/x": torch.ones(1)})


def test_the_table() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(importance_table(importance_map(TENSORS), "title"))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines == [["title"], ["layer", "up_proj", "q_proj"], ["2", "1e-09", "0.5"], ["10", "0.5"]]


def test_the_plot() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    axes = plot_importance(importance_map(TENSORS), "title")
    shown = axes.collections[0].get_array()
    assert shown.shape == (2, 2)
    assert shown[0, 1] == 0.5
    assert shown[0, 0] == 1e-6
    assert [label.get_text() for label in axes.get_xticklabels()] == ["up_proj", "q_proj"]
    assert [text.get_text() for text in axes.texts] == ["1e-9", "0.5", "0.5"]
    matplotlib.pyplot.close(axes.figure)


@pytest.fixture
def folder(new_stack: Callable[..., Any], tmp_path: Path) -> Path:
    """A stack whose newest module keeps importance."""
    stack: ModuleStack = new_stack("llama", ("plain",))
    stack.attach("fused", {"lora": Lora(rank=2)}, on=())
    tensors = tensor_digests(stack.module_tensors("fused"))
    sites = sorted({name.rpartition(".")[0] for name in tensors})
    kept = {
        prefix + site: torch.linspace(0, 1, 2 * len(sites))[2 * i : 2 * i + 2].clone()
        for prefix in (ACCUMULATED, OF_PHASE)
        for i, site in enumerate(sites)
    }
    record = ModuleRecord(
        name="fused",
        kinds={"lora": Lora(rank=2).options()},
        parents=(),
        skill={"name": "chat", "options": {}},
        method={"name": "kif", "options": {}},
        seed=0,
        recipe={},
        parameters=1,
        tensors=tensors,
        digest=combined_digest(tensors),
        method_tensors=tensor_digests(kept),
    )
    stack.freeze(record, kept)
    stack.save_pretrained(tmp_path / "stack")
    return tmp_path / "stack"


def test_show_importance(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "--importance"]) == 0
    out = capsys.readouterr().out
    assert "fused: importance to all skills so far" in out
    assert "fused: importance to its own skill" in out
    assert "plain" not in out
    assert [line.split()[0] for line in out.splitlines() if line.strip()[:1].isdigit()] == ["0", "1", "2", "3"] * 2


def test_damaged_importance_is_not_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "modules" / "01-fused" / "method.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert main(["show", str(folder), "--importance"]) == 2
    assert "method.safetensors" in capsys.readouterr().err


def test_no_importance_at_all(
    new_stack: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_stack().save_pretrained(tmp_path / "stack")
    assert main(["show", str(tmp_path / "stack"), "--importance"]) == 2
    assert "keeps the importance of its units: grow one with method tasl, kif or" in capsys.readouterr().err
