"""Adapters that the real PEFT wrote, imported into a stack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.export.exporter import export
from growlm.imports.install import import_adapter
from growlm.manifest.manifest import read_manifest
from growlm.modules.embedding import Embedding
from growlm.modules.lora import Lora
from growlm.registry import exporters
from growlm.show.evaluation import evaluate
from growlm.stack.stack import ModuleStack
from tests.contracts.conftest import DECODERS

TOKENS = torch.arange(6, 42).reshape(2, 18)
pytestmark = [
    pytest.mark.usefixtures("few_router_prompts", "short_answers"),
    pytest.mark.filterwarnings(
        "ignore:Model has `tie_word_embeddings=True`",
        "ignore:`is_gradient_checkpointing`",
        "ignore:Setting `save_embedding_layers`",
        "ignore:fan_in_fan_out is set to",
        "ignore:Model with `tie_word_embeddings=True`",
        "ignore:You passed `ensure_weight_tying=True`",
    ),
]

MIXTURES = ("mixtral", "qwen3_moe")
Adapt = Callable[..., tuple[Path, Tensor]]


@pytest.fixture
def adapt(tiny_bases: dict[str, Path], tmp_path: Path) -> Adapt:
    """Make an adapter with PEFT, every tensor of it moved, and return its folder and its logits."""

    def make(family: str, **options: Any) -> tuple[Path, Tensor]:
        from peft import LoraConfig, get_peft_model

        base = AutoModelForCausalLM.from_pretrained(tiny_bases[family], dtype=torch.float32)
        model: Any = get_peft_model(base, LoraConfig(**{"task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 7, **options}))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.2 * torch.randn(parameter.shape))
        model.eval()
        model.save_pretrained(tmp_path / "adapter")
        with torch.inference_mode():
            return tmp_path / "adapter", model(TOKENS).logits

    return make


def compare(stack: ModuleStack, logits: Tensor) -> None:
    assert logits.abs().max() > 0.1
    with torch.inference_mode():
        torch.testing.assert_close(
            stack(TOKENS).logits, logits, rtol=0, atol=1e-6 * max(1.0, float(logits.abs().max()))
        )


TARGETS = {
    "llama": ["q_proj", "down_proj"],
    "qwen2": ["q_proj", "v_proj", "gate_proj"],
    "gpt2": ["c_attn", "attn.c_proj"],
}


@pytest.mark.parametrize("family", TARGETS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {r"1\..*proj|1\.attn.*": 5}, "alpha_pattern": {r"h\.0.*|layers\.0.*": 2.5}},
        {"layers_to_transform": [1, 3]},
    ],
    ids=["plain", "rslora", "patterns", "some layers"],
)
def test_an_imported_adapter_computes_what_it_does_under_peft(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], family: str, options: dict[str, Any]
) -> None:
    folder, logits = adapt(family, target_modules=TARGETS[family], **options)
    compare(import_adapter(folder, tmp_path / "stack", base=str(tiny_bases[family])), logits)
    loaded = ModuleStack.from_pretrained(tmp_path / "stack")
    compare(loaded, logits)
    with loaded.active(), torch.inference_mode():
        assert not torch.allclose(loaded(TOKENS).logits, logits, atol=1e-3)


@pytest.mark.parametrize("family", DECODERS)
def test_all_linears_of_every_family(adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], family: str) -> None:
    attention = ["q_proj", "k_proj", "v_proj", "o_proj"]  # PEFT changes experts, too, where it sees them as linears
    folder, logits = adapt(family, target_modules=attention if family in MIXTURES else "all-linear")
    compare(import_adapter(folder, tmp_path / "stack", base=str(tiny_bases[family])), logits)


EMBEDDINGS = {
    "low rank": {"target_modules": ["q_proj", "embed_tokens"]},
    "saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "some tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [9, 7, 30]},
    "some tokens by name": {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [9, 7]}},
}


@pytest.mark.parametrize("family", ["llama", "qwen2"])  # with tied embeddings, and with two
@pytest.mark.parametrize("sort", EMBEDDINGS)
def test_changes_of_embeddings(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], family: str, sort: str
) -> None:
    folder, logits = adapt(family, **EMBEDDINGS[sort])
    stack = import_adapter(folder, tmp_path / "stack", base=str(tiny_bases[family]))
    assert set(stack.manifest.modules[0].kinds) == {"lora", "embedding"}
    compare(stack, logits)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens", "lm_head"], "rank_pattern": {"lm_head": 6}},
    ],
)
def test_changes_of_an_output_embedding_of_its_own(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], options: dict[str, Any]
) -> None:
    folder, logits = adapt("qwen2", **options)
    compare(import_adapter(folder, tmp_path / "stack", base=str(tiny_bases["qwen2"])), logits)


def test_a_tied_output_embedding_that_changes_alone_is_refused(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path]
) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj", "lm_head"])
    with pytest.raises(GrowlmError, match="shares with its token embedding"):
        import_adapter(folder, tmp_path / "stack", base=str(tiny_bases["llama"]))
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize("outputs", [None, False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to True but the target module is `torch.nn.Linear`")
def test_there_and_back_again(new_stack: Callable[..., Any], tmp_path: Path, family: str, outputs: bool | None) -> None:
    stack = new_stack(family)
    if outputs is not None:
        stack.attach("words", {"embedding": Embedding(rank=2, outputs=outputs)})
        with torch.no_grad():
            for parameter in stack.module_parameters("words").values():
                parameter.add_(0.05 * torch.randn(parameter.shape))
        stack.eval()
    export(stack, exporters.build("peft"), tmp_path / "adapter")
    imported = import_adapter(tmp_path / "adapter", tmp_path / "stack", "back", base=stack.manifest.base.source)
    with torch.inference_mode():
        compare(imported, stack(TOKENS).logits)


def test_an_imported_module_is_a_parent_like_any_other(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, logits = adapt("llama", target_modules=["q_proj"])
    stack = tmp_path / "stack"
    words = ["import", str(folder), "--stack", str(stack), "--name", "theirs", "--base", str(tiny_bases["llama"])]
    assert main(words) == 0
    assert "module 'theirs': lora of rank 3" in capsys.readouterr().out
    grow = ["grow", "--skill", rows(tmp_path / "own.jsonl"), "--stack", str(stack), "--parents", "theirs"]
    assert main([*grow, "--name", "own", "--steps", "2", "--num_scored", "2", "--batch_size", "2"]) == 0
    record = read_manifest(stack).modules[-1]
    assert record.parents == ("theirs",)
    assert set(record.scores) == {"stories", "own"}
    loaded = ModuleStack.from_pretrained(stack)
    with loaded.active("theirs"):
        compare(loaded, logits)
    assert {result.skill for result in evaluate(loaded, limit=2)} == {"stories", "own"}
    with pytest.raises(GrowlmError, match="'theirs' was imported without a skill"):
        evaluate(loaded, "theirs")
    with pytest.raises(GrowlmError, match="'theirs' was imported without a skill"):
        loaded.fused("theirs", "own").__enter__()
    for command in ("show", "verify"):
        assert main([command, str(stack)]) == 0
    assert "imported from a PEFT adapter" in (stack / "README.md").read_text()
    assert main(["undo", str(stack)]) == 0
    compare(ModuleStack.from_pretrained(stack), logits)


def rows(file: Path) -> str:
    """Write data of one's own."""
    people = ("Tom", "Lily", "Max")
    lines = [
        {"prompt": f"{who} has {number} cats, {who} said", "completion": "hello"}
        for who in people
        for number in range(20)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return str(file)


def test_an_adapter_with_a_skill_is_scored_and_routed_like_a_grown_module(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, logits = adapt("llama", target_modules=["q_proj"])
    stack, data = tmp_path / "stack", rows(tmp_path / "own.jsonl")
    words = ["import", str(folder), str(stack), "--base", str(tiny_bases["llama"]), "--name", "theirs"]
    assert main([*words, "--skill", data, "--num_scored", "3"]) == 0
    assert "jsonl: exact_match 0." in capsys.readouterr().out
    (record,) = read_manifest(stack).modules
    assert record.skill["name"] == "jsonl"
    assert record.skill["options"] == {"train": "own.jsonl"}  # where it is on this machine is not recorded
    assert set(record.scores["theirs"]) == {"base", "oracle", "routed", "all"}
    assert record.scores["theirs"]["oracle"]["count"] == 3
    loaded = ModuleStack.from_pretrained(stack)
    compare(loaded, logits)
    assert loaded.router is not None
    assert {"base", "theirs"} <= set(loaded.router.known())
    assert {result.mode for result in evaluate(loaded, "theirs", limit=2)} == {"base", "oracle", "routed", "all"}
    card = (stack / "README.md").read_text()
    assert "imported from a PEFT adapter" in card
    assert "| theirs | exact match" in card
    assert main(["eval", str(stack), "--skill", "theirs", "--limit", "2"]) == 0
    grow = ["grow", "--skill", data, "--stack", str(stack), "--name", "next", "--steps", "1", "--num_scored", "2"]
    assert main([*grow, "--batch_size", "2"]) == 0
    assert set(read_manifest(stack).modules[-1].scores) == {"stories", "theirs", "next"}
    assert main(["verify", str(stack)]) == 0
    with loaded.fused("theirs"):
        assert loaded.path == ("theirs",)


def test_a_skill_that_cannot_be_used_leaves_nothing(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj"])
    words = ["import", str(folder), str(tmp_path / "stack"), "--base", str(tiny_bases["llama"])]
    long = tmp_path / "long.jsonl"
    long.write_text(
        "\n".join(json.dumps({"prompt": "cat " * 400 + str(number), "completion": "x"}) for number in range(9))
    )
    for more, message in (
        (["--skill", "rhyme"], "unknown skill 'rhyme'"),
        (["--skill", str(tmp_path / "none.jsonl")], "none.jsonl is missing"),
        (["--skill", str(long)], "tokens are more than max_length"),
        (["--skill_options", '{"metric": "loss"}'], "skill_options are those of a skill"),
        (["--skill", "arithmetic", "--num_scored", "0"], "num_scored"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "stack" / "stack.json").exists()


def test_a_name_that_was_imported_is_no_ended_phase(
    adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj"])
    import_adapter(folder, tmp_path / "stack", "theirs", base=str(tiny_bases["llama"]))
    words = ["grow", "--skill", rows(tmp_path / "own.jsonl"), "--stack", str(tmp_path / "stack"), "--name", "theirs"]
    assert main([*words, "--steps", "1"]) == 2
    assert "'theirs' already, which no phase has trained" in capsys.readouterr().err


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_dora": True}, "use_dora cannot be imported exactly: DoRA"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which changes the base"),
        ({"lora_alpha": "7"}, "lora_alpha and alpha_pattern must be numbers"),
        ({"alpha_pattern": {"(": 1}}, "is not a regular expression"),
        ({"alpha_pattern": [1]}, "alpha_pattern is"),
        ({"base_model_name_or_path": None}, "give it with --base"),
    ],
)
def test_what_cannot_be_imported_exactly_is_refused(
    adapt: Adapt, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj"])
    edit(folder, **changes)
    with pytest.raises(GrowlmError, match=message):
        import_adapter(folder, tmp_path / "stack")
    assert not (tmp_path / "stack").exists()


def test_an_adapter_of_another_base_is_refused(adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path]) -> None:
    folder, _ = adapt("gpt2", target_modules=["c_attn"])
    with pytest.raises(GrowlmError, match=r"changes transformer\.h\.0\.attn\.c_attn, and this base has no such linear"):
        import_adapter(folder, tmp_path / "stack", base=str(tiny_bases["llama"]))
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor[..., :-1].contiguous() for name, tensor in load_file(file).items()}, file)
    with pytest.raises(GrowlmError, match=r"do not fit together|is of another base"):
        import_adapter(folder, tmp_path / "stack", base=str(tiny_bases["gpt2"]))


def test_files_that_are_missing_or_pickled(adapt: Adapt, tmp_path: Path) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj"])
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(GrowlmError, match="is a pickle, which is never read"):
        import_adapter(folder, tmp_path / "stack")
    with pytest.raises(GrowlmError, match=r"adapter_config\.json is missing"):
        import_adapter(tmp_path, tmp_path / "stack")


def test_values_that_are_not_finite_are_refused(adapt: Adapt, tmp_path: Path) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj"])
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = torch.nan
    save_file(tensors, file)
    with pytest.raises(GrowlmError, match="not finite"):
        import_adapter(folder, tmp_path / "stack")


def test_a_name_that_is_taken(adapt: Adapt, tmp_path: Path, tiny_bases: dict[str, Path]) -> None:
    folder, _ = adapt("llama", target_modules=["q_proj"])
    import_adapter(folder, tmp_path / "stack", base=str(tiny_bases["llama"]))
    before = (tmp_path / "stack" / "stack.json").read_bytes()
    with pytest.raises(GrowlmError, match="has a module 'adapter' already"):
        import_adapter(folder, tmp_path / "stack")
    assert (tmp_path / "stack" / "stack.json").read_bytes() == before


def test_on_a_path_of_the_stack(new_stack: Callable[..., Any], adapt: Adapt, tmp_path: Path) -> None:
    new_stack("llama").save_pretrained(tmp_path / "stack")
    folder, _ = adapt("llama", target_modules=["q_proj"])
    stack = import_adapter(folder, tmp_path / "stack", "second", parents="first")
    assert stack.path == ("first", "second")
    assert stack.manifest.modules[-1].kinds["lora"] == {
        **Lora(rank=3, alpha=7.0).options(),
        "target_modules": ["q_proj"],
        "layers": [0, 1, 2, 3],
    }
