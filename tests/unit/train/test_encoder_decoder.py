"""Phases, scores, exports and refusals on an encoder-decoder, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config

from growlm.base.load import load_base
from growlm.cli.main import main
from growlm.data.encode import encode_prompt, encode_windows
from growlm.data.example import Example
from growlm.errors import GrowlmError
from growlm.manifest.manifest import read_manifest
from growlm.metrics.candidates import choose_answers
from growlm.registry import methods
from growlm.show.evaluation import evaluate
from growlm.show.talk import Conversation
from growlm.stack.stack import ModuleStack

Grow = Callable[..., int]


@pytest.fixture
def grow(tiny_bases: dict[str, Path], tmp_path: Path, short_answers: None) -> Grow:
    """Run a phase on rows whose answer is always the same."""
    rows = [{"prompt": f"Tom has the cat {number}. Who?", "completion": " Tom"} for number in range(40)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))

    def run(*words: str, skill: str = str(tmp_path / "own.jsonl")) -> int:
        given = ["--base", str(tiny_bases["t5"]), "--stack", str(tmp_path / "stack"), "--skill", skill]
        given += ["--num_scored", "3", "--batch_size", "4", "--stories", str(tmp_path / "stories.txt")]
        return main(["grow", *given, *words])

    return run


def test_a_skill_is_grown_routed_asked_and_exported(
    grow: Grow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grow("--steps", "60", "--learning_rate", "1e-2") == 0
    (record,) = read_manifest(tmp_path / "stack").modules
    assert list(record.kinds) == ["lora"]
    scores = record.scores["own"]
    assert scores["oracle"]["value"] == 1.0 > scores["base"]["value"]
    assert scores["routed"] == {**scores["oracle"], "routing_accuracy": 1.0, "paths": {"own": 1.0}}
    assert record.scores["stories"]["oracle"] == record.scores["stories"]["base"]
    capsys.readouterr()
    assert main(["generate", str(tmp_path / "stack"), "Tom has the cat 3. Who?", "--path", "own"]) == 0
    assert capsys.readouterr().out.strip() == "Tom has the cat 3. Who? Tom"
    stack = ModuleStack.from_pretrained(tmp_path / "stack")
    assert {result.mode for result in evaluate(stack, "own", limit=2)} == {"base", "oracle", "routed", "all"}
    talk = Conversation(stack, max_new_tokens=4)
    assert list(talk.say("hello"))
    assert main(["export", str(tmp_path / "stack"), "--to", "hf", "--path", "own", "--out", str(tmp_path / "out")]) == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    prompt = encode_prompt(Example("asked", prompt="Tom has the cat 3. Who?"), tokenizer)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    said = model.generate(torch.tensor([prompt[:-1]]), max_new_tokens=4, eos_token_id=4, do_sample=False)
    assert tokenizer.decode(said[0], skip_special_tokens=True) == " Tom"
    assert "AutoModelForSeq2SeqLM.from_pretrained" in (tmp_path / "out" / "README.md").read_text()
    for command in ("verify", "show", "undo"):
        assert main([command, str(tmp_path / "stack")]) == 0


WORKING = sorted(name for name in methods if methods.get(name).encoder_decoder)


@pytest.mark.parametrize("method", [*WORKING, "replay"])
def test_methods_train_two_phases(grow: Grow, tmp_path: Path, method: str) -> None:
    options = {
        **dict.fromkeys(("ewc", "lwf", "per_skill", "sequential"), '{"weights": "linears"}'),
        "joint": '{"module": {"lora": {"rank": 4}}}',
        "replay": '{"method": "lora_sequential", "answers": "own"}',
    }.get(method, "{}")
    for name in ("one", "two"):
        assert grow("--method", method, "--method_options", options, "--steps", "3", "--name", name) == 0
    stack = ModuleStack.from_pretrained(tmp_path / "stack")
    assert stack.verify() == len(stack.frozen_tensors())
    trained = stack.module_tensors("two")
    encoder = [name for name in trained if ".encoder." in name]
    assert encoder
    assert len(encoder) < len(trained)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "pmoe"], "method 'pmoe' does not work on an encoder-decoder: use one of anchored, distill, ewc"),
        (["--method", "sequential"], "give dense the option weights linears"),
        (["--module", "block"], "block cannot be attached to an encoder-decoder: use dense, lora, subspace"),
        (["--router", "arrow"], "router 'arrow' does not work on an encoder-decoder: use ridge, or none"),
        (["--router_options", '{"layer": 3}'], "layer 3 is the decoder's"),
        (["--cache_hidden_states", "true"], "leave cache_hidden_states out"),
        (["--quantization", "int8"], "leave quantization out"),
        (["--method_options", '{"fusible": true}'], "cannot be fused: leave fusible out"),
    ],
)
def test_what_does_not_work_is_one_line(
    grow: Grow, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert grow(*words) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said
    assert not (tmp_path / "stack" / "modules").exists()


def test_choices_and_conversations_are_scored(grow: Grow, tmp_path: Path) -> None:
    turns = [("user", "hello {}"), ("assistant", "yes"), ("user", "the cat {}"), ("assistant", "sat on")]
    rows = [{"messages": [{"role": role, "content": text.format(n)} for role, text in turns]} for n in range(40)]
    (tmp_path / "talk.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert grow("--steps", "2", "--name", "talk", skill=str(tmp_path / "talk.jsonl")) == 0
    assert grow("--steps", "2", "--gradient_checkpointing", "true", "--router", "none") == 0
    stack = ModuleStack.from_pretrained(tmp_path / "stack")
    asked = [
        Example(str(number), prompt=f"the cat {'sat ' * number}", choices=("on", "ran in the park", "yes"))
        for number in range(5)
    ]
    together = choose_answers(stack, asked, per_token=False)
    assert together == [choose_answers(stack, [one], per_token=False)[0] for one in asked]


def test_windows_of_a_long_text_train_every_token_once(tiny_bases: dict[str, Path]) -> None:
    tokenizer = ModuleStack.from_base(str(tiny_bases["t5"])).tokenizer
    windows = encode_windows(Example("long", text="the cat sat on the red box " * 9), tokenizer, 20)
    frame = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    assert len(windows) > 3
    assert all(list(window.input_ids[:2]) == frame and len(window.input_ids) <= 20 for window in windows)
    assert all(window.trained == (False, False, *[True] * (len(window.input_ids) - 2)) for window in windows)
    said = [token for window in windows for token in window.input_ids[2:]]
    assert tokenizer.decode(said[:-1]) == "the cat sat on the red box " * 9


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_an_adapter_of_peft_is_imported(tiny_bases: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = load_base(tiny_bases["t5"])
    model: Any = get_peft_model(base, LoraConfig(task_type="SEQ_2_SEQ_LM", r=3, target_modules=["q", "wo"]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    model.eval().save_pretrained(tmp_path / "adapter")
    assert main(["import", str(tmp_path / "adapter"), str(tmp_path / "stack"), "--base", str(tiny_bases["t5"])]) == 0
    stack = ModuleStack.from_pretrained(tmp_path / "stack")
    read, said = torch.tensor([[9, 30, 41, 0]]), torch.tensor([[5, 17, 60, 81]])
    with torch.inference_mode():
        expected = model(input_ids=read, decoder_input_ids=said).logits
        found = stack(torch.cat([read, said], 1)).logits[:, read.shape[1] :]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_bases_that_do_not_fit_are_refused(tiny_bases: dict[str, Path], tmp_path: Path) -> None:
    stack = ModuleStack.from_base(str(tiny_bases["t5"]), tokenizer=str(tiny_bases["llama"]))
    stack.base.config.decoder_start_token_id = 7
    with pytest.raises(GrowlmError, match=r"the padding token of .* is not what the base's answers begin with"):
        _ = stack.tokenizer
    T5Config(vocab_size=8, num_layers=1).save_pretrained(tmp_path)
    save_file({"shared.weight": torch.zeros(8, 512)}, tmp_path / "model.safetensors")
    with pytest.raises(GrowlmError, match="of its base's tensors are missing"):
        load_base(tmp_path)
