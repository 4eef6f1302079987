"""Bottlenecks against numbers worked by hand and against stock linears."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from growlm.errors import GrowlmError
from growlm.modules.bottleneck import Bottleneck, BottleneckPart
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

IDS = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))


def test_one_unit_by_hand() -> None:
    part = BottleneckPart(2, 1, None)
    with torch.no_grad():
        part.down.copy_(torch.tensor([[1.0, -1.0]]))
        part.down_bias.fill_(0.5)
        part.up.copy_(torch.tensor([[2.0], [0.0]]))
        part.up_bias.copy_(torch.tensor([0.0, 0.25]))
    output = part(torch.zeros(1, 1, 7), torch.tensor([[[3.0, 2.0]]]))
    inner = 1.5 * (1 + math.erf(1.5 / math.sqrt(2))) / 2  # GELU of 3 - 2 + 0.5
    torch.testing.assert_close(output, torch.tensor([[[3 + 2 * inner, 2.25]]]))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_it_stands_behind_the_sublayers(tiny_bases: dict[str, Path], family: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    stack.attach("first", {"bottleneck": Bottleneck(width=3)})
    with torch.no_grad():
        for parameter in stack.module_parameters("first").values():
            parameter.normal_(0, 0.2)
    logits = stack(IDS).logits
    stock = ModuleStack.from_base(str(tiny_bases[family])).eval()  # the same by hooks on the stock linears
    for path, site in stack.sites().items():
        part = next(iter(site.parts.values()))
        down, up = nn.Linear(32, 3), nn.Linear(3, 32)
        down.load_state_dict({"weight": part.down.detach(), "bias": part.down_bias.detach()})
        up.load_state_dict({"weight": part.up.detach(), "bias": part.up_bias.detach()})
        adapter = nn.Sequential(down, nn.GELU(), up)
        stock.base.get_submodule(path).register_forward_hook(
            lambda _, inputs, output, adapter=adapter: output + adapter(output)
        )
    torch.testing.assert_close(stock(IDS).logits, logits, rtol=1e-4, atol=1e-5)
    with stack.active():
        assert (stack(IDS).logits - logits).abs().max() > 1e-2


def test_places(tiny_bases: dict[str, Path]) -> None:
    def sites(**options: object) -> set[str]:
        stack = ModuleStack.from_base(str(tiny_bases["llama"]))
        stack.attach("first", {"bottleneck": module_kinds.build("bottleneck", options)})
        return {path.removeprefix("model.layers.") for path in stack.sites()}

    assert sites() == {f"{layer}.{path}" for layer in range(4) for path in ("self_attn.o_proj", "mlp.down_proj")}
    assert sites(behind="feed_forward", layers=[1, 3]) == {"1.mlp.down_proj", "3.mlp.down_proj"}


def test_what_is_refused() -> None:
    with pytest.raises(GrowlmError, match="bottleneck width 0 is too small: give 1 or more"):
        Bottleneck(width=0)
