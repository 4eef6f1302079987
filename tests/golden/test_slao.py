"""SLAO: orthonormal starts and merging by hand, and what phases keep."""

import math

import pytest
import torch

from growlm.errors import GrowlmError
from growlm.methods.slao import merged, orthonormal_rows
from growlm.stack.stack import ModuleStack
from tests.golden.conftest import RunPhase, encoded

SITE = "lora.model.layers.1.self_attn.q_proj"


def test_orthonormal_rows_by_hand() -> None:
    # Gram-Schmidt of (3, 4, 0) and (3, 4, 2)
    found = orthonormal_rows(torch.tensor([[3.0, 4, 0], [3, 4, 2]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8, 0], [0, 0, 1]]))
    torch.testing.assert_close(orthonormal_rows(found), found)


def test_merging_by_hand() -> None:
    kept, tuned = torch.tensor([2.0, 0.0]), torch.tensor([4.0, -4.0])
    torch.testing.assert_close(merged(kept, tuned, 4), torch.tensor([3.0, -2.0]))
    assert torch.equal(merged(kept, tuned, 1), tuned)


def test_three_phases(stack: ModuleStack, run_phase: RunPhase) -> None:
    for name in ("one", "three", "seven"):
        run_phase(stack, "slao", name, {"rank": 4})
    kept = [stack.module_tensors(name)[f"{SITE}.B"] for name in ("one", "three", "seven")]
    tuned = [stack.method_tensors(name)[f"tuned/{SITE}.B"] for name in ("one", "three", "seven")]
    assert torch.equal(kept[0], tuned[0])
    torch.testing.assert_close(kept[1], kept[0] + (tuned[1] - kept[0]) / math.sqrt(2))
    torch.testing.assert_close(kept[2], kept[1] + (tuned[2] - kept[1]) / math.sqrt(3))
    assert stack.path == ("seven",)


def test_a_phase_starts_from_the_last_ones_own_factors(stack: ModuleStack, run_phase: RunPhase, begin) -> None:
    run_phase(stack, "slao", "one", {"rank": 4})
    run_phase(stack, "slao", "three", {"rank": 4})
    last = stack.module_tensors("three")[f"{SITE}.A"]
    begin(stack, "slao", {"rank": 4}, "seven", encoded(7))
    own = stack.module_tensors("seven")
    assert torch.equal(own[f"{SITE}.B"], stack.method_tensors("three")[f"tuned/{SITE}.B"])
    torch.testing.assert_close(own[f"{SITE}.A"] @ own[f"{SITE}.A"].T, torch.eye(4))
    torch.testing.assert_close(own[f"{SITE}.A"], orthonormal_rows(last))


def test_a_module_without_its_factors_is_refused(stack: ModuleStack, run_phase: RunPhase, begin) -> None:
    run_phase(stack, "slao", "one", {"rank": 4})
    stack._method_tensors["one"] = {}
    with pytest.raises(GrowlmError, match="module 'one' keeps no factors of slao"):
        begin(stack, "slao", {"rank": 4}, "three", encoded(3))
