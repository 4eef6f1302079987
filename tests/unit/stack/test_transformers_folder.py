"""A stack's folder as transformers, its pipelines and its Trainer use it."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, pipeline

from growlm.errors import GrowlmError
from growlm.manifest.manifest import read_manifest
from growlm.modules.block import Block
from growlm.modules.lora import Lora
from growlm.stack.stack import ModuleStack

NewStack = Callable[..., Any]
TOKENS = torch.arange(6, 42).reshape(2, 18)


@pytest.fixture
def folder(new_stack: NewStack, tmp_path: Path) -> Path:
    new_stack().save_pretrained(tmp_path / "stack")
    return tmp_path / "stack"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["growlm", "transformers"])
def test_the_auto_classes_know_stacks_after_the_import(folder: Path, first: str) -> None:
    imports = ["import growlm", "import transformers.models.auto"]
    code = [
        *(imports if first == "growlm" else reversed(imports)),
        "from transformers import AutoConfig, AutoModelForCausalLM",
        f"print(AutoConfig.from_pretrained({str(folder)!r}).model_type)",
        f"print(type(AutoModelForCausalLM.from_pretrained({str(folder)!r})).__name__)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["growlm", "ModuleStack"], done.stderr


def test_importing_growlm_imports_nothing_heavy() -> None:
    code = "import sys, growlm; print([name for name in ('torch', 'transformers', 'lightning') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tokenizer_template_and_generation_defaults_are_inside(folder: Path, new_stack: NewStack) -> None:
    stack = new_stack()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "the cat"}]
    assert tokenizer.apply_chat_template(messages) == stack.tokenizer.apply_chat_template(messages)
    assert GenerationConfig.from_pretrained(folder).to_dict() == stack.generation_config.to_dict()


def test_pipelines_take_a_folder(folder: Path) -> None:
    stack = ModuleStack.from_pretrained(folder)
    generator = pipeline("text-generation", str(folder), dtype=torch.float32)
    said = generator("the cat sat", max_new_tokens=5, do_sample=False, return_full_text=False)[0]["generated_text"]
    ids = stack.tokenizer("the cat sat", return_tensors="pt")
    own = stack.generate(**ids, max_new_tokens=5, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert said == stack.tokenizer.decode(own, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, torch.float32),
        ({"dtype": torch.bfloat16}, torch.bfloat16),
        ({"dtype": "float16"}, torch.float16),
        ({"torch_dtype": "bfloat16"}, torch.bfloat16),
        ({"dtype": "auto"}, torch.bfloat16),  # what the tiny bases are stored in
    ],
)
def test_types_of_the_weights(folder: Path, options: dict[str, Any], dtype: torch.dtype) -> None:
    assert AutoModelForCausalLM.from_pretrained(folder, **options).dtype == dtype


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}, 0 if torch.cuda.is_available() else "cpu"])
def test_one_device(folder: Path, device_map: Any) -> None:
    expected = "cuda" if torch.cuda.is_available() and device_map in ("auto", 0) else "cpu"
    assert ModuleStack.from_pretrained(folder, device_map=device_map).device.type == expected


def test_attention(folder: Path) -> None:
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    assert eager.base.config._attn_implementation == "eager"
    attentions = eager(TOKENS, output_attentions=True).attentions
    assert [tuple(layer.shape) for layer in attentions] == [(2, 4, 18, 18)] * 4
    torch.testing.assert_close(attentions[0].sum(-1), torch.ones(2, 4, 18))


def test_attentions_and_hidden_states_of_inserted_layers(new_stack: NewStack) -> None:
    stack = new_stack()
    stack.attach("deep", {"block": Block(after=[1])})
    stack.set_attn_implementation("eager")
    output = stack(TOKENS, output_attentions=True, output_hidden_states=True)
    assert len(output.attentions) == 5
    with stack.active("first"):
        assert len(stack(TOKENS, output_attentions=True).attentions) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attn_implementatoin": "eager"}, "did you mean 'attn_implementation'"),
        ({"quantization_config": {}}, "unknown argument of from_pretrained 'quantization_config'"),
        ({"device_map": {"base": "cpu", "lm_head": "cuda"}}, "loaded on one device"),
        ({"device_map": "nowhere"}, "'nowhere' is not a device"),
        ({"dtype": "int8"}, "'int8' is not a type of floating-point numbers"),
        ({"dtype": "brain"}, "'brain' is not a type of floating-point numbers"),
        ({"use_safetensors": False}, "from safetensors alone"),
        ({"proxies": {}}, "set HTTPS_PROXY"),
    ],
)
def test_other_arguments_are_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        ModuleStack.from_pretrained(folder, **options)


def test_merged_models_save_their_tokenizer(new_stack: NewStack, tmp_path: Path) -> None:
    import copy

    stack = new_stack()
    model = copy.deepcopy(stack.merged())
    model.lm_head.weight.data.zero_()
    model.save_pretrained(tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert not loaded.lm_head.weight.any(), "a copy saves itself"
    assert AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab() == stack.tokenizer.get_vocab()


def test_what_the_user_makes_of_the_copies_stays(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("mine")
    (folder / "tokenizer.json").unlink()
    stack = ModuleStack.from_pretrained(folder)
    stack.attach("second", {"lora": Lora(rank=2)})
    stack.freeze("second")
    stack.save_pretrained(folder)
    assert (folder / "chat_template.jinja").read_text() == "mine"
    from growlm.cli.main import main

    assert main(["undo", str(folder)]) == 0
    assert (folder / "chat_template.jinja").read_text() == "mine"
    assert [record.name for record in read_manifest(folder).modules] == ["first"]
    assert main(["verify", str(folder)]) == 0


def test_hidden_states_come_from_the_active_path(new_stack: NewStack) -> None:
    stack = new_stack()
    hidden = stack.base_model(TOKENS, use_cache=False).last_hidden_state
    torch.testing.assert_close(stack.get_output_embeddings()(hidden), stack(TOKENS).logits)
    with stack.active_rows([["first"], []]):
        per_row = stack.base_model(input_ids=TOKENS, use_cache=False).last_hidden_state
    torch.testing.assert_close(per_row[0], hidden[0])
    assert not torch.allclose(per_row[1], hidden[1], atol=1e-3)


def test_labels_give_the_loss(new_stack: NewStack) -> None:
    stack = new_stack()
    output = stack(TOKENS, labels=TOKENS)
    expected = torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected)
    assert "labels" in inspect.signature(stack.forward).parameters, "trainers look for it by name"


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set", "ignore:`use_cache=True` is incompatible")
def test_the_trainer_of_transformers_trains_a_module(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    stack.attach("mine", {"lora": Lora(rank=2)})
    before = stack(TOKENS, labels=TOKENS).loss.item()
    train(stack, tmp_path)
    stack.freeze("mine")
    assert stack(TOKENS, labels=TOKENS).loss.item() < before - 0.1
    stack.save_pretrained(tmp_path / "stack")
    loaded = ModuleStack.from_pretrained(tmp_path / "stack")
    assert loaded.path == ("first", "mine")
    torch.testing.assert_close(loaded(TOKENS).logits, stack(TOKENS).logits, rtol=0, atol=0)
    assert AutoConfig.from_pretrained(tmp_path / "stack").model_type == "growlm"
    assert "trained outside growlm" in (tmp_path / "stack" / "README.md").read_text()


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set", "ignore:`gradient_checkpointing` is deprecated")
def test_the_trainer_of_transformers_checkpoints_the_layers(
    new_stack: NewStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    def checkpoint(*args: Any, **kwargs: Any) -> Any:
        nonlocal runs
        runs += 1
        return torch.utils.checkpoint.checkpoint(*args, **kwargs)

    monkeypatch.setattr("growlm.stack.checkpointing.checkpoint", checkpoint)
    found = []
    for wanted in (False, True):
        torch.manual_seed(0)
        stack = new_stack()
        stack.attach("mine", {"lora": Lora(rank=2)})
        train(stack, tmp_path, gradient_checkpointing=wanted)
        assert stack.is_gradient_checkpointing == wanted
        assert all(parameter.grad is None for name, parameter in stack.named_parameters() if "mine" not in name)
        stack.verify()
        found.append(stack.module_tensors("mine"))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert runs == 6 * len(stack.base.get_submodule("model.layers"))


def train(stack: ModuleStack, folder: Path, **arguments: Any) -> None:
    """Train what is growing with the Trainer of transformers."""
    from transformers import Trainer, TrainingArguments

    settings = TrainingArguments(
        str(folder / "runs"),
        max_steps=6,
        learning_rate=3e-2,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        **arguments,
    )
    rows = [{"input_ids": row, "labels": row} for row in TOKENS] * 4
    Trainer(stack, settings, train_dataset=rows).train()


def test_where_stacks_are_by_default_nobody_is_asked_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GrowlmError, match=r"^checkpoints/stack is not a stack \(stack\.json is missing\): grow one"):
        ModuleStack.from_pretrained("checkpoints/stack")
