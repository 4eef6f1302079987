"""The expanded base computes what the small one does, and its copies do not stay copies."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from growlm.base import presets
from growlm.base.expand import expand_base, layer_sources
from growlm.base.presets import PRESETS, Preset, build_base
from growlm.errors import GrowlmError

TOKENS = torch.arange(40, 76).reshape(2, 18)
SMALL = Preset(hidden_size=32, num_layers=3, num_heads=2, intermediate_size=40)


@pytest.fixture(autouse=True)
def _tiny_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {
        "small": SMALL,
        "large": Preset(hidden_size=64, num_layers=5, num_heads=4, intermediate_size=96),
        "other": Preset(hidden_size=64, num_layers=5, num_heads=2, intermediate_size=96),
        "thin": Preset(hidden_size=64, num_layers=5, num_heads=4, intermediate_size=70),
        "shallow": Preset(hidden_size=64, num_layers=2, num_heads=4, intermediate_size=96),
        "odd": Preset(hidden_size=80, num_layers=5, num_heads=5, intermediate_size=120),
    }
    monkeypatch.setattr(presets, "PRESETS", {**PRESETS, **sizes})


def trained() -> Any:
    """Return a base whose weights are no longer those of an untrained one, norms included."""
    model = build_base("small")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def test_the_larger_base_computes_the_same() -> None:
    small = trained()
    large = expand_base(small, "large").eval()
    assert large.config.num_hidden_layers == 5
    expected, found = small(TOKENS).logits, large(TOKENS).logits
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_bits() -> None:
    small = trained()
    first, again, other = (expand_base(small, "large", seed) for seed in (3, 3, 4))
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
    assert any(not torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True))


def test_copies_get_gradients_of_their_own() -> None:
    large: Any = expand_base(trained(), "large").train()
    large(TOKENS, labels=TOKENS).loss.backward()
    gradient = large.model.layers[0].self_attn.q_proj.weight.grad
    first, second = gradient.chunk(2, dim=0)
    assert not torch.allclose(first, second, rtol=1e-2)
    # a layer that writes nothing yet learns to
    further = layer_sources(3, 5).index(-1)
    assert large.model.layers[further].self_attn.o_proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("small", "large", "sources"),
    [(3, 3, [0, 1, 2]), (3, 5, [0, 1, -1, 2, -2]), (8, 14, [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7])],
)
def test_further_layers_are_spread(small: int, large: int, sources: list[int]) -> None:
    assert layer_sources(small, large) == sources


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("odd", "hidden size 32 cannot be expanded to size 'odd' with 80: no multiple"),
        ("other", "another head dim cannot be expanded"),
        ("thin", "too few inner units"),
        ("shallow", "smaller num_hidden_layers"),
        ("huge", "unknown base size 'huge'"),
    ],
)
def test_what_cannot_be_expanded(size: str, message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        expand_base(trained(), size)


def test_another_vocabulary_is_refused() -> None:
    config = LlamaConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=40,
        tie_word_embeddings=True,
    )
    with pytest.raises(GrowlmError, match="another vocab_size cannot be expanded"):
        expand_base(LlamaForCausalLM(config), "large")
