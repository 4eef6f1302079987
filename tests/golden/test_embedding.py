"""Low-rank changes of embeddings against numbers worked by hand and against PEFT, given the same A and B."""

import warnings
from pathlib import Path

import pytest
import torch

from growlm.base.load import load_base
from growlm.errors import GrowlmError
from growlm.modules._tied import TiedPart
from growlm.modules.embedding import Embedding, EmbeddingPart, OutputPart
from growlm.registry import module_kinds
from growlm.stack.stack import ModuleStack

IDS = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(1))


def test_two_tokens_by_hand() -> None:
    part = EmbeddingPart(3, 2, 1, 2.0, 1.0, None)
    with torch.no_grad():
        part.A.copy_(torch.tensor([[0.0], [1.0], [-3.0]]))
        part.B.copy_(torch.tensor([[0.5, 2.0]]))
    embedded = part(torch.tensor([[1, 0, 2]]), torch.ones(1, 3, 2))
    torch.testing.assert_close(embedded, torch.tensor([[[2.0, 5.0], [1.0, 1.0], [-2.0, -11.0]]]))
    hidden, logits = torch.tensor([[[2.0, 1.0]]]), torch.tensor([[[1.0, 1.0, 1.0]]])
    expected = torch.tensor([[[1.0, 7.0, -17.0]]])  # 2 * (2 * 0.5 + 1 * 2) = 6 for each unit of A
    torch.testing.assert_close(TiedPart(part)(hidden, logits), expected)
    output = OutputPart(3, 2, 1, 2.0, None)
    output.load_state_dict(part.state_dict())
    torch.testing.assert_close(output(hidden, logits), expected)
    torch.testing.assert_close(part.delta_weight(), torch.tensor([[0.0, 0.0], [1.0, 4.0], [-3.0, -12.0]]))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_the_same_a_and_b_give_the_same_logits_as_in_peft(tiny_bases: dict[str, Path], family: str) -> None:
    peft = pytest.importorskip("peft", reason="PEFT, the independent implementation, is not installed")
    stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
    stack.attach("first", {"embedding": Embedding(rank=3, alpha=5.0, outputs=True)})
    with torch.no_grad():
        for parameter in stack.module_parameters("first").values():
            parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(2))
    tied = stack.architecture.tied_embeddings() is not None
    base = load_base(tiny_bases[family])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own, about tied weights
        inputs, outputs = stack.architecture.embeddings()
        settings = peft.LoraConfig(
            r=3, lora_alpha=5, target_modules=[path.rpartition(".")[2] for path in (inputs, outputs)]
        )
        model = peft.get_peft_model(base, settings).eval()
    state = model.state_dict()
    for part, path in (("inputs", inputs), ("outputs", outputs)):
        own = f"embedding.{inputs if tied else path}"
        a_VR, b_RD = (stack.module_tensors("first")[f"{own}.{letter}"] for letter in "AB")
        if part == "inputs":
            state[f"base_model.model.{path}.lora_embedding_A.default"].copy_(a_VR.T)
            state[f"base_model.model.{path}.lora_embedding_B.default"].copy_(b_RD.T)
        else:  # to PEFT an output embedding is a linear like any other
            state[f"base_model.model.{path}.lora_A.default.weight"].copy_(b_RD)
            state[f"base_model.model.{path}.lora_B.default.weight"].copy_(a_VR)
    logits = stack(IDS).logits
    torch.testing.assert_close(logits, model(IDS).logits, rtol=1e-4, atol=1e-5)
    assert len(stack.module_tensors("first")) == (2 if tied else 4)
    with stack.active():
        assert (stack(IDS).logits - logits).abs().max() > 1e-2


def test_outputs_are_left_alone_unless_asked_for(tiny_bases: dict[str, Path]) -> None:
    for family, wanted in ("llama", "model.embed_tokens"), ("gpt_neox", "gpt_neox.embed_in"):
        stack = ModuleStack.from_base(str(tiny_bases[family])).eval()
        stack.attach("first", {"embedding": Embedding()})
        assert list(stack.sites()) == [wanted]


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(GrowlmError, match="embedding rank 0 is too small"):
        module_kinds.build("embedding", {"rank": 0})
