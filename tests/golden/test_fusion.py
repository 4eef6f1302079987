"""Fusing against least squares on the inputs themselves, and what it leaves as it was."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.merging import moments
from growlm.merging.fuse import fused
from growlm.merging.moments import gather_moments, moment
from growlm.modules.block import Block
from growlm.modules.dense import Dense
from growlm.modules.embedding import Embedding
from growlm.modules.kind import ModuleKind
from growlm.modules.lora import Lora
from growlm.stack.sites import capture_inputs
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import grown
from tests.golden.conftest import RunPhase, encoded

FIRST, SECOND = encoded(1, count=40, length=12), encoded(2, count=24, length=9)
IDS = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))
KINDS: dict[str, ModuleKind] = {"lora": Lora(rank=3), "embedding": Embedding(rank=2)}


ALL = 10_000
"""As many eigenvectors as there are: moments are kept whole, as the formula has them."""


def inputs_of(stack: ModuleStack, path: tuple[str, ...], examples: Sequence[Encoded]) -> dict[str, Tensor]:
    """All inputs that each site but the token embedding gets, a row for each token."""
    seen: dict[str, list[Tensor]] = {}
    names: dict[nn.Module, str] = {
        site: name for name, site in stack.sites().items() if not isinstance(site.original, nn.Embedding)
    }

    def see(site: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.setdefault(names[site], []).append(inputs[0].flatten(0, -2))

    with torch.no_grad(), stack.active(*path), capture_inputs(list(names), see):
        for example in examples:
            stack(torch.tensor([example.input_ids]), use_cache=False)
    return {name: torch.cat(rows).double() for name, rows in seen.items()}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("outputs", [False, True])
def test_a_linear_is_as_good_as_the_least_squares_solution(
    tiny_bases: dict[str, Path], family: str, outputs: bool
) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    kinds: dict[str, ModuleKind] = {"lora": Lora(rank=3), "embedding": Embedding(rank=2, outputs=outputs)}
    grown(stack, "first", kinds, on=())
    grown(stack, "second", kinds, on=())
    examples = {"first": FIRST, "second": SECOND}
    found = {}
    for name, own in examples.items():
        with stack.active(name):
            found[name] = gather_moments(stack, own, num_kept=ALL)
    inputs = {name: inputs_of(stack, (name,), own) for name, own in examples.items()}
    assert len(inputs["first"]) >= 16
    for site in inputs["first"]:
        rows, targets, changes = [], [], []
        for name in examples:
            with stack.active(name):
                (change,) = stack.sites()[site].changes().values()
            delta_OI = change["weight"].T if family == "gpt2" and site != "lm_head" else change["weight"]
            x_TI = inputs[name][site]
            weight = len(x_TI) ** -0.5  # means over tokens, so that both skills weigh the same
            rows.append(weight * x_TI)
            targets.append(weight * x_TI @ delta_OI.double().T)
            changes.append(delta_OI.double().T)
        x_TI, target_TO = torch.cat(rows), torch.cat(targets)
        with fused(stack, "first", "second", moments=found, off_diagonal=1.0):
            module = stack.sites()[site]
            fused_TO = module(x_TI.float()) - module.original(x_TI.float())
        best = (x_TI @ torch.linalg.lstsq(x_TI, target_TO, driver="gelsd").solution - target_TO).norm()
        assert (fused_TO - target_TO).norm() < 1.02 * best
        for other_IO in sum(changes), sum(changes) / 2, *changes:  # added up, the mean, the one, the other
            assert (x_TI @ other_IO - target_TO).norm() > 1.05 * best


def test_a_token_has_the_mean_of_its_rows_weighted_by_how_often_the_skills_have_it(
    tiny_bases: dict[str, Path],
) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    for name in ("first", "second"):
        grown(stack, name, {"embedding": Embedding(rank=2)}, on=())
    counts = torch.zeros(2, 320)
    counts[0, 7], counts[1, 7], counts[1, 9] = 0.3, 0.1, 0.2
    site = "model.embed_tokens"
    found = {name: {f"moments.{site}.counts": counts[row]} for row, name in enumerate(("first", "second"))}
    changes = []
    for name in ("first", "second"):
        with stack.active(name):
            changes.append(stack.sites()[site].changes()[name]["weight"])
    with stack.fused("first", "second", moments=found):
        change = stack.sites()[site](torch.arange(320)) - stack.sites()[site].original(torch.arange(320))
    torch.testing.assert_close(change[7], 0.75 * changes[0][7] + 0.25 * changes[1][7], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(change[9], changes[1][9], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(change[8], (changes[0][8] + changes[1][8]) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_fused_with_itself_alone_a_module_computes_what_it_does(tiny_bases: dict[str, Path], family: str) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    grown(stack, "first", {"dense": Dense()}, on=())
    with stack.active("first"):
        expected = stack(IDS).logits
        found = gather_moments(stack, FIRST)
    with stack.fused("first", moments={"first": found}):
        torch.testing.assert_close(stack(IDS).logits, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


def test_a_module_grown_on_another_stands_for_its_whole_path(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    grown(stack, "first", KINDS)
    grown(stack, "second", KINDS)
    seen = torch.tensor([SECOND[0].input_ids])
    with stack.active("first", "second"):
        expected = stack(seen).logits
        own = gather_moments(stack, SECOND)
    nothing = {name: torch.zeros_like(tensor) for name, tensor in own.items()}  # the first skill has no inputs at all
    found = {"first": nothing, "second": own}
    for names in ("first", "second"), ("second",):  # what it was grown on comes with it
        with stack.fused(*names, moments=found):
            assert stack.path == ("first", "second")
            torch.testing.assert_close(stack(seen).logits, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("outputs", [False, True])
def test_a_stock_model_computes_the_same(tiny_bases: dict[str, Path], family: str, outputs: bool) -> None:
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    for name in ("first", "second"):
        grown(stack, name, {"lora": Lora(rank=3), "embedding": Embedding(rank=2, outputs=outputs)}, on=())
    found = {}
    for name, own in {"first": FIRST, "second": SECOND}.items():
        with stack.active(name):
            found[name] = gather_moments(stack, own)
    with stack.active("first", "second"):
        added_up = stack.merged()(IDS).logits
    with stack.fused("first", "second", moments=found):
        fused = stack(IDS).logits
        model = stack.merged()
        alone = stack.merged(("first",))
    torch.testing.assert_close(model(IDS).logits, fused, rtol=1e-4, atol=1e-5)
    assert (added_up - fused).abs().max() > 1e-2
    with stack.active("first"):
        torch.testing.assert_close(alone(IDS).logits, stack(IDS).logits, rtol=1e-4, atol=1e-5)


def test_moments_are_what_they_say_and_leave_out_little(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    grown(stack, "first", KINDS, on=())
    site = "model.layers.2.mlp.down_proj"
    with stack.active("first"):
        kept = gather_moments(stack, FIRST)
    x_TI = inputs_of(stack, ("first",), FIRST)[site]
    whole_II = x_TI.T @ x_TI / len(x_TI)
    found_II = moment(kept, site)
    assert found_II is not None
    assert moment(kept, "model.norm") is None
    torch.testing.assert_close(found_II.diagonal(), whole_II.diagonal(), rtol=1e-4, atol=1e-8)
    off = ~torch.eye(len(whole_II), dtype=torch.bool)
    torch.testing.assert_close(found_II[off], 0.9 * whole_II[off], rtol=1e-3, atol=1e-6)
    counts = torch.bincount(torch.tensor([token for example in FIRST for token in example.input_ids]), minlength=320)
    torch.testing.assert_close(kept["moments.model.embed_tokens.counts"], counts / counts.sum())
    for name in ("k_proj", "v_proj"):
        assert torch.equal(
            kept[f"moments.model.layers.1.self_attn.{name}.factor"],
            kept["moments.model.layers.1.self_attn.q_proj.factor"],
        )


def test_only_the_greatest_eigenvectors_are_kept() -> None:
    basis, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    matrix = basis @ torch.diag(torch.tensor([5.0, 4.0, 0.3, 0.2, 0.1], dtype=torch.float64)) @ basis.T
    kept = moments._largest(matrix, 2)
    large = basis[:, :2] @ torch.diag(torch.tensor([5.0, 4.0], dtype=torch.float64)) @ basis[:, :2].T
    torch.testing.assert_close((kept["factor"] @ kept["factor"].T).double(), large, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(kept["rest"].double(), (matrix - large).diagonal(), rtol=1e-4, atol=1e-5)


def test_of_a_large_one_they_are_found_by_iteration() -> None:
    scales = torch.cat([torch.logspace(2, -1, 50), torch.full((350,), 1e-2)]).double()
    basis, _ = torch.linalg.qr(torch.randn(400, 400, dtype=torch.float64))
    matrix = (basis * scales) @ basis.T
    kept = moments._largest(matrix.float(), moments.NUM_KEPT)
    assert kept["factor"].shape == (400, moments.NUM_KEPT)
    large = (basis[:, :50] * scales[:50]) @ basis[:, :50].T
    rest = matrix - (kept["factor"] @ kept["factor"].T).double()
    assert torch.linalg.matrix_norm(rest, 2) < 1.02e-2  # nothing of the large ones is left
    torch.testing.assert_close((kept["factor"] @ kept["factor"].T).double(), large, rtol=0, atol=1e-2)


def test_afterwards_every_path_is_as_it_was_to_the_bit(stack: ModuleStack, run_phase: RunPhase) -> None:
    for name in ("first", "second"):
        run_phase(stack, "grow", name, {"module": {"lora": {"rank": 2}}, "fusible": True}, rate=5.0)
    paths = [(), ("first",), ("first", "second")]
    before = {}
    for path in paths:
        with stack.active(*path):
            before[path] = stack(IDS).logits
    with stack.fused("first", "second"):
        assert not torch.equal(stack(IDS).logits, before["first", "second"])
        with stack.active("first"):
            assert torch.equal(stack(IDS).logits, before["first",])
    for path in paths:
        with stack.active(*path):
            assert torch.equal(stack(IDS).logits, before[path])
    assert stack.verify() > 0


def test_what_was_kept_is_what_would_be_measured(stack: ModuleStack, run_phase: RunPhase) -> None:
    run_phase(stack, "grow", "first", {"module": {"lora": {"rank": 2}}, "fusible": True}, examples=FIRST)
    run_phase(stack, "grow", "second", {"module": {"lora": {"rank": 2}}}, examples=SECOND)
    with stack.active("first"):
        measured = gather_moments(stack, FIRST)
    kept = stack.method_tensors("first")
    assert kept.keys() == measured.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, measured[name], rtol=1e-3, atol=1e-5)
    assert stack.method_tensors("second") == {}
    refused = pytest.raises(GrowlmError, match=r"^no moments of the inputs of module 'second': give what")
    with refused, stack.fused("first", "second", moments={"first": kept}):
        pass


def test_what_is_no_change_of_weights_is_refused(stack: ModuleStack) -> None:
    grown(stack, "first", {"lora": Lora(rank=3), "embedding": Embedding(rank=2), "block": Block(num_blocks=1)}, on=())
    with stack.active("first"):
        found, before = gather_moments(stack, FIRST), stack(IDS).logits
    refused = pytest.raises(
        GrowlmError, match=r"^module 'first' has a block, which is not a change of weights and cannot"
    )
    with refused, stack.fused("first", moments={"first": found}):
        pass
    assert stack.path == ("first",)
    assert torch.equal(stack(IDS).logits, before)  # no site is left fused
