"""Gains against numbers worked by hand and against scaled stock weights."""

from pathlib import Path

import pytest
import torch

from growlm.modules.gain import Gain, GainPart
from growlm.registry import methods, module_kinds
from growlm.stack.stack import ModuleStack

IDS = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))


def test_two_dims_by_hand() -> None:
    part = GainPart(2)
    output = torch.tensor([[[3.0, -2.0]]])
    assert torch.equal(part(torch.zeros(1, 1, 7), output), output)
    with torch.no_grad():
        part.gain.copy_(torch.tensor([0.5, 2.0]))
    assert part(torch.zeros(1, 1, 7), output).tolist() == [[[1.5, -4.0]]]


@pytest.mark.parametrize(("behind", "names"), [("both", ("o_proj", "down_proj")), ("feed_forward", ("down_proj",))])
def test_a_gain_is_a_scaling_of_the_rows_of_stock_weights(
    tiny_bases: dict[str, Path], behind: str, names: tuple[str, ...]
) -> None:
    stack, stock = (ModuleStack.from_base(str(tiny_bases["llama"])).eval() for _ in range(2))
    stack.attach("first", {"gain": module_kinds.build("gain", {"behind": behind})})
    assert {path.rpartition(".")[2] for path in stack.sites()} == set(names)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, site in stack.sites().items():
            (part,) = site.parts.values()
            part.gain.copy_(1 + torch.randn(32, generator=generator))
            stock.base.get_submodule(path).weight *= part.gain[:, None]
    torch.testing.assert_close(stack(IDS).logits, stock(IDS).logits, rtol=1e-4, atol=1e-5)


def test_the_method_continues_one_set_of_gains() -> None:
    method = methods.build("gain", {"behind": "feed_forward"})
    assert method.kinds() == {"gain": Gain(behind="feed_forward")}
    assert method.inference == "all"
