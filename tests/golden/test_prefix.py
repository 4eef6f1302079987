"""Prefixes against attention worked by hand, and against one softmax over prefix and tokens where the two agree."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from growlm.errors import GrowlmError
from growlm.modules.prefix import Prefix, prefix_read
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import DECODERS

IDS = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))


def test_one_head_by_hand() -> None:
    # (4, 3) has a mean square of 12.5; scores (4 * 2.5 + 0) / sqrt(12.5 * 2) = 2 and 0: weights e^2 and 1 to e^2 + 1
    keys, values = torch.tensor([[[2.5, 0.0], [0.0, 0.0]]]), torch.tensor([[[3.0, 0.0], [-1.0, 1.0]]])
    read = prefix_read(torch.tensor([[[[4.0, 3.0]]]]), keys, values)
    expected = [(3 * math.e**2 - 1) / (math.e**2 + 1), 1 / (math.e**2 + 1)]
    assert read.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_every_head_reads_its_own_vectors() -> None:
    queries, keys, values = torch.randn(2, 5, 3, 4), torch.randn(3, 6, 4), torch.randn(3, 6, 4)
    read = prefix_read(queries, keys, values)
    expected = nn.functional.scaled_dot_product_attention(unit(queries).transpose(1, 2), keys, values).transpose(1, 2)
    torch.testing.assert_close(read, expected)


def unit(queries: Tensor) -> Tensor:
    """Scale to a mean square of 1."""
    return queries / (queries.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def attached(folder: Path, options: Prefix) -> ModuleStack:
    """Attach a prefix whose values are worth something."""
    stack = ModuleStack.from_base(str(folder)).eval()
    stack.attach("first", {"prefix": options})
    with torch.no_grad():
        for name, parameter in stack.module_parameters("first").items():
            if name.endswith(".values"):
                parameter.normal_()
    return stack.requires_grad_(False)


@contextmanager
def seen(module: nn.Module) -> Iterator[list[Any]]:
    """Note the inputs and outputs of a module."""
    noted: list[Any] = []
    handle = module.register_forward_hook(lambda _, inputs, output: noted.append((inputs[0], output)))
    yield noted
    handle.remove()


def stock_queries(family: str, qkv_BTO: Tensor) -> Tensor:
    """Take the queries out of a linear's output as the stock models do; all have 4 heads of 8 dims."""
    if family == "gpt2":
        qkv_BTO = qkv_BTO.split(32, dim=2)[0]
    if family == "phi3":
        qkv_BTO = qkv_BTO[..., :32]
    if family == "gpt_neox":
        return qkv_BTO.view(*qkv_BTO.shape[:2], -1, 24).chunk(3, dim=-1)[0]
    return qkv_BTO.view(*qkv_BTO.shape[:2], -1, 8)


@pytest.mark.parametrize("family", DECODERS)
def test_a_layer_adds_what_its_heads_read(tiny_bases: dict[str, Path], family: str) -> None:
    stack = attached(tiny_bases[family], Prefix(length=3, scale=1.5))
    queries, output = stack.architecture.query_site(2), stack.architecture.output_sites(2)[0]
    site = stack.sites()[output]
    with seen(site.original) as stock, seen(site) as whole, seen(stack.sites()[queries]) as linear:
        stack(IDS)
    part = next(iter(site.parts.values()))
    added_BTD = torch.zeros_like(whole[0][1])
    queries_BTHC = unit(stock_queries(family, linear[0][1]))
    assert queries_BTHC.shape == (2, 9, 4, 8)
    for head in range(4):
        scores = queries_BTHC[:, :, head] @ part.keys[head].T / math.sqrt(8)
        read = 1.5 * scores.softmax(-1) @ part.values[head]
        alone = torch.zeros(2, 9, 32)
        alone[:, :, 8 * head : 8 * head + 8] = read
        added_BTD += site.original(alone) - site.original(torch.zeros_like(alone))  # less the bias
    assert added_BTD.abs().max() > 1e-2
    torch.testing.assert_close(whole[0][1], stock[0][1] + added_BTD, rtol=1e-4, atol=1e-6)


def test_where_the_tokens_have_no_say_it_is_prefix_tuning(tiny_bases: dict[str, Path]) -> None:
    """One softmax over prefix and tokens gives the same, as the share of the tokens goes to nothing."""
    stack = attached(tiny_bases["gpt2"], Prefix(length=3, layers=[0], scale=1.0))
    site = stack.sites()[stack.architecture.output_sites(0)[0]]
    part = next(iter(site.parts.values()))
    layer = stack.architecture.resolve("transformer.h.0")
    hidden = layer.ln_1(stack.base.transformer.wte(IDS) + stack.base.transformer.wpe(torch.arange(9)))
    query, key, value = (rows.view(2, 9, 4, 8).transpose(1, 2) for rows in layer.attn.c_attn(hidden).split(32, dim=2))
    keys = torch.cat([part.keys.expand(2, -1, -1, -1), key], 2)
    values = torch.cat([part.values.expand(2, -1, -1, -1), value], 2)
    offset = torch.cat([torch.full((9, 3), 60.0), torch.zeros(9, 9)], 1)  # far above any score of a token
    one_softmax = nn.functional.scaled_dot_product_attention(unit(query), keys, values, attn_mask=offset)
    with seen(site.original) as stock, seen(site) as whole:
        stack(IDS)
    expected = site.original(one_softmax.transpose(1, 2).flatten(-2)) - site.original.bias
    torch.testing.assert_close(whole[0][1] - stock[0][1], expected, rtol=1e-4, atol=1e-5)


def test_a_prefix_has_no_position(tiny_bases: dict[str, Path]) -> None:
    stack = attached(tiny_bases["llama"], Prefix())
    mask = torch.tensor([[0] * 4 + [1] * 9])
    padded = torch.cat([torch.full((1, 4), 5), IDS[:1]], 1)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    logits = stack(padded, attention_mask=mask, position_ids=positions).logits[:, 4:]
    torch.testing.assert_close(logits, stack(IDS[:1]).logits, rtol=1e-4, atol=1e-5)


def test_prefixes_of_two_modules_are_summed(tiny_bases: dict[str, Path]) -> None:
    stack = attached(tiny_bases["llama"], Prefix(length=2, layers=[3]))
    site = stack.sites()[stack.architecture.output_sites(3)[0]]
    with stack.active("first"), seen(site) as first:
        stack(IDS)
    stack.attach("second", {"prefix": Prefix(length=5, layers=[3])}, ())
    with torch.no_grad():
        stack.module_parameters("second")["prefix.model.layers.3.self_attn.o_proj.values"].normal_()
        outputs = []
        for path in ((), ("second",), ("first", "second")):
            with stack.active(*path, closed=False), seen(site) as noted:
                stack(IDS)
            outputs.append(noted[0][1])
    none, second, both = outputs
    torch.testing.assert_close(both - none, (first[0][1] - none) + (second - none), rtol=1e-4, atol=1e-6)
    assert (second - none).abs().max() > 1e-3


def test_chosen_layers_only(tiny_bases: dict[str, Path]) -> None:
    stack = attached(tiny_bases["llama"], Prefix(length=2, layers=[1]))
    assert set(stack.sites()) == {f"model.layers.1.self_attn.{name}" for name in ("q_proj", "o_proj")}
    assert {name: tuple(tensor.shape) for name, tensor in stack.module_tensors("first").items()} == {
        "prefix.model.layers.1.self_attn.o_proj.keys": (4, 2, 8),
        "prefix.model.layers.1.self_attn.o_proj.values": (4, 2, 8),
    }


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_step_moves_values_and_then_keys(tiny_bases: dict[str, Path], family: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family]))
    stack.attach("first", {"prefix": Prefix()})
    parameters = stack.module_parameters("first")
    assert not any(parameter.any() for name, parameter in parameters.items() if name.endswith(".values"))
    for step in range(2):
        stack(IDS).logits.square().mean().backward()
        moved = {name for name, parameter in parameters.items() if parameter.grad is not None and parameter.grad.any()}
        assert moved == {name for name in parameters if name.endswith(".values") or step}
        with torch.no_grad():
            for parameter in parameters.values():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None


def test_what_is_refused(tiny_bases: dict[str, Path]) -> None:
    with pytest.raises(GrowlmError, match="prefix length 0 is too small: give 1 or more"):
        module_kinds.build("prefix", {"length": 0})
    with pytest.raises(GrowlmError, match=r"layers \[4\] do not fit this base"):
        attached(tiny_bases["llama"], Prefix(layers=[4]))
    with pytest.raises(
        GrowlmError, match="module 'first' has a prefix, which no stock model can compute: merge a path"
    ):
        attached(tiny_bases["llama"], Prefix()).merged()
