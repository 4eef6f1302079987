"""Counts of a training on several processes, as each of them adds them up."""

from types import SimpleNamespace
from typing import Any

import torch

from growlm.train.processes import OtherProcesses


def method(replayed_rows: int = 0, extra_forward_rows: int = 0) -> Any:
    return SimpleNamespace(replayed_rows=replayed_rows, extra_forward_rows=extra_forward_rows)


def trainer(*others: list[int]) -> Any:
    """A trainer whose other processes add these counts to what this one gives."""

    def reduce(counts: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        return counts + sum(torch.tensor(other) for other in others)

    return SimpleNamespace(strategy=SimpleNamespace(root_device="cpu", reduce=reduce))


NAMES = ("tokens", "rows", "replayed_rows", "extra_forward_rows")


def test_the_others_are_added_up() -> None:
    counts = OtherProcesses()
    assert counts.ask(trainer([30, 3, 1, 0], [20, 2, 0, 5]), method(7, 7), 100, 10) == dict(
        zip(NAMES, (50, 5, 1, 5), strict=True)
    )
    assert counts.ask(trainer([0, 0, 0, 0]), method(7, 7), 100, 10) == dict.fromkeys(NAMES, 0)


def test_after_an_interruption_each_adds_what_it_counted_since() -> None:
    saved = dict(zip(NAMES, (30, 3, 1, 0), strict=True))
    first, second = OtherProcesses(), OtherProcesses()
    for process in (first, second):  # both begin with the counts of the first
        process.restore(saved, method(2, 0), 100, 10)
    # since then the first counted 40 tokens in 4 rows, one replayed, the second 25 in 2, none replayed
    given: list[list[int]] = []
    listener = trainer([0, 0, 0, 0])
    listener.strategy.reduce = lambda counts, reduce_op: given.append(counts.tolist()) or counts
    second.ask(listener, method(2, 0), 125, 12)
    assert given == [[25, 2, 0, 0]]
    assert first.ask(trainer(given[0]), method(3, 0), 140, 14) == dict(zip(NAMES, (55, 5, 1, 0), strict=True))
    assert first.counts["tokens"] + 140 == 100 + 30 + 40 + 25
