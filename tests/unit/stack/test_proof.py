"""Bases of families that are not listed: used where two random layers prove it, refused in one line elsewhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf

from growlm.errors import GrowlmError
from growlm.modules.lora import Lora
from growlm.modules.prefix import Prefix
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import grown, tokens

SMALL = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
ENDS = {"bos_token_id": 0, "eos_token_id": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[hf.PreTrainedConfig], str]:
    """Save a random model of a config."""

    def save(config: hf.PreTrainedConfig) -> str:
        hf.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
        return str(tmp_path / "base")

    return save


@pytest.mark.parametrize(
    "config",
    [
        hf.FalconConfig(**SMALL, **ENDS),
        hf.Starcoder2Config(**SMALL, **ENDS, intermediate_size=64, num_key_value_heads=2),
        hf.CohereConfig(**SMALL, **ENDS, intermediate_size=64, num_key_value_heads=2, pad_token_id=0),
    ],
    ids=lambda config: config.model_type,
)
def test_a_family_that_is_not_listed_is_proved_and_used(
    folder: Callable[[hf.PreTrainedConfig], str], config: hf.PreTrainedConfig
) -> None:
    stack = ModuleStack.from_base(folder(config)).eval()
    grown(stack, "first", {"lora": Lora(rank=2)})
    expected = stack(tokens()).logits
    torch.testing.assert_close(stack.merged()(tokens()).logits, expected, rtol=1e-4, atol=1e-5)


def test_where_the_queries_are_not_known_prefix_is_refused(folder: Callable[[hf.PreTrainedConfig], str]) -> None:
    stack = ModuleStack.from_base(folder(hf.BloomConfig(**SMALL, **ENDS)))
    with pytest.raises(GrowlmError, match="where a base of type 'bloom' computes its queries is not known"):
        stack.attach("first", {"prefix": Prefix()})


def test_a_base_that_fails_the_proof_is_refused_in_one_line(folder: Callable[[hf.PreTrainedConfig], str]) -> None:
    config = hf.NemotronConfig(**SMALL, **ENDS, intermediate_size=64, num_key_value_heads=4)
    with pytest.raises(
        GrowlmError, match=r"'nemotron' is not in growlm's list .* dense: a new module changes"
    ) as error:
        ModuleStack.from_base(folder(config))
    assert "\n" not in str(error.value)


def test_a_base_without_attention_is_refused_in_one_line(folder: Callable[[hf.PreTrainedConfig], str]) -> None:
    config = hf.MambaConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2, pad_token_id=0, **ENDS)
    with pytest.raises(GrowlmError, match="output projections of a base of type 'mamba' cannot be found"):
        ModuleStack.from_base(folder(config))
