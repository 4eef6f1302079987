from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from growlm.base.tokenizer import train_tokenizer
from growlm.metrics.consistency import consistency
from growlm.tinyworld.consistency import PROBES, consistency_probes

PROBE_LIST = list(consistency_probes(50))


class Uniform(nn.Module):
    """Finds every token equally likely, so that only the number of tokens tells two texts apart."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, input_ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.weight.expand(*input_ids.shape, -1))


def test_the_probes_are_the_same_every_time() -> None:
    assert list(consistency_probes(50)) == PROBE_LIST
    assert list(consistency_probes(50, seed=1)) != PROBE_LIST
    assert [probe.sort for probe in PROBE_LIST] == [sort for sort in PROBES for _ in range(50)]


def test_more_probes_keep_the_first_ones() -> None:
    few = list(consistency_probes(3))
    assert [probe for number, probe in enumerate(PROBE_LIST) if number % 50 < 3] == few


@pytest.mark.parametrize("sort", ["color", "container", "holder", "owner", "place", "speaker"])
def test_both_endings_name_what_the_story_named(sort: str) -> None:
    probes = [probe for probe in PROBE_LIST if probe.sort == sort]
    later = 0
    for probe in probes:
        right, wrong = probe.right.strip(" ."), probe.wrong.strip(" .")
        assert right != wrong
        last_right, last_wrong = probe.context.rfind(right), probe.context.rfind(wrong)
        assert min(last_right, last_wrong) >= 0
        later += last_right > last_wrong
    # what was named last is right about as often as not; of a speaker, who is called is always named last
    assert sort == "speaker" or 0.2 < later / len(probes) < 0.8


def test_truth_is_what_was_told() -> None:
    for probe in PROBE_LIST:
        if probe.sort == "holder":
            giver, taker = probe.context.split(" were friends.")[0].split(" and ")
            assert (probe.right, probe.wrong) == (f" {taker}.", f" {giver}.")
        if probe.sort == "pronoun":
            assert probe.right.split()[0] == ("she" if " girl " in probe.context else "he")


def test_a_tie_is_wrong_and_chance_is_a_half() -> None:
    tokenizer = train_tokenizer([probe.context for probe in PROBE_LIST], vocab_size=400)
    model = Uniform(len(tokenizer)).train()
    shares: list[float] = []
    measured = consistency(model, tokenizer, per_sort=5, progress=shares.append)
    assert measured.probes == 5 * len(PROBES)
    assert set(measured.sorts) == set(PROBES)
    assert measured.accuracy == pytest.approx(sum(measured.sorts.values()) / len(PROBES))
    assert shares[-1] == 1
    assert model.training
    # endings of as many tokens are ties
    for sort, share in measured.sorts.items():
        probes = [probe for probe in consistency_probes(5) if probe.sort == sort]
        lengths = [
            [len(tokenizer(probe.context + end)["input_ids"]) for end in (probe.right, probe.wrong)] for probe in probes
        ]
        assert share == sum(right < wrong for right, wrong in lengths) / len(probes)
