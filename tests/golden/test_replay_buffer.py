"""The replay buffer: which examples are kept, and how they are stored."""

import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.files import read_tensors, write_tensors
from growlm.methods._replay_buffer import ReplayBuffer, Selection, equal_shares, reservoir
from tests.golden.conftest import encoded

# -- which examples are kept -------------------------------------------------------------------------------------------


class Scripted(random.Random):
    """Draws what it is given."""

    def __init__(self, *draws: int) -> None:
        super().__init__(0)
        self.draws = list(draws)
        self.limits: list[int] = []

    def randrange(self, stop: int) -> int:  # type: ignore[override]
        self.limits.append(stop)
        return self.draws.pop(0)


def test_algorithm_r_by_hand() -> None:
    # two places: a and b fill them, c (third) draws 1 and takes b's place, d (fourth) draws 3 and goes, e draws 0
    generator = Scripted(1, 3, 0)
    assert reservoir([], 0, "abcde", 2, generator) == ["e", "c"]
    assert generator.limits == [3, 4, 5]
    # going on counts on: the sixth item of all has one chance in six for each place
    generator = Scripted(1)
    assert reservoir(["e", "c"], 5, "f", 2, generator) == ["e", "f"]
    assert generator.limits == [6]


def test_each_example_is_kept_with_the_same_probability() -> None:
    trials, capacity, sizes = 4000, 5, (10, 3, 12)
    counts: Counter[tuple[int, int]] = Counter()
    pairs: Counter[bool] = Counter()
    for trial in range(trials):
        generator = random.Random(trial)
        kept: list[tuple[int, int]] = []
        for phase, size in enumerate(sizes):
            kept = reservoir(kept, sum(sizes[:phase]), [(phase, index) for index in range(size)], capacity, generator)
        assert len(set(kept)) == capacity
        counts.update(kept)
        pairs[(0, 0) in kept and (2, 11) in kept] += 1
    probability = capacity / sum(sizes)
    spread = math.sqrt(trials * probability * (1 - probability))
    assert len(counts) == sum(sizes)
    assert all(abs(count - trials * probability) < 4 * spread for count in counts.values())
    both = capacity * (capacity - 1) / (sum(sizes) * (sum(sizes) - 1))  # as in a sample without replacement
    assert abs(pairs[True] - trials * both) < 4 * math.sqrt(trials * both)


@pytest.mark.parametrize(
    ("available", "capacity", "shares"),
    [
        ([9, 9, 9], 9, [3, 3, 3]),
        ([9, 9, 9], 11, [3, 4, 4]),
        ([9, 1, 9], 9, [4, 1, 4]),
        ([2, 1, 3], 9, [2, 1, 3]),
        ([9, 9], 0, [0, 0]),
        ([], 5, []),
    ],
)
def test_equal_shares(available: list[int], capacity: int, shares: list[int]) -> None:
    assert equal_shares(available, capacity) == shares


def after_phases(
    sizes: tuple[int, ...], selection: Selection, capacity: int | None, share: float = 0.1
) -> ReplayBuffer:
    buffer = ReplayBuffer()
    for phase, size in enumerate(sizes):
        generator = random.Random(phase)
        buffer = buffer.after(encoded(phase, count=size), selection, share, capacity, generator)
    assert buffer.seen == sizes
    for owner, example in zip(buffer.owners, buffer.examples, strict=True):
        assert example in encoded(owner, count=sizes[owner])
    return buffer


def test_balanced_keeps_equally_many_of_every_phase() -> None:
    assert Counter(after_phases((200, 20, 60), "balanced", 30).owners) == {0: 10, 1: 10, 2: 10}
    assert Counter(after_phases((200, 4, 60), "balanced", 30).owners) == {0: 13, 1: 4, 2: 13}
    by_size = Counter(after_phases((2000, 200, 600), "reservoir", 280).owners)
    assert sum(by_size.values()) == 280
    assert by_size[0] > by_size[2] > by_size[1]


@pytest.mark.parametrize("selection", ["reservoir", "balanced"])
def test_without_a_capacity_the_share_of_every_phase_is_kept(selection: Selection) -> None:
    assert Counter(after_phases((30, 30, 30), selection, None).owners) == {0: 3, 1: 3, 2: 3}
    assert Counter(after_phases((30, 30), selection, None, share=0.001).owners) == {0: 1, 1: 1}


def test_a_smaller_capacity_than_before_is_kept_to() -> None:
    buffer = after_phases((30, 30), "reservoir", 20).after(encoded(2, 30), "reservoir", 0.1, 5, random.Random(0))
    assert len(buffer.examples) == 5


# -- how they are stored -----------------------------------------------------------------------------------------------


def test_what_was_written_is_read(tmp_path: Path) -> None:
    buffer = after_phases((30, 20), "reservoir", 12)
    write_tensors(tmp_path / "file.safetensors", buffer.to_tensors())
    read = ReplayBuffer.from_tensors(read_tensors(tmp_path / "file.safetensors"), 320, 256, "here")
    assert read.owners == buffer.owners
    assert read.seen == buffer.seen
    assert [(e.input_ids, e.trained) for e in read.examples] == [(e.input_ids, e.trained) for e in buffer.examples]
    assert len({len(example.input_ids) for example in read.examples}) > 1


def test_tensors_by_hand() -> None:
    buffer = ReplayBuffer((Encoded("a", (7, 8), (False, True)), Encoded("b", (9,), (True,))), (1, 0), (5, 6))
    written = {name: tensor.tolist() for name, tensor in buffer.to_tensors().items()}
    assert written == {
        "tokens": [7, 8, 9],
        "trained": [0, 1, 1],
        "offsets": [0, 2, 3],
        "owners": [1, 0],
        "seen": [5, 6],
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, "lack a list of integers 'tokens'"),
        ({"seen": torch.zeros(2)}, "lack a list of integers 'seen'"),
        ({"owners": torch.zeros(2, 1).long()}, "lack a list of integers 'owners'"),
        ({"owners": torch.tensor([0])}, "are lists of different lengths"),
        ({"trained": torch.tensor([0, 1])}, "are lists of different lengths"),
        ({"offsets": torch.tensor([], dtype=torch.int64)}, "are lists of different lengths"),
        ({"offsets": torch.tensor([0, 4, 3])}, "are not of 1 to 256 tokens each"),
        ({"offsets": torch.tensor([0, 2, 2**40])}, "are not of 1 to 256 tokens each"),
        ({"offsets": torch.tensor([1, 2, 3])}, "are not of 1 to 256 tokens each"),
        ({"tokens": torch.tensor([7, 8, 320])}, "hold a token that is none of the base's 320"),
        ({"tokens": torch.tensor([7, 8, -1])}, "hold a token that is none of the base's 320"),
        ({"trained": torch.tensor([0, 1, 2])}, "belong to no phase"),
        ({"owners": torch.tensor([0, 2])}, "belong to no phase"),
        ({"seen": torch.tensor([5, -6])}, "belong to no phase"),
    ],
)
def test_damaged_tensors_are_refused(changes: dict[str, torch.Tensor | None], message: str) -> None:
    buffer = ReplayBuffer((Encoded("a", (7, 8), (False, True)), Encoded("b", (9,), (True,))), (1, 0), (5, 6))
    tensors = {name: value for name, value in (buffer.to_tensors() | changes).items() if value is not None}
    with pytest.raises(GrowlmError, match=f"^module 'x': the examples kept for replay {message}: undo that module"):
        ReplayBuffer.from_tensors(tensors, 320, 256, "module 'x'")
