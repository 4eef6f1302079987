"""FLOPs of a token by the usual accounting."""

from pathlib import Path

from growlm.bench.run.cost import acting_parameters, active_parameters
from growlm.modules.block import Block
from growlm.modules.dense import Dense
from growlm.modules.lora import Lora
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import grown


def test_a_full_difference_acts_as_one_with_its_weight(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    base = stack.manifest.base.parameters
    grown(stack, "full", {"dense": Dense()})
    assert stack.manifest.modules[0].parameters == base
    assert active_parameters(stack, ("full",)) == 2 * base
    assert acting_parameters(stack, ("full",)) == base  # so that with as many trained, 4 N + 2 N = 6 N


def test_what_is_added_beside_a_weight_counts(tiny_bases: dict[str, Path]) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    grown(stack, "block", {"block": Block(num_blocks=1)})
    grown(stack, "lora", {"lora": Lora(rank=2)})
    for path in (("block",), ("block", "lora")):
        assert acting_parameters(stack, path) == active_parameters(stack, path) > stack.manifest.base.parameters
