"""Experts: the mixture worked by hand, closed columns, sequences with and without a cache, rows and padding."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.modules._mixture import gate_mass, is_among_largest, total_mass
from growlm.modules.experts import ExpertPart, Experts, num_shallow_layers
from growlm.registry import module_kinds
from growlm.routing.gates import gates
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import disturb, grown, tokens

every_routing = pytest.mark.parametrize("per", ["token", "sequence"])


def column_mass(logits_BT: torch.Tensor) -> torch.Tensor:
    """The mass of a gate that may be closed."""
    return gate_mass(logits_BT, "gated")[0]


def mixture_weights(masses: list[torch.Tensor]) -> list[torch.Tensor]:
    return [mass / total_mass(masses, 1) for mass in masses]


def logits(*values: float) -> torch.Tensor:
    return torch.tensor([values], requires_grad=True)


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_masses_and_weights_by_hand() -> None:
    first, second = logits(math.log(3), math.log(3), 0.0, -1.0), logits(math.log(2), -5.0, math.log(4), -1.0)
    masses = [column_mass(first), column_mass(second)]
    torch.testing.assert_close(masses[0], torch.tensor([[2.0, 2, 0, 0]]))
    torch.testing.assert_close(masses[1], torch.tensor([[1.0, 0, 3, 0]]))
    weights = mixture_weights(masses)
    torch.testing.assert_close(weights[0], torch.tensor([[2 / 4, 2 / 3, 0, 0]]))
    torch.testing.assert_close(weights[1], torch.tensor([[1 / 4, 0, 3 / 4, 0]]))
    assert weights[0][0, 2:].tolist() == [0, 0]  # exactly


def test_the_gradient_is_that_of_the_exponential_everywhere() -> None:
    values = logits(1.0, 0.0, -2.0, 100.0)
    column_mass(values).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([[math.e, 1.0, math.exp(-2), 0.0]]))


def test_for_large_logits_it_is_the_softmax() -> None:
    columns_KN = torch.tensor([[20.0, 21.0, 39.0], [22.0, 19.0, 38.0]])
    weights = torch.cat(mixture_weights([column_mass(row[None]) for row in columns_KN]))
    torch.testing.assert_close(weights, columns_KN.softmax(0))
    assert column_mass(torch.tensor([[1e30]])).isfinite().all()


def test_a_column_without_mass_changes_no_bit_of_the_others() -> None:
    masses = [column_mass(torch.randn(40, 50)) for _ in range(5)]
    expected = mixture_weights(masses)
    closed = torch.zeros(40, 50)
    for place in range(6):
        found = mixture_weights([*masses[:place], closed, *masses[place:]])
        assert not found.pop(place).any()
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_largest_by_hand() -> None:
    weights = [torch.tensor([[0.5, 0.2, 0.3]]), torch.tensor([[0.4, 0.2, 0.0]]), torch.tensor([[0.1, 0.6, 0.3]])]
    first = [is_among_largest(weights, column, 1)[0].tolist() for column in range(3)]
    assert first == [[True, False, True], [False, False, False], [False, True, False]]
    second = [is_among_largest(weights, column, 2)[0].tolist() for column in range(3)]
    assert second == [[True, True, True], [True, False, False], [False, True, True]]


def test_the_boundary_leaves_layers_on_both_sides() -> None:
    assert [num_shallow_layers(8, share) for share in (0.25, 0.5, 0.75)] == [2, 4, 6]
    assert [num_shallow_layers(2, share) for share in (0.01, 0.5, 0.99)] == [1, 1, 1]


def test_softmax_weights_are_those_of_the_router_with_all_its_columns() -> None:
    logits_KN = torch.randn(3, 50) * 4
    masses, excesses = zip(*(gate_mass(row[None], "softmax") for row in logits_KN), strict=True)
    total = total_mass(excesses, 8)
    expected = torch.cat([logits_KN, torch.zeros(5, 50)]).softmax(0)  # five columns that no expert has taken
    torch.testing.assert_close(torch.cat([mass / total for mass in masses]), expected[:3])
    assert all((mass > 0).all() for mass in masses)
    assert torch.cat(gate_mass(torch.tensor([[1e30]]), "softmax")).isfinite().all()


def test_an_expert_that_takes_over_a_column_changes_no_bit_of_the_others() -> None:
    excesses = [gate_mass(torch.randn(40, 50), "softmax")[1] for _ in range(5)]
    new_mass, new_excess = gate_mass(torch.zeros(40, 50), "softmax")
    assert torch.equal(total_mass([*excesses, new_excess], 16), total_mass(excesses, 16))
    assert torch.equal(new_mass, torch.ones(40, 50))


# -- the mixture in a stack --------------------------------------------------------------------------------------------


def two_experts(stack: ModuleStack, **options: Any) -> ModuleStack:
    """Grow two modules whose gates open for some tokens."""
    for name in "first", "second":
        grown(stack, name, {"experts": Experts(**options)})
    return stack


def boundary_states(stack: ModuleStack, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """Run the bare base and return the hidden states after its shallow layers, scaled to a mean square of 1."""
    with torch.no_grad(), stack.active():
        hidden = stack.base.base_model(ids, output_hidden_states=True, use_cache=False).hidden_states[layer]
    return hidden / (hidden.square().mean(-1, keepdim=True) + 1e-6).sqrt()


@every_routing
def test_a_deep_linear_by_hand(stack: ModuleStack, per: Any) -> None:
    two_experts(stack, rank=4, alpha=12.0, per=per, boundary=0.5)
    site_path, seen = "model.layers.2.mlp.down_proj", {}
    site = stack.sites()[site_path]
    handle = site.register_forward_hook(lambda module, inputs, output: seen.update(z=inputs[0], y=output))
    with torch.no_grad():
        stack(tokens())
    handle.remove()
    states = boundary_states(stack, tokens(), 2)
    masses = []
    for name in "first", "second":
        own = stack.module_tensors(name)
        column = "experts.model.layers.1"
        values = states @ own[f"{column}.weight"] + own[f"{column}.bias"]
        if per == "sequence":
            values = torch.stack([values[:, : end + 1].mean(1) for end in range(values.shape[1])], 1)
        masses.append((values.exp() - 1).clamp_min(0))
    total = 1 + masses[0] + masses[1]
    expected = seen["z"] @ stack.base_tensors()[f"{site_path}.weight"].T
    for name, mass in zip(("first", "second"), masses, strict=True):
        own = stack.module_tensors(name)
        low = seen["z"] @ own[f"experts.{site_path}.A"].T
        expected = expected + (mass / total)[..., None] * 3 * (low @ own[f"experts.{site_path}.B"].T)
    assert all((mass > 0).any() for mass in masses)
    torch.testing.assert_close(seen["y"], expected, rtol=1e-4, atol=1e-5)


def test_experts_are_in_the_deep_feed_forward_linears(stack: ModuleStack) -> None:
    stack.attach("first", {"experts": Experts()})
    linears = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    deep = {f"model.layers.3.{linear}" for linear in linears}
    assert set(stack.sites()) == {"model.layers.2", *deep}
    stack.attach("second", {"experts": Experts(attention=True, boundary=0.5)})
    assert len(stack.sites()) == 2 + 2 * 7


@every_routing
@pytest.mark.parametrize("top_k", [None, 1])
def test_a_new_expert_of_a_softmax_changes_no_bit_and_learns(stack: ModuleStack, per: Any, top_k: int | None) -> None:
    options: dict[str, Any] = {"per": per, "top_k": top_k, "mixture": "softmax", "num_experts": 4}
    two_experts(stack, **options)
    expected = stack(tokens()).logits
    with stack.active():
        assert not torch.equal(stack(tokens()).logits, expected)
    stack.attach("third", {"experts": Experts(**options)})
    assert torch.equal(stack(tokens()).logits, expected)
    stack.train()
    stack(tokens()).logits.square().mean().backward()
    own = stack.module_parameters("third")
    assert all(value.grad is not None and value.grad.any() for key, value in own.items() if key.endswith(".B"))
    with torch.no_grad():
        for key, value in own.items():
            if key.endswith(".B"):
                assert value.grad is not None
                value -= value.grad
    stack(tokens()).logits.square().mean().backward()  # a step later the gate and A have gradients too
    assert all(value.grad is not None and value.grad.any() for value in own.values())


def test_a_softmax_has_room_for_so_many_experts(stack: ModuleStack) -> None:
    two_experts(stack, mixture="softmax", num_experts=3)
    stack(tokens())
    stack.attach("third", {"experts": Experts(mixture="softmax", num_experts=3)})
    with pytest.raises(GrowlmError, match=r"module 'third' is expert 3 of a router with room for 2"):
        stack(tokens())


@every_routing
@pytest.mark.parametrize("top_k", [None, 1])
def test_a_new_expert_changes_no_bit_and_learns(stack: ModuleStack, per: Any, top_k: int | None) -> None:
    two_experts(stack, per=per, top_k=top_k)
    expected = stack(tokens()).logits
    stack.attach("third", {"experts": Experts(per=per, top_k=top_k)})
    assert torch.equal(stack(tokens()).logits, expected)
    stack.train()
    changed = stack(tokens()).logits
    if top_k is None:  # in training all experts are mixed
        assert torch.equal(changed, expected)
    changed.square().mean().backward()
    column = gates(stack)["third"]
    assert column.weight.grad is not None
    assert column.weight.grad.abs().min() > 0
    own = stack.module_parameters("third").values()
    assert all(parameter.grad is not None for parameter in own)
    with torch.no_grad():
        column.weight -= column.weight.grad.sign() * 0.1  # one step, and the experts have gradients too
    stack(tokens()).logits.square().mean().backward()
    assert all(parameter.grad.any() for parameter in own if parameter.grad is not None)


def test_where_a_column_is_not_preferred_to_the_base_nothing_changes(stack: ModuleStack) -> None:
    two_experts(stack)
    expected = stack(tokens()).logits
    grown(stack, "third", {"experts": Experts()})
    with torch.no_grad():
        gates(stack)["third"].bias.fill_(-50.0)
    assert torch.equal(stack(tokens()).logits, expected)


def test_an_expert_without_weight_is_not_run(stack: ModuleStack, monkeypatch: pytest.MonkeyPatch) -> None:
    two_experts(stack, per="sequence", top_k=1)
    first, second = gates(stack).values()
    runs: list[tuple[str, int]] = []
    change = ExpertPart._change

    def counted(self: ExpertPart, inputs: torch.Tensor) -> torch.Tensor:
        runs.append((self.owner, inputs.shape[:-1].numel()))
        return change(self, inputs)

    monkeypatch.setattr(ExpertPart, "_change", counted)
    with torch.no_grad():
        for column in first, second:
            column.weight.zero_()
        first.bias.fill_(2.0)
        second.bias.fill_(1.0)
        stack(tokens())
        assert runs == [("first", tokens().numel())] * 3  # gate, up and down of one layer
        runs.clear()
        first.bias.fill_(-1.0)
        second.bias.fill_(-1.0)
        closed = stack(tokens()).logits
        assert runs == []
        with stack.active():
            assert torch.equal(closed, stack(tokens()).logits)


def test_the_first_expert_alone_is_the_mixture_without_the_others(stack: ModuleStack) -> None:
    two_experts(stack)
    with torch.no_grad():
        soft = stack(tokens()).logits
        masses = [column_mass(column.logits()) for column in gates(stack).values()]
        for column in gates(stack).values():
            column.top_k = 1
        hard = stack(tokens()).logits
    assert not torch.equal(hard, soft)
    weights = mixture_weights(masses)
    # by hand: the weights as they were, of the greater one only
    handed = {
        name: torch.where(is_among_largest(weights, index, 1), weight, 0.0)
        for index, (name, weight) in enumerate(zip(gates(stack), weights, strict=True))
    }
    for site in stack.sites().values():
        for part in site.parts.values():
            if isinstance(part, ExpertPart):
                part.forward = lambda inputs, output, part=part: (  # type: ignore[method-assign]
                    output + handed[part.owner][..., None] * part._change(inputs)
                )
    with torch.no_grad():
        torch.testing.assert_close(stack(tokens()).logits, hard, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gpt_neo", "gpt_neox"])
@pytest.mark.parametrize("kinds", [["experts"], ["experts", "block"], ["block", "experts"]], ids="+".join)
def test_sequences_with_a_cache_are_those_without(tiny_bases: dict[str, Path], family: str, kinds: list[str]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    options: dict[str, dict[str, Any]] = {"experts": {"per": "sequence", "top_k": 1}, "block": {"num_blocks": 1}}
    for name in "first", "second":
        grown(stack, name, {kind: module_kinds.build(kind, options[kind]) for kind in kinds})
    ids = tokens(length=16)
    with torch.no_grad():
        whole = stack(ids, use_cache=False).logits
        cache, steps = None, []
        for begin, end in [(0, 9), *((t, t + 1) for t in range(9, 16))]:
            output = stack(ids[:, begin:end], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-4, atol=1e-5)
    beams = [
        stack.generate(ids, max_new_tokens=6, num_beams=3, do_sample=False, use_cache=use, eos_token_id=None)
        for use in (True, False)
    ]
    assert torch.equal(*beams)


@every_routing
def test_padding_on_the_left_changes_no_answer(stack: ModuleStack, per: Any) -> None:
    two_experts(stack, per=per)
    settings: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 5}
    ids = tokens(rows=2)
    alone = stack.generate(ids[:1, 5:], **settings)
    padded = ids.clone()
    padded[0, :5] = 5
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    together = stack.generate(padded, attention_mask=mask, **settings)
    assert torch.equal(together[0, 5:], alone[0])
    assert torch.equal(together[1], stack.generate(ids[1:], **settings)[0])
    with torch.no_grad():
        stack.hidden_states(padded, mask)
        logits_BT = gates(stack)["second"].logits().clone()
        stack.hidden_states(ids[:1, 5:])
    torch.testing.assert_close(logits_BT[:1, 5:], gates(stack)["second"].logits())


@every_routing
def test_rows_of_one_batch_have_mixtures_of_their_own(stack: ModuleStack, per: Any) -> None:
    two_experts(stack, per=per)
    grown(stack, "apart", {"experts": Experts(per=per)}, on=("first",))
    paths = [("first", "apart"), ("first", "second"), ()]
    with torch.no_grad():
        with stack.active_rows(paths):
            mixed = stack(tokens()).logits
        for row, path in enumerate(paths):
            with stack.active(*path):
                assert torch.equal(mixed[row], stack(tokens()).logits[row])


def test_different_boundaries_have_mixtures_of_their_own(stack: ModuleStack) -> None:
    grown(stack, "low", {"experts": Experts(boundary=0.5)})
    expected = stack(tokens()).logits
    grown(stack, "high", {"experts": Experts(boundary=0.75)})
    with torch.no_grad():
        gates(stack)["high"].bias.fill_(-50.0)
        assert torch.equal(stack(tokens()).logits, expected)
        low = gates(stack)["low"].logits().clone()
        gates(stack)["high"].bias.fill_(9.0)
        assert not torch.equal(stack(tokens()).logits, expected)
        assert torch.equal(gates(stack)["low"].logits(), low)


def test_what_a_pass_left_is_neither_copied_nor_found_by_another_module(stack: ModuleStack) -> None:
    two_experts(stack)
    stack.attach("third", {"experts": Experts()})
    stack.train()
    expected = stack(tokens()).logits  # with a graph that cannot be copied
    other = copy.deepcopy(stack)
    assert torch.equal(other(tokens()).logits, expected)
    other.set_path(("first",))
    assert stack.path == ("first", "second", "third")
    stack.detach("third")
    stack.eval()
    stack.attach("third", {"experts": Experts(boundary=0.25)})
    assert torch.equal(stack(tokens()).logits, expected)


@every_routing
def test_a_layer_that_is_recomputed_in_the_backward_pass(stack: ModuleStack, per: Any) -> None:
    two_experts(stack, per=per)
    stack.attach("third", {"experts": Experts(per=per)})
    disturb(stack, "third")
    gradients = []
    for recompute in (False, True):
        if recompute:
            stack.base.activation_checkpointing_enable({"use_reentrant": False})
            for layer in range(stack.architecture.num_layers):
                stack.architecture.resolve(stack.architecture.layer_site(layer)).training = True
        stack.zero_grad()
        stack.hidden_states(tokens()).square().mean().backward()
        gradients.append({key: value.grad.clone() for key, value in stack.module_parameters("third").items()})
    assert all(torch.equal(gradients[0][key], gradients[1][key]) for key in gradients[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank 0 is too small"),
        ({"boundary": 1.0}, "boundary 1.0 is not a share"),
        ({"per": "word"}, "per 'word'"),
        ({"top_k": 0}, "top_k 0 is too small"),
        ({"mixture": "hard"}, "mixture 'hard' is unknown"),
        ({"num_experts": 1}, "num_experts 1 is too small"),
    ],
)
def test_options_of_the_kind_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        Experts(**options)


def test_a_single_layer_is_refused(stack: ModuleStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.architecture, "num_layers", 1)
    with pytest.raises(GrowlmError, match="a single layer"):
        stack.attach("first", {"experts": Experts()})
