import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from growlm.base.load import find_base, load_base, load_tokenizer, shipped_bases
from growlm.base.tokenizer import PLAIN_TEMPLATE
from growlm.errors import GrowlmError
from growlm.stack.stack import ModuleStack


@pytest.fixture
def shipped(tiny_bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoints folder with one base called tiny, the working folder elsewhere."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "tiny").symlink_to(tiny_bases["llama"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("GROWLM_CHECKPOINTS", str(folder))
    return folder


def test_a_shipped_base_is_found_by_name(shipped: Path) -> None:
    assert find_base("tiny") == shipped / "tiny"
    assert shipped_bases()["tiny"] == shipped / "tiny"


def test_a_stack_is_no_base(shipped: Path) -> None:
    stack = shipped / "stack"
    stack.mkdir()
    for name in ("config.json", "stack.json", "model.safetensors"):
        (stack / name).write_text("{}")
    assert "stack" not in shipped_bases()


def test_a_base_comes_frozen_in_fp32(shipped: Path) -> None:
    model = load_base("tiny")
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {p.dtype for p in load_base("tiny", torch.bfloat16).parameters()} == {torch.bfloat16}


def test_its_tokenizer_comes_with_it(shipped: Path) -> None:
    assert load_tokenizer("tiny").eos_token == "<|endoftext|>"


def test_a_tokenizer_without_a_chat_template_gets_the_one_that_growlm_trains_with(
    tiny_bases: dict[str, Path], tmp_path: Path
) -> None:
    ignored = shutil.ignore_patterns("chat_template*")
    base = shutil.copytree(tiny_bases["llama"], tmp_path / "base", ignore=ignored)
    assert load_tokenizer(base).chat_template == PLAIN_TEMPLATE
    stack = ModuleStack.from_base(str(base))
    stack.save_pretrained(tmp_path / "stack")
    stack.merged(()).save_pretrained(tmp_path / "merged")
    for folder in ("stack", "merged"):
        assert AutoTokenizer.from_pretrained(tmp_path / folder).chat_template == PLAIN_TEMPLATE


@pytest.mark.parametrize("name", ["tinny", ".", "/a/b/c"])
def test_where_there_is_no_tokenizer_it_is_said_so(shipped: Path, name: str) -> None:
    with pytest.raises(GrowlmError, match=f"there is no tokenizer in '{name}': give a folder or a Hugging Face model"):
        load_tokenizer(name)


def test_a_hub_id_is_passed_on() -> None:
    assert find_base("org/model") == "org/model"


@pytest.mark.parametrize("name", ["tinny", "./nowhere", "/a/b/c"])
def test_an_unknown_base_lists_what_there_is(shipped: Path, name: str) -> None:
    with pytest.raises(GrowlmError, match=r"unknown base .*tiny"):
        find_base(name)


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GrowlmError, match=r"config\.json is missing"):
        find_base(tmp_path)


def test_damaged_weights_are_reported_in_one_line(shipped: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in (shipped / "tiny").iterdir():
        content = path.read_bytes()
        (broken / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
    with pytest.raises(GrowlmError, match="its base cannot be loaded") as caught:
        load_base(broken)
    assert "\n" not in str(caught.value)


def test_listing_the_shipped_bases_imports_no_torch(shipped: Path) -> None:
    code = "import sys; from growlm.base.load import shipped_bases; shipped_bases(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_base_of_another_kind_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bart", "vocab_size": 32}')
    with pytest.raises(
        GrowlmError, match="a base of type 'bart' is not supported: use a causal language model of text, such as one"
    ):
        load_base(tmp_path)


def test_weights_that_are_pickled_are_refused(tiny_bases: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bases["llama"], tmp_path / "base")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(GrowlmError, match=r"base has no \.safetensors file, and other weights are not read: load the"):
        load_base(folder)


def test_a_package_that_a_base_needs_is_named(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: object, **options: object) -> None:
        raise ImportError("Loading a GPTQ quantized model requires optimum")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", load)
    with pytest.raises(GrowlmError, match=r"requires optimum\); install that package, or take the base in full preci"):
        load_base("tiny")


@pytest.mark.parametrize(
    ("family", "old", "new", "said"),
    [
        ("llama", '"num_hidden_layers": 4', '"num_hidden_layers": 1000000000', "names 1000000000 layers"),
        ("llama", '"num_hidden_layers": 4', '"num_hidden_layers": 5', "tensors are missing, the first of them"),
        ("llama", '"hidden_act": "silu"', '"hidden_act": 3', "cannot be loaded"),
        ("gpt2", '"n_head": 4', '"n_head": -4', "cannot be loaded"),
    ],
)
def test_a_config_that_does_not_fit_the_files(
    tiny_bases: dict[str, Path], tmp_path: Path, family: str, old: str, new: str, said: str
) -> None:
    folder = shutil.copytree(tiny_bases[family], tmp_path / "base")
    config = (folder / "config.json").read_text()
    assert old in config
    (folder / "config.json").write_text(config.replace(old, new))
    with pytest.raises(GrowlmError, match=said):
        load_base(folder)
