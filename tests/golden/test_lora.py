"""Low-rank adaptation against an independent implementation: PEFT, given the same A and B."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from growlm.base.load import load_base
from growlm.modules.lora import Lora, LoraPart
from growlm.stack.stack import ModuleStack

peft = pytest.importorskip("peft", reason="PEFT, the independent implementation, is not installed")

TARGETS = {
    "llama": ["q_proj", "v_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],  # Conv1D: the weight is [I, O]
    "gpt_neox": ["query_key_value", "dense_4h_to_h"],
}
OPTIONS = [Lora(rank=4), Lora(rank=3, alpha=5.0), Lora(rank=4, rslora=True), Lora(rank=8, alpha=1.0, rslora=True)]


def tokens() -> torch.Tensor:
    return torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))


def grown(base: Path, options: Lora) -> ModuleStack:
    """Attach a module whose A and B are both random."""
    stack = ModuleStack.from_base(str(base)).eval()
    stack.attach("first", {"lora": options})
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in stack.module_parameters("first").items():
            if name.endswith(".B"):
                parameter.normal_(0, 0.1, generator=generator)
    return stack.requires_grad_(False)


def with_peft(base: Path, options: Lora, stack: ModuleStack) -> Any:
    """Build PEFT's model with the stack's A and B."""
    settings = peft.LoraConfig(
        r=options.rank,
        lora_alpha=2 * options.rank if options.alpha is None else options.alpha,
        use_rslora=options.rslora,
        target_modules=options.target_modules,
        layers_to_transform=options.layers,
        fan_in_fan_out=isinstance(stock_linear(stack), Conv1D),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own, about configs that it does not know
        model = peft.get_peft_model(load_base(base), settings).eval()
    state = model.state_dict()
    for name, value in stack.module_tensors("first").items():
        site, _, letter = name.removeprefix("lora.").rpartition(".")
        key = f"base_model.model.{site}.lora_{letter}.default.weight"
        assert state[key].shape == value.shape
        state[key].copy_(value)
    assert sum("lora_" in key for key in state) == len(stack.module_tensors("first"))
    return model


def stock_linear(stack: ModuleStack) -> nn.Module:
    return next(site.original for site in stack.sites().values())


@pytest.mark.parametrize("family", TARGETS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_a_and_b_give_the_same_logits(tiny_bases: dict[str, Path], family: str, options: Lora) -> None:
    options = Lora(options.rank, options.alpha, target_modules=TARGETS[family], rslora=options.rslora)
    stack = grown(tiny_bases[family], options)
    expected = with_peft(tiny_bases[family], options, stack)(tokens()).logits
    logits = stack(tokens()).logits
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    with stack.active():
        assert (stack(tokens()).logits - logits).abs().max() > 1e-2  # the change is not small


def test_chosen_layers_only(tiny_bases: dict[str, Path]) -> None:
    options = Lora(4, target_modules=TARGETS["llama"], layers=[1, 3])
    stack = grown(tiny_bases["llama"], options)
    assert {path.split(".")[2] for path in stack.sites()} == {"1", "3"}
    expected = with_peft(tiny_bases["llama"], options, stack)(tokens()).logits
    torch.testing.assert_close(stack(tokens()).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", TARGETS)
def test_the_change_of_weight_is_that_of_peft_and_of_the_forward_pass(tiny_bases: dict[str, Path], family: str) -> None:
    options = Lora(4, target_modules=TARGETS[family], rslora=True)
    stack = grown(tiny_bases[family], options)
    model = with_peft(tiny_bases[family], options, stack)
    for path, site in stack.sites().items():
        part = next(iter(site.parts.values()))
        delta_OI = part.delta_weight()
        layer = model.get_submodule(f"base_model.model.{path}")
        theirs = layer.get_delta_weight("default")
        torch.testing.assert_close(delta_OI.T if isinstance(site.original, Conv1D) else delta_OI, theirs)
        inputs_BTI = torch.randn(2, 3, delta_OI.shape[1])
        output_BTO = site.original(inputs_BTI)
        changed = part(inputs_BTI, output_BTO)
        torch.testing.assert_close(changed - output_BTO, inputs_BTI @ delta_OI.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        (Lora(rank=8), 2.0),
        (Lora(rank=8, alpha=4), 0.5),
        (Lora(rank=16, alpha=8, rslora=True), 2.0),
        (Lora(rank=4, rslora=True), 4.0),
    ],
)
def test_scale(options: Lora, scale: float) -> None:
    assert options.scale == scale


def test_initial_values_are_those_of_peft() -> None:
    part = LoraPart(400, 30, 20, 1.0, 0.0, torch.Generator().manual_seed(0))
    theirs = nn.Linear(400, 20)  # kaiming_uniform_ with a = sqrt(5), as PEFT has it
    nn.init.kaiming_uniform_(theirs.weight, a=5**0.5)
    assert not part.B.any()
    bound = theirs.weight.abs().max().item()
    assert 0.98 * bound < part.A.abs().max().item() <= 1 / 400**0.5
    assert part.A.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.05)


def test_dropout_acts_on_the_input_of_the_change_in_training_only() -> None:
    part = LoraPart(6, 5, 3, 1.0, 0.5, torch.Generator().manual_seed(0))
    nn.init.normal_(part.B)
    inputs, output = torch.randn(4, 7, 6), torch.randn(4, 7, 5)
    evaluated = part.eval()(inputs, output)
    assert torch.equal(part(inputs, output), evaluated)
    torch.manual_seed(3)
    trained = part.train()(inputs, output)
    torch.manual_seed(3)
    dropped = nn.functional.dropout(inputs, 0.5)
    torch.testing.assert_close(trained, output + dropped @ part.delta_weight().T)


def test_one_product_with_the_changed_weight_has_the_output_and_the_gradients_of_three() -> None:
    def trained(fused: bool) -> tuple[torch.Tensor, ...]:
        part = LoraPart(40, 30, 8, 2.0, 0.0, torch.Generator().manual_seed(0))
        nn.init.normal_(part.B, 0, 0.1, generator=torch.Generator().manual_seed(1))
        layer = nn.Linear(40, 30, bias=False).requires_grad_(False)
        nn.init.normal_(layer.weight, 0, 0.1, generator=torch.Generator().manual_seed(2))
        inputs = torch.randn(4, 7, 40, generator=torch.Generator().manual_seed(3)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            output = part.fused_forward(layer, inputs) if fused else part(inputs, layer(inputs))
        assert output is not None
        output.float().square().sum().backward()
        return output.float(), *(value.grad for value in (inputs, part.A, part.B) if value.grad is not None)

    for fused, apart in zip(trained(True), trained(False), strict=True):
        assert (fused - apart).norm() < 0.01 * apart.norm()


def test_a_change_is_added_to_the_weight_in_training_under_autocast_only() -> None:
    part, layer, inputs = LoraPart(6, 5, 3, 1.0, 0.0, None), nn.Linear(6, 5), torch.randn(2, 6)
    assert part.fused_forward(layer, inputs) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert part.fused_forward(layer, inputs) is not None
        held = nn.Linear(6, 5)
        held.weight = nn.Parameter(torch.ones(5, 6, dtype=torch.int8), requires_grad=False)
        assert part.fused_forward(held, inputs) is None, "a weight in 8 bits takes no sum"
        assert part.requires_grad_(False).fused_forward(layer, inputs) is None
        assert LoraPart(6, 5, 3, 1.0, 0.1, None).fused_forward(layer, inputs) is None
