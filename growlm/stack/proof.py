"""The proof that a base of a family that is not listed can be grown on, on two random layers of its own kind."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from growlm.base.architecture import reordered_config
from growlm.errors import GrowlmError
from growlm.modules.block import Block
from growlm.modules.dense import Dense
from growlm.modules.embedding import Embedding
from growlm.modules.kind import ModuleKind
from growlm.modules.lora import Lora

_VOCABULARY = 64
_LENGTH = 8
_TOLERANCE = 1e-4
_KINDS: dict[str, ModuleKind] = {
    "lora": Lora(rank=2),
    "embedding": Embedding(rank=2, outputs=True),
    "dense": Dense(weights="all"),
    "block": Block(num_blocks=1),
}


@torch.no_grad()
def prove(config: PreTrainedConfig, build: Callable[[PreTrainedModel], Any]) -> None:
    """Prove that what growlm inferred of a family holds: logits, neutral modules, cached passes and merging.

    Args:
        config: the base's config.
        build: makes a stack of a model.

    Raises:
        GrowlmError: saying what does not hold.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, kind in _KINDS.items():
            try:
                wrong = _first_difference(build(_random_model(config)), name, kind)
            except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
                wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
            if wrong is not None:
                raise GrowlmError(
                    f"a base of type {config.model_type!r} is not in growlm's list of families, and two random layers "
                    f"of it do not pass the proof: {name}: {wrong}; use a base of a listed family"
                )


def _random_model(config: PreTrainedConfig) -> PreTrainedModel:
    small = reordered_config(copy.deepcopy(config), range(min(2, config.num_hidden_layers)))
    small.vocab_size = _VOCABULARY
    small.pad_token_id = small.bos_token_id = small.eos_token_id = None
    model = AutoModelForCausalLM.from_config(small, dtype=torch.float32)
    for parameter in model.parameters():  # biases and norms not at 0 and 1
        parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def _first_difference(stack: Any, name: str, kind: ModuleKind) -> str | None:
    tokens = torch.randint(_VOCABULARY, (2, _LENGTH))
    before = stack(tokens, use_cache=False).logits
    if not _close(stack.logits(stack.hidden_states(tokens)), before):
        return "the logits are not those of the output embedding"
    stack.attach("proof", {name: kind})
    if not torch.equal(stack(tokens, use_cache=False).logits, before):
        return "a new module changes what the base computes"
    for parameter in stack.module_parameters("proof").values():
        parameter.add_(0.1 * torch.randn_like(parameter))
    whole = stack(tokens, use_cache=False).logits
    if torch.equal(whole, before):
        return "a module changes nothing"
    first = stack(tokens[:, : _LENGTH // 2], use_cache=True)
    rest = stack(tokens[:, _LENGTH // 2 :], past_key_values=first.past_key_values, use_cache=True)
    if not _close(torch.cat([first.logits, rest.logits], 1), whole):
        return "a pass with a cache computes something else"
    if not _close(stack.merged()(tokens, use_cache=False).logits, whole):
        return "the merged model computes something else"
    return None


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE * float(expected.abs().max()))
