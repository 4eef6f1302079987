from collections import Counter

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from growlm.data.batches import IGNORED
from growlm.pretrain.pack import PackedRows
from growlm.pretrain.text import EncodedText

PAD = 5


def encoded(lengths: list[int], seed: int = 0) -> EncodedText:
    """Random documents of the given lengths, their start token included."""
    random = np.random.default_rng(seed)
    documents = [np.array([0, *random.integers(6, 64, n - 1)]) for n in lengths]
    tokens = np.concatenate([*documents, [0]]).astype(np.uint16)
    return EncodedText(tokens, np.cumsum([0, *lengths]), 4 * sum(lengths), "digest")


def rows_of(lengths: list[int], repeat: float = 1.0, seed: int = 0, row_length: int = 16, rows: int = 2) -> PackedRows:
    return PackedRows([encoded(lengths)], [repeat], row_length, rows, PAD, seed)


def test_an_epoch_trains_every_token_once() -> None:
    lengths = [3, 9, 16, 17, 40, 5]
    packed = rows_of(lengths, rows=1)
    packed.batch(0)
    labels = torch.cat([packed.batch(step).labels.flatten() for step in range(len(packed._rows))])
    tokens = encoded(lengths).tokens
    # what is predicted: all tokens but the first start token, ends included
    assert Counter(labels[labels != IGNORED].tolist()) == Counter(tokens[1:].tolist())


def test_the_order_is_a_function_of_seed_and_step() -> None:
    lengths = list(range(2, 16)) * 3
    one, two = rows_of(lengths), rows_of(lengths)
    steps = [7, 0, 30, 3, 30]
    for step in steps:
        assert torch.equal(one.batch(step).input_ids, two.batch(step).input_ids)
    fresh = rows_of(lengths)
    assert torch.equal(fresh.batch(30).input_ids, one.batch(30).input_ids)
    assert not torch.equal(rows_of(lengths, seed=1).batch(0).input_ids, one.batch(0).input_ids)


def test_a_fraction_takes_another_share_in_every_epoch() -> None:
    packed = rows_of([16] * 40, repeat=1.25)
    first, second = packed._pack_epoch(0), packed._pack_epoch(1)
    counts = [Counter(piece.start for row in rows for piece in row) for rows in (first, second)]
    assert [sum(count.values()) for count in counts] == [50, 50]
    assert counts[0] != counts[1]
    assert set(counts[0].values()) == {1, 2}


def test_packed_losses_equal_those_of_the_documents_alone() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        pad_token_id=PAD, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    lengths = [3, 7, 12, 5, 6, 14]
    batch = rows_of(lengths, rows=4).batch(0)
    with torch.no_grad():
        logits = model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
        text = encoded(lengths)
        alone = []
        for begin, end in zip(text.starts[:-1], text.starts[1:], strict=True):
            ids = torch.from_numpy(text.tokens[begin : end + 1].astype(np.int64))[None]
            alone.append(torch.nn.functional.cross_entropy(model(ids[:, :-1]).logits[0], ids[0, 1:], reduction="none"))
    packed = losses[batch.labels.flatten() != IGNORED].sort().values
    assert (batch.position_ids == 0).sum() > 4  # some row does hold several documents
    torch.testing.assert_close(packed, torch.cat(alone).sort().values, rtol=1e-5, atol=1e-5)


def test_a_document_longer_than_a_row_is_cut() -> None:
    packed = rows_of([40], rows=3)
    batch = packed.batch(0)
    kept = batch.labels != IGNORED
    assert kept.sum() == 40
    assert (batch.position_ids[:, 0] == 0).all()


@pytest.mark.parametrize("rows", [1, 4])
def test_shapes(rows: int) -> None:
    batch = rows_of([5] * 20, rows=rows).batch(1)
    assert batch.input_ids.shape == batch.labels.shape == batch.position_ids.shape == (rows, 16)
    assert batch.to(torch.device("cpu")).input_ids.dtype == torch.int64
