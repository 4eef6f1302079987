"""CAT: the concatenation against PEFT's and by hand, and what each of the two losses of a step trains."""

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from growlm.base.load import load_base
from growlm.data.batches import Batch, StepBatches, collate
from growlm.errors import GrowlmError
from growlm.methods.cat import Cat
from growlm.modules.lora_concat import LoraConcat, LoraConcatPart
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

SITE = "model.layers.1.self_attn.q_proj"
OPTIONS = {"rank": 4, "share": 0.5, "mixture": 1.0}


def tokens() -> torch.Tensor:
    return torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))


def parts(stack: ModuleStack, name: str) -> dict[str, LoraConcatPart]:
    return {
        path: part
        for path, site in stack.sites().items()
        for part in site.parts.values()
        if isinstance(part, LoraConcatPart) and part.owner == name
    }


def test_changes_and_coefficients_by_hand() -> None:
    part = LoraConcatPart(2, 1, count=2, rank=1, scale=2.0, generator=None)
    values = {"A.0": [[1.0, 0.0]], "A.1": [[1.0, 1.0]], "B.0": [[3.0]], "B.1": [[5.0]]}
    part.load_state_dict(
        {name: torch.tensor(value) for name, value in values.items()}
        | {"coefficients.0": torch.tensor([0.5]), "coefficients.1": torch.tensor([-1.0])}
    )
    # 2 * (0.5 * 3 * (1, 0) - 5 * (1, 1)) = (-7, -10)
    torch.testing.assert_close(part.delta_weight(), torch.tensor([[-7.0, -10.0]]))
    output = part(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[100.0]]]))
    torch.testing.assert_close(output, torch.tensor([[[100.0 - 7 - 20]]]))
    part.learns = "newest"  # 2 * 5 * (1 + 2), whatever its coefficient
    torch.testing.assert_close(part(torch.tensor([[[1.0, 2.0]]]), torch.zeros(1, 1, 1)), torch.tensor([[[30.0]]]))


def test_it_is_the_concatenation_of_peft(tiny_bases: dict[str, Path]) -> None:
    peft = pytest.importorskip("peft", reason="PEFT, the independent implementation, is not installed")
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    stack.attach("all", {"lora_concat": LoraConcat(count=2, rank=4, target_modules=["q_proj", "down_proj"])})
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])
    generator = torch.Generator().manual_seed(2)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # PEFT's own, about configs that it does not know
        model = peft.get_peft_model(load_base(tiny_bases["llama"]), settings, adapter_name="first").eval()
        model.add_adapter("second", settings)
        for path, part in parts(stack, "all").items():
            layer = model.base_model.model.get_submodule(path)
            for number, name in enumerate(("first", "second")):
                part.B[number].normal_(0, 0.1, generator=generator)
                part.coefficients[number].fill_((0.3, 1.7)[number])
                layer.lora_A[name].weight.copy_(part.A[number])
                layer.lora_B[name].weight.copy_(part.B[number])
        model.add_weighted_adapter(["first", "second"], [0.3, 1.7], "both", combination_type="cat")
        model.set_adapter("both")
        expected = model(tokens()).logits
    torch.testing.assert_close(stack(tokens()).logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stack.merged()(tokens()).logits, expected, rtol=1e-4, atol=1e-5)


def test_the_first_phase_is_plain_lora(stack: ModuleStack, run_phase: RunPhase, tiny_bases: dict[str, Path]) -> None:
    plain = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    run_phase(plain, "lora_sequential", "one", {"rank": 4})
    run_phase(stack, "cat", "one", OPTIONS)
    for path, part in parts(stack, "one").items():
        for letter in ("A", "B"):
            wanted = plain.module_tensors("one")[f"lora.{path}.{letter}"]
            torch.testing.assert_close(getattr(part, letter)[0].data, wanted, rtol=1e-4, atol=1e-6)
        assert part.coefficients[0].item() == 1


def test_a_later_change_is_trained_from_the_base_alone(
    stack: ModuleStack, run_phase: RunPhase, begin: Any, tiny_bases: dict[str, Path]
) -> None:
    run_phase(stack, "cat", "one", OPTIONS)
    first = {name: value.clone() for name, value in stack.module_tensors("one").items()}
    member, batches = begin(stack, "cat", OPTIONS, "three", encoded(5))
    plain = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    alone, _ = begin(plain, "lora_sequential", {"rank": 4}, "three", encoded(5))
    own = plain.module_parameters("three")
    with torch.no_grad():
        for path, part in parts(stack, "three").items():
            own[f"lora.{path}.A"].copy_(part.A[1])
    for learner, path, name in ((member, stack, "three"), (alone, plain, "three")):
        descend(learner, path, name, batches)
    for path, part in parts(stack, "three").items():
        for letter in ("A", "B"):
            found = getattr(part, letter)
            torch.testing.assert_close(found[1], own[f"lora.{path}.{letter}"], rtol=1e-4, atol=1e-6)
            assert torch.equal(found[0], first[f"lora_concat.{path}.{letter}.0"])
    assert {coefficient.item() for part in parts(stack, "three").values() for coefficient in part.coefficients} != {1.0}


def descend(member: Any, stack: ModuleStack, name: str, batches: StepBatches) -> None:
    """Take steps of plain gradient descent, of the factors fast and of the coefficients slowly."""
    parameters = list(member.parameters(stack, name))
    for step in range(4):
        member.loss(stack, member.batch(batches(step))).backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 0.1 * parameter.grad
                parameter.grad = None


def test_coefficients_have_the_gradient_of_the_mixture(
    stack: ModuleStack, run_phase: RunPhase, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_phase(stack, "cat", "one", OPTIONS)
    member, batches = begin(stack, "cat", OPTIONS, "three", encoded(5))
    assert isinstance(member, Cat)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in parts(stack, "three").values():
            part.B[1].normal_(0, 0.1, generator=generator)
            part.coefficients[0].fill_(0.4)
    mixture = collate([*encoded(9), *encoded(5)], 5)
    monkeypatch.setattr(member, "_drawn", lambda count: mixture)
    member.loss(stack, batches(0)).backward()
    # independently: the gradient of the stock model's weight, and its product with each change
    stock = stack.merged().requires_grad_(True)
    logits = stock(mixture.input_ids, use_cache=False).logits
    nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), mixture.labels[:, 1:].flatten()).backward()
    for path, part in parts(stack, "three").items():
        for number in range(2):
            change = 2.0 * part.B[number].detach() @ part.A[number].detach()
            expected = (stock.get_submodule(path).weight.grad * change).sum()
            torch.testing.assert_close(part.coefficients[number].grad[0], expected, rtol=1e-3, atol=1e-6)
        assert part.A[0].grad is None
        assert part.B[0].grad is None


def test_the_mixture_has_all_skills_alike_and_counts_old_rows(
    stack: ModuleStack, run_phase: RunPhase, begin: Any
) -> None:
    first = run_phase(stack, "cat", "one", OPTIONS, encoded(3, 12))
    assert (first.replayed_rows, first.extra_forward_rows) == (0, 0)
    second = run_phase(stack, "cat", "two", OPTIONS, encoded(4, 4))
    assert (first.kept_rows, second.kept_rows) == (6, 8)
    member, _ = begin(stack, "cat", OPTIONS, "three", encoded(5, 100))
    assert isinstance(member, Cat)
    kept = stack.method_tensors("two")
    assert kept["memory/owners"].bincount().tolist() == [6, 2]
    drawn: list[Batch] = [member._drawn(10) for _ in range(90)]
    assert member.extra_forward_rows == 900
    assert 540 < member.replayed_rows < 660
    per_skill = [0, 0, 0]
    rows = {
        tuple(row.input_ids): skill
        for skill, seed in enumerate((3, 4, 5))
        for row in encoded(seed, (12, 4, 100)[skill])
    }
    for batch in drawn:
        for row in batch.input_ids.tolist():
            found = next(skill for ids, skill in rows.items() if tuple(row[: len(ids)]) == ids)
            per_skill[found] += 1
    assert all(240 < count < 360 for count in per_skill)
    again = copy.deepcopy(member)
    again.load_state_dict(member.state_dict())
    assert again.extra_forward_rows == 900


def test_each_version_has_one_change_more(stack: ModuleStack, run_phase: RunPhase) -> None:
    for name in ("one", "three", "seven"):
        run_phase(stack, "cat", name, OPTIONS)
    assert [record.kinds["lora_concat"]["count"] for record in stack.manifest.modules] == [1, 2, 3]
    assert stack.path == ("seven",)
    assert torch.equal(
        stack.module_tensors("three")[f"lora_concat.{SITE}.B.1"],
        stack.module_tensors("seven")[f"lora_concat.{SITE}.B.1"],
    )


def test_another_rank_begins_anew_and_bad_options_are_refused(
    stack: ModuleStack, run_phase: RunPhase, begin: Any
) -> None:
    run_phase(stack, "cat", "one", OPTIONS)
    assert Cat(rank=3).continues(stack) is None
    for options, said in (
        ({"share": 0.0}, "cat share 0.0 is not above 0 and at most 1"),
        ({"mixture": 0.0}, "cat mixture 0.0 is too small"),
    ):
        with pytest.raises(GrowlmError, match=said):
            Cat(**options)
    for options in ({"count": 0}, {"rank": 0}):
        with pytest.raises(GrowlmError, match="is too small: give 1 or more"):
            module_kinds.build("lora_concat", options)
    stack._method_tensors["one"] = {}
    with pytest.raises(GrowlmError, match="module 'one': the examples kept for replay lack a list of integers"):
        begin(stack, "cat", OPTIONS, "three", encoded(3))
