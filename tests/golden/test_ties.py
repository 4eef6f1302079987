"""TIES: trimming, electing and merging by hand, and what phases keep and merge."""

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.methods.ties import merged_by_sign, trimmed
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded


def test_trimming_by_hand() -> None:
    change = torch.tensor([0.5, -3.0, 1.0, -0.25, 2.0])
    assert trimmed(change, 0.4).tolist() == [0.0, -3.0, 0.0, 0.0, 2.0]
    assert trimmed(change, 0.1).tolist() == [0.0, -3.0, 0.0, 0.0, 0.0], "at least one"
    assert torch.equal(trimmed(change, 1.0), change)


def test_merging_by_hand() -> None:
    changes = [torch.tensor([3.0, 0.0, 2.0, 0.0]), torch.tensor([-1.0, 0.0, 4.0, -2.0]), torch.tensor([1.0, 0, 0, -1])]
    # +: 3 and 1; nothing; 2 and 4; -2 and -1
    assert merged_by_sign(changes).tolist() == [2.0, 0.0, 3.0, -1.5]
    assert merged_by_sign(changes, 0.5).tolist() == [1.0, 0.0, 1.5, -0.75]
    opposite = [torch.tensor([1.0]), torch.tensor([-1.0])]
    assert merged_by_sign(opposite).tolist() == [0.0], "no sign is elected"


def element_by_element(changes: list[list[float]]) -> list[float]:
    """The same in plain Python, one element after the other."""
    found: list[float] = []
    for values in zip(*changes, strict=True):
        total = sum(values)
        agreeing = [value for value in values if value * total > 0]
        found.append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return found


def test_merging_against_plain_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    changes = [trimmed(torch.randn(200, generator=generator), 0.3) for _ in range(4)]
    expected = torch.tensor(element_by_element([change.tolist() for change in changes]))
    torch.testing.assert_close(merged_by_sign(changes), expected)


def _changes(stack: ModuleStack, name: str) -> torch.Tensor:
    own = stack.module_tensors(name)
    return torch.cat([own[key].flatten() for key in sorted(own)])


def _kept(stack: ModuleStack, name: str, phase: int) -> torch.Tensor:
    kept = stack.method_tensors(name)
    change = torch.zeros(len(_changes(stack, name)))
    change[kept[f"places/{phase}"].long()] = kept[f"values/{phase}"]
    return change


def test_three_phases_merge_three_changes(stack: ModuleStack, run_phase: RunPhase) -> None:
    for name in ("one", "three", "seven"):
        run_phase(stack, "ties", name, {"density": 0.3})
    for number, name in enumerate(("one", "three", "seven"), 1):
        parts = [_kept(stack, name, phase) for phase in range(number)]
        torch.testing.assert_close(_changes(stack, name), merged_by_sign(parts))
        assert all(abs((part != 0).float().mean().item() - 0.3) < 0.01 for part in parts)
    assert torch.equal(_kept(stack, "seven", 0), _kept(stack, "one", 0)), "carried along as it was"
    assert stack.path == ("seven",)


def test_a_phase_is_trained_from_the_base_alone(stack: ModuleStack, run_phase: RunPhase, tiny_bases) -> None:
    run_phase(stack, "ties", "one", {"density": 1.0})
    run_phase(stack, "ties", "two", {"density": 1.0}, examples=encoded(9))
    alone = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    run_phase(alone, "ties", "two", {"density": 1.0}, examples=encoded(9))
    assert torch.equal(_kept(stack, "two", 1), _kept(alone, "two", 0))


@pytest.mark.parametrize("spoil", ["missing", "outside", "length"])
def test_a_module_without_its_changes_is_refused(stack: ModuleStack, run_phase: RunPhase, begin, spoil: str) -> None:
    run_phase(stack, "ties", "one")
    kept = stack._method_tensors["one"]
    if spoil == "missing":
        del kept["values/0"]
    elif spoil == "outside":
        kept["places/0"] = kept["places/0"] + 10_000_000
    else:
        kept["values/0"] = kept["values/0"][1:]
    with pytest.raises(GrowlmError, match="module 'one' keeps no change of phase 1 that ties could merge"):
        begin(stack, "ties", {}, "three", encoded(3))


@pytest.mark.parametrize("options", [{"density": 0}, {"density": 1.5}, {"scale": 0}])
def test_wrong_options_are_refused(begin, stack: ModuleStack, options: dict[str, float]) -> None:
    with pytest.raises(GrowlmError, match=r"ties (density|scale) .* is not"):
        begin(stack, "ties", options, "one", encoded(1))
