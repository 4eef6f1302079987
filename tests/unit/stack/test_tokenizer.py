"""The tokenizer of a stack: with the base, somewhere else, or not the base's at all."""

import shutil
from pathlib import Path

import pytest
import transformers as hf

from growlm.base.tokenizer import train_tokenizer
from growlm.errors import GrowlmError
from growlm.modules.lora import Lora
from growlm.stack.stack import ModuleStack
from tests.conftest import SENTENCE
from tests.contracts.conftest import grown


@pytest.fixture
def bare(tiny_bases: dict[str, Path], tmp_path: Path) -> Path:
    """Copy a base without its tokenizer."""
    folder = tmp_path / "bare"
    shutil.copytree(tiny_bases["llama"], folder, ignore=shutil.ignore_patterns("tokenizer*", "chat_template*"))
    return folder


def test_a_base_without_a_tokenizer_says_so_and_takes_one(
    bare: Path, tiny_bases: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(GrowlmError, match=r"bare has no tokenizer: name a folder or model id .* with --tokenizer"):
        assert ModuleStack.from_base(str(bare)).tokenizer
    alone = tmp_path / "alone"
    hf.AutoTokenizer.from_pretrained(tiny_bases["llama"]).save_pretrained(alone)
    stack = ModuleStack.from_base(str(bare), tokenizer=str(alone))
    grown(stack, "first", {"lora": Lora(rank=2)})
    stack.save_pretrained(tmp_path / "stack")
    loaded = ModuleStack.from_pretrained(tmp_path / "stack")
    assert loaded.tokenizer("the cat").input_ids == stack.tokenizer("the cat").input_ids
    shutil.move(alone, tmp_path / "moved")
    moved = ModuleStack.from_pretrained(tmp_path / "stack", tokenizer=str(tmp_path / "moved"))
    assert moved.tokenizer("the cat").input_ids == stack.tokenizer("the cat").input_ids


def test_a_tokenizer_with_more_entries_than_the_embedding_is_refused(bare: Path) -> None:
    tokenizer = train_tokenizer([SENTENCE] * 4, vocab_size=320)
    tokenizer.add_tokens([f"word{number}" for number in range(9)])
    tokenizer.save_pretrained(bare)
    with pytest.raises(GrowlmError, match=r"has [0-9]+ entries and the base's embedding [0-9]+ rows: give the tokeniz"):
        assert ModuleStack.from_base(str(bare)).tokenizer
