import pytest
import torch
from transformers import LlamaForCausalLM

from growlm.base.presets import PRESETS, Preset, build_base, preset_config, shape_of
from growlm.errors import GrowlmError


@pytest.mark.parametrize(("size", "millions"), [("nano", (1.9, 2.1)), ("mini", (7.9, 8.3)), ("50m", (49, 50))])
def test_sizes_are_what_their_names_say(size: str, millions: tuple[float, float]) -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(preset_config(size))
    assert millions[0] <= model.num_parameters() / 1e6 <= millions[1]
    assert model.config.max_position_embeddings >= 1_024
    assert model.config.vocab_size == 8_192
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_same_seed_gives_the_same_bits_and_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = build_base("nano", seed=1), build_base("nano", seed=1), build_base("nano", seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_matrices_that_write_to_the_residual_stream_begin_narrower() -> None:
    layer = build_base("nano").model.layers[0]
    expected = 0.02 / (2 * PRESETS["nano"].num_layers) ** 0.5
    assert layer.mlp.down_proj.weight.std().item() == pytest.approx(expected, rel=0.05)
    assert layer.mlp.up_proj.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_an_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(GrowlmError, match="did you mean 'mini'"):
        preset_config("mimi")


def test_a_shape_of_ones_own_is_four_numbers() -> None:
    assert shape_of("mini") is PRESETS["mini"]
    assert shape_of("192x13x3x512") == Preset(hidden_size=192, num_layers=13, num_heads=3, intermediate_size=512)


@pytest.mark.parametrize(
    "size", ["192x13x3", "192x13x3x512x1", "192x0x3x512", "192xx3x512", "1e9x1x1x1", "100000x1x1x1"]
)
def test_what_is_no_shape_is_refused(size: str) -> None:
    with pytest.raises(GrowlmError, match="unknown base size"):
        shape_of(size)


def test_heads_that_do_not_fit_the_width_are_refused() -> None:
    with pytest.raises(GrowlmError, match="3 heads of a width of 64 have no even number of dimensions each"):
        shape_of("64x2x3x128")
