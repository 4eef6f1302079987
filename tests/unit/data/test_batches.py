"""Batches in an order that is a function of seed and step alone."""

import random
from itertools import chain, pairwise

import pytest
import torch

from growlm.data.batches import (
    IGNORED,
    Batch,
    StepBatches,
    best_fit,
    collate,
    join,
    length_batches,
    pack,
    padded,
)
from growlm.data.encode import Encoded

EXAMPLES = [
    Encoded(f"x:{index}", (*range(10, 12 + index % 7), 100 + index), (False,) * (2 + index % 7) + (True,))
    for index in range(50)
]


def batches(batch_size: int = 8, seed: int = 0, rank: int = 0, world_size: int = 1) -> StepBatches:
    return StepBatches(EXAMPLES, batch_size, seed, pad_id=5).split(rank, world_size)


def seen(of: StepBatches, steps: range) -> list[list[int]]:
    """Return, for each step, which examples its batch holds, known by their last tokens."""
    return [(of(step).labels.amax(1) - 100).tolist() for step in steps]


def flat(rows: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(rows))


def test_collating_pads_on_the_right() -> None:
    batch = collate([Encoded("a", (7, 8, 9), (False, True, True)), Encoded("b", (6,), (True,))], pad_id=5)
    assert batch.input_ids.tolist() == [[7, 8, 9], [6, 5, 5]]
    assert batch.labels.tolist() == [[IGNORED, 8, 9], [6, IGNORED, IGNORED]]
    moved = batch.to(torch.device("meta"))
    assert moved.input_ids.is_meta
    assert moved.labels.is_meta


@pytest.mark.parametrize("first", [0, 1, 2])
def test_joined_batches_are_padded_as_one_is(first: int) -> None:
    examples = [EXAMPLES[2], EXAMPLES[6], EXAMPLES[3]]  # the longest on either side, or alone
    head, tail = examples[: first + 1], examples[first + 1 :] or [EXAMPLES[0]]
    joined, whole = join(collate(head, 5), collate(tail, 5), 5), collate([*head, *tail], 5)
    assert isinstance(joined, Batch)
    assert torch.equal(joined.input_ids, whole.input_ids)
    assert torch.equal(joined.labels, whole.labels)


def test_every_example_comes_once_in_an_epoch() -> None:
    for batch_size in (1, 2, 5, 10, 50):
        steps = 50 // batch_size
        for epoch in (0, 1):
            rows = seen(batches(batch_size), range(epoch * steps, (epoch + 1) * steps))
            assert sorted(flat(rows)) == list(range(50))


def test_a_remainder_is_left_out_another_each_epoch() -> None:
    epochs = [flat(seen(batches(8), range(6 * epoch, 6 * epoch + 6))) for epoch in range(20)]
    assert all(len(rows) == len(set(rows)) == 48 for rows in epochs)
    assert set.union(*map(set, epochs)) == set(range(50))
    assert len({frozenset(rows) for rows in epochs}) > 1


def test_fewer_examples_than_a_batch() -> None:
    few = StepBatches(EXAMPLES[:3], 8, 0, 5)
    assert [len(few(step).input_ids) for step in range(4)] == [3] * 4


def test_the_order_is_a_function_of_seed_and_step() -> None:
    forward = seen(batches(), range(30))
    backward_batches = batches()
    backward = [seen(backward_batches, range(step, step + 1))[0] for step in reversed(range(30))]
    assert backward[::-1] == forward
    assert seen(batches(), range(17, 18))[0] == forward[17]
    assert seen(batches(seed=1), range(30)) != forward
    assert forward[:6] != forward[6:12]


def test_the_order_does_not_depend_on_the_global_random_state() -> None:
    import random

    random.seed(1)
    first = seen(batches(), range(6))
    random.seed(2)
    assert seen(batches(), range(6)) == first


TASKS = [
    Encoded(f"x:{index}", (*range(9), 100 + index), (False,) * (9 - index % 8) + (True,) * (1 + index % 8))
    for index in range(800)
]
"""Examples of one length, of which one to eight tokens are trained."""


def first_epoch(curriculum: float) -> list[int]:
    order = StepBatches(TASKS, 4, 0, 5, curriculum=curriculum).epoch_order(0)
    assert sorted(flat(order)) == list(range(800))
    return [1 + index % 8 for index in flat(order)]


def test_a_curriculum_begins_with_short_answers_and_ends_with_long_ones() -> None:
    whole = first_epoch(1.0)
    means = [sum(whole[begin : begin + 64]) / 64 for begin in range(0, 768, 64)]  # windows, each in random order
    assert means == sorted(means)
    assert (means[0], whole[-1]) == (1.0, 8)
    sums = {share: [sum(first_epoch(share)[begin : begin + 200]) for begin in (0, 600)] for share in (0.0, 0.5)}
    assert abs(sums[0.0][1] - sums[0.0][0]) < 150 < 400 < sums[0.5][1] - sums[0.5][0] < 1200


def test_a_curriculum_ends_with_the_first_epoch() -> None:
    plain, eased = (StepBatches(TASKS, 4, 0, 5, curriculum=share) for share in (0.0, 1.0))
    assert plain.epoch_order(0) != eased.epoch_order(0)
    assert plain.epoch_order(1) == eased.epoch_order(1)
    assert eased.split(0, 2).epoch_order(0) == eased.epoch_order(0)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_each_batch(world_size: int) -> None:
    whole = seen(batches(), range(12))
    shares = [seen(batches(rank=rank, world_size=world_size), range(12)) for rank in range(world_size)]
    for step, rows in enumerate(whole):
        parts = [share[step] for share in shares]
        assert sorted(flat(parts)) == sorted(rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_like_lengths_share_a_batch() -> None:
    spread = []
    for step in range(6):
        lengths = [len(EXAMPLES[index].input_ids) for index in seen(batches(), range(step, step + 1))[0]]
        spread.append(max(lengths) - min(lengths))
    assert sum(spread) <= 12  # of 0 to 6 each; unsorted, nearly all would be 6


@pytest.mark.parametrize(("world_size", "per_step"), [(1, 3), (2, 1), (2, 2)])
def test_weights_make_the_average_a_mean_over_the_trained_tokens_of_a_step(world_size: int, per_step: int) -> None:
    """Losses of 1 to 50 for the examples: weighted means of all processes' batches against the mean of all tokens."""
    ranks = [StepBatches(EXAMPLES, 4, 0, 5).split(rank, world_size, per_step) for rank in range(world_size)]
    for step in range(5):
        parts = [of(step * per_step + number) for number in range(per_step) for of in ranks]
        trained = [part.labels[:, 1:] != IGNORED for part in parts]
        values = [(part.labels[:, 1:] * mask).float() for part, mask in zip(parts, trained, strict=True)]
        means = [
            part.weight * value.sum() / mask.sum() for part, value, mask in zip(parts, values, trained, strict=True)
        ]
        whole = sum(value.sum() for value in values) / sum(mask.sum() for mask in trained)
        assert sum(means) / len(parts) == pytest.approx(float(whole))


def test_a_single_batch_has_no_weight() -> None:
    assert StepBatches(EXAMPLES, 4, 0, 5).split(0, 1)(3).weight == 1.0


def test_rows_are_padded_on_either_side() -> None:
    tokens, mask = padded([[7, 8, 9], [5]], 1)
    assert tokens.tolist() == [[7, 8, 9], [5, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    tokens, mask = padded([[7, 8, 9], [5]], 1, left=True)
    assert tokens.tolist() == [[7, 8, 9], [1, 1, 5]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_batches_of_like_length() -> None:
    assert list(length_batches([3, 1, 2, 1], 3)) == [[1, 3, 2], [0]]
    assert list(length_batches([3, 1, 2, 1], 3, longest_first=True)) == [[0, 2, 1], [3]]
    assert list(length_batches([], 3)) == []


def test_a_batch_counts_its_real_tokens() -> None:
    long, short = (Encoded("", (1,) * size, (True,) * size) for size in (5, 2))
    batch = collate([long, short], 0)
    assert (batch.input_ids.numel(), batch.num_tokens) == (10, 7)
    assert join(batch, collate([short], 0), 0).num_tokens == 9


def test_packed_examples_keep_their_tokens_labels_and_positions() -> None:
    batch = pack(EXAMPLES[:9], 5, row_length=32)
    assert batch.position_ids is not None
    assert (batch.num_tokens, batch.num_examples) == (sum(len(e.input_ids) for e in EXAMPLES[:9]), 9)
    assert batch.input_ids.shape[1] == 32
    found = []
    for ids, labels, positions in zip(batch.input_ids, batch.labels, batch.position_ids, strict=True):
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(ids)]
        for begin, end in pairwise(starts):
            assert positions[begin:end].tolist() == list(range(end - begin))
            found.append((tuple(ids[begin:end].tolist()), tuple((labels[begin:end] != IGNORED).tolist())))
    assert set(found) >= {(example.input_ids, example.trained) for example in EXAMPLES[:9]}
    assert all(set(ids) == {5} for ids, _ in set(found) - {(e.input_ids, e.trained) for e in EXAMPLES[:9]})


def test_packed_rows_are_nearly_full() -> None:
    lengths = [len(example.input_ids) for example in EXAMPLES]
    batch = pack(EXAMPLES, 5, row_length=64)
    assert batch.input_ids.numel() <= 1.1 * sum(lengths)


def test_best_fit_fills_the_row_with_the_least_room() -> None:
    assert best_fit([3, 7, 5, 2, 3], 10) == [[1, 0], [2, 4, 3]]
    assert best_fit([], 4) == []


def test_best_fit_overflows_no_row_and_wastes_little() -> None:
    drawn = random.Random(0)
    lengths = [drawn.randrange(1, 60) for _ in range(2_000)]
    rows = best_fit(lengths, 64)
    assert sorted(index for row in rows for index in row) == list(range(2_000))
    assert all(sum(lengths[index] for index in row) <= 64 for row in rows)
    assert sum(lengths) / (64 * len(rows)) > 0.97
