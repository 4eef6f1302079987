"""A base in 8 or 4 bits: near to itself, grown on, and refused where its weights are needed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from growlm.base.quantize import Quantization
from growlm.errors import GrowlmError
from growlm.manifest.manifest import read_manifest
from growlm.modules.bottleneck import Bottleneck
from growlm.modules.dense import Dense
from growlm.modules.embedding import Embedding
from growlm.modules.lora import Lora
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import grown, tokens
from tests.e2e.conftest import Files, Outcome
from tests.e2e.conftest import command as command
from tests.e2e.conftest import files as files

PACKAGES = {"int8": ("torchao", 0.01), "nf4": ("bitsandbytes", 0.6)}
every_sort = pytest.mark.parametrize("how", PACKAGES)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
KINDS = {"lora": Lora(rank=2), "embedding": Embedding(rank=2), "bottleneck": Bottleneck(width=2)}


@every_sort
def test_a_base_in_fewer_bits_is_grown_on(tiny_bases: dict[str, Path], how: Quantization, tmp_path: Path) -> None:
    package, most = PACKAGES[how]
    pytest.importorskip(package)
    base = str(tiny_bases["llama"])
    whole = ModuleStack.from_base(base).eval()
    stack = ModuleStack.from_base(base, quantization=how).eval()
    expected, found = whole(tokens()).logits, stack(tokens()).logits.float()
    assert 0 < (found - expected).norm() / expected.norm() < most
    assert stack.manifest.base == whole.manifest.base  # the digests are of the stored file
    size = sum(tensor.nbytes for name, tensor in stack.base_tensors().items() if ".layers." in name)
    assert size < (0.65 if how == "int8" else 0.45) * sum(
        tensor.nbytes / 2 for name, tensor in whole.base_tensors().items() if ".layers." in name
    )
    stack.attach("first", KINDS)
    assert torch.equal(stack(tokens()).logits.float(), found)
    stack.detach("first")
    grown(stack, "first", KINDS)
    stack.merge_frozen()
    stack.attach("second", KINDS)
    stack(tokens()).logits.float().square().mean().backward()
    assert all(parameter.grad is not None for parameter in stack.module_parameters("second").values())
    stack.detach("second")
    assert stack.verify() == len(stack.frozen_tensors())
    stack.save_pretrained(tmp_path / "stack")
    loaded = ModuleStack.from_pretrained(tmp_path / "stack", quantization=how)
    torch.testing.assert_close(loaded(tokens()).logits, stack(tokens()).logits, rtol=0.05, atol=0.01)  # modules in bf16
    assert ModuleStack.from_pretrained(tmp_path / "stack").verify()
    with pytest.raises(GrowlmError, match=f"dense needs the weights of the base, which is held in {how}: use bottle"):
        stack.attach("third", {"dense": Dense()})
    with pytest.raises(GrowlmError, match=f"a base in {how} cannot be merged"):
        stack.merged()
    with pytest.raises(GrowlmError, match="nothing can be added to weights in 8 or 4 bits"), stack.fused("first"):
        pass
    first = next(tensor for name, tensor in stack.base_tensors().items() if "q_proj" in name)
    first.view(-1)[0] = first.view(-1)[0] ^ 1
    with pytest.raises(GrowlmError, match="q_proj"):
        stack.verify()


@every_sort
def test_the_command_grows_on_it(
    command: Callable[[Sequence[object]], Outcome], files: Files, tmp_path: Path, how: Quantization
) -> None:
    pytest.importorskip(PACKAGES[how][0])
    words = files.grow(tmp_path / "stack", "--quantization", how, "--gradient_checkpointing", "--steps", "6")
    outcome = command(words)
    assert outcome.status == 0, outcome.err
    (record,) = read_manifest(tmp_path / "stack").modules
    assert record.recipe["quantization"] == how
    assert record.scores["words"]["oracle"]["loss"] < record.scores["words"]["base"]["loss"]


def test_full_precision_and_other_sorts_are_refused(tiny_bases: dict[str, Path]) -> None:
    base = str(tiny_bases["llama"])
    with pytest.raises(GrowlmError, match="a base in nf4 computes in half precision: give dtype bfloat16"):
        ModuleStack.from_base(base, torch.float32, quantization="nf4")
    with pytest.raises(GrowlmError, match="unknown quantization 'int3'"):
        ModuleStack.from_base(base, quantization="int3")  # type: ignore[arg-type]


def test_a_package_that_is_missing_is_named(tiny_bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for how, (package, _) in PACKAGES.items():
        for name in package, f"{package}.quantization", f"{package}.nn":
            monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(GrowlmError, match=rf"needs the package {package}: pip install 'growlm\[quantize\]'"):
            ModuleStack.from_base(str(tiny_bases["llama"]), quantization=how)  # type: ignore[arg-type]
