"""What is found out about a phase before it begins."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from growlm.base.embedding_rows import describe_twins
from growlm.errors import GrowlmError
from growlm.train.phase import GrowPhase
from growlm.train.prepare import PHASE_FILE, Prepared, prepare
from growlm.train.score_cache import ScoreCache

ANSWERS = "12"


@pytest.fixture
def base(tiny_bases: dict[str, Path], tmp_path: Path) -> Path:
    """A base in which the tokens ``1`` and ``2`` are one vector, and so are two that no answer uses."""
    folder = tmp_path / "base"
    shutil.copytree(tiny_bases["llama"], folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        for one, other in (ANSWERS, "ab"):
            weight[tokenizer.convert_tokens_to_ids(other)] = 2 * weight[tokenizer.convert_tokens_to_ids(one)]
    model.save_pretrained(folder)
    return folder


def prepared(base: Path, folder: Path, module: dict[str, Any]) -> Prepared:
    rows = [{"prompt": f"hello {i}", "completion": ANSWERS[i % 2]} for i in range(40)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stories.txt").write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))
    options = {"base": str(base), "num_scored": 2, "parents": "none", "method_options": {"module": module}}
    options["stories"] = str(folder / "stories.txt")
    (folder / "stack").mkdir()
    phase = GrowPhase(str(folder / "rows.jsonl"), stack=folder / "stack", **options)
    return prepare(phase.config, {"steps": 1}, ScoreCache())


def test_answers_that_a_frozen_head_cannot_tell_apart_are_found(base: Path, tmp_path: Path) -> None:
    phase = prepared(base, tmp_path, {"lora": {"rank": 2}, "embedding": {"rank": 2}})
    assert describe_twins(phase.stack.tokenizer, phase.answer_twins) == "'1' '2'"


def test_a_module_that_changes_the_head_can_tell_them_apart(base: Path, tmp_path: Path) -> None:
    assert prepared(base, tmp_path, {"embedding": {"rank": 2, "outputs": True}}).answer_twins == []


def test_a_damaged_record_of_an_unfinished_phase_is_refused(base: Path, tmp_path: Path) -> None:
    begun = prepared(base, tmp_path, {"lora": {"rank": 1}})
    record = begun.config.stack / ".work" / PHASE_FILE
    assert json.loads(record.read_text())["settings"]
    for content in ([], {"settings": "x"}):
        record.write_text(json.dumps(content))
        with pytest.raises(GrowlmError, match=r"is not the record of an unfinished phase.*--restart true"):
            prepare(begun.config, {"steps": 1}, ScoreCache())
