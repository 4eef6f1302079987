import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from growlm.base.tokenizer import train_tokenizer
from growlm.errors import GrowlmError
from growlm.metrics.blimp import blimp
from growlm.metrics.likelihood import Window, window_nats

GOOD, BAD = "the cat sits", "the cat sit"


class Frequencies(nn.Module):
    """A model that knows how often each token comes, whatever is before it."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, liked: str) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(len(tokenizer)))
        with torch.no_grad():
            self.logits[tokenizer(liked)["input_ids"]] += 10

    def forward(self, input_ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([GOOD, BAD] * 5, vocab_size=320)


def write(folder: Path, name: str, term: str, pairs: list[tuple[str, str]]) -> None:
    rows = [{"sentence_good": good, "sentence_bad": bad, "linguistics_term": term} for good, bad in pairs]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_accuracies_by_file_and_phenomenon(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    write(tmp_path, "a", "agreement", [(GOOD, BAD), (GOOD, BAD), (BAD, GOOD)])
    write(tmp_path, "b", "agreement", [(BAD, GOOD)])
    write(tmp_path, "c", "islands", [(GOOD, GOOD)])
    shares: list[float] = []
    model = Frequencies(tokenizer, liked=GOOD).train()
    measured = blimp(model, tokenizer, tmp_path, batch_size=2, progress=shares.append)
    assert measured.files == {"a": pytest.approx(2 / 3), "b": 0, "c": 0}  # a tie is wrong
    assert measured.phenomena == {"agreement": pytest.approx(1 / 3), "islands": 0}
    assert measured.accuracy == pytest.approx(2 / 9)
    assert measured.pairs == 5
    assert shares[-1] == 1
    assert model.training
    assert blimp(model, tokenizer, tmp_path, limit=1).files["a"] == 1


def test_scores_are_total_log_probabilities(tokenizer: PreTrainedTokenizerFast) -> None:
    model = nn.Module()
    model.p = nn.Parameter(torch.zeros(1))
    probabilities = torch.tensor([0.5, 0.25, 0.25])
    model.forward = lambda input_ids: SimpleNamespace(logits=probabilities.log().expand(*input_ids.shape, -1))
    nats = window_nats(model, [Window([0, 1, 2, 0]), Window([0, 1, 2, 0], first=3), Window([0, 2])])
    assert nats == pytest.approx([math.log(32), math.log(2), math.log(4)])


def test_an_empty_folder_or_a_malformed_file_is_named(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = Frequencies(tokenizer, liked=GOOD)
    with pytest.raises(GrowlmError, match=r"holds no \.jsonl file"):
        blimp(model, tokenizer, tmp_path)
    (tmp_path / "a.jsonl").write_text('{"sentence_good": "x"}\n')
    with pytest.raises(GrowlmError, match=r"a\.jsonl, line 1: no minimal pair"):
        blimp(model, tokenizer, tmp_path)
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(GrowlmError, match=r"a\.jsonl holds no pair"):
        blimp(model, tokenizer, tmp_path)
