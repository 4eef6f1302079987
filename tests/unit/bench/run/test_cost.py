"""FLOPs of a token by the usual accounting."""

from pathlib import Path

import pytest

from growlm.bench.run.cost import _kept_bytes, acting_parameters, active_parameters, flops
from growlm.manifest.manifest import METHOD_FILE, TENSOR_FILE
from growlm.modules.block import Block
from growlm.modules.demonstrations import Demonstrations
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


def test_flops_by_hand() -> None:
    whole = {"tokens": 100, "rows": 10, "trained": 1_000}
    assert flops(whole, 1_000) == 100 * 6 * 1_000, "full fine-tuning takes 6 N for each token"
    few = whole | {"trained": 50}
    assert flops(few, 1_050) == 100 * (4 * 1_050 + 2 * 50)
    # as many rows again of ten tokens each, forward only, as a teacher takes
    taught = whole | {"rows": 20, "extra_forward_rows": 10}
    assert flops(taught, 1_000) == 100 * 8 * 1_000


@pytest.mark.parametrize(
    ("kind", "expected"), [({"lora": Lora(rank=2)}, 7), ({"demonstrations": Demonstrations()}, 107)]
)
def test_modules_that_are_examples_are_kept_bytes(
    tiny_bases: dict[str, Path], tmp_path: Path, kind: dict[str, Lora | Demonstrations], expected: int
) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["llama"])).eval()
    grown(stack, "one", kind)
    folder = tmp_path / stack.manifest.folder_of("one")
    folder.mkdir(parents=True)
    (folder / TENSOR_FILE).write_bytes(bytes(100))
    (folder / METHOD_FILE).write_bytes(bytes(7))
    assert _kept_bytes(stack, tmp_path) == expected
