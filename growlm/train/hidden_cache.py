"""Hidden states where a module begins, computed once for every training example and read back in later epochs.

Layers below a module's first one are frozen, so what they compute of an example never changes. The states are kept in
bf16 in a memory map beside the state of the unfinished phase; the phase trains on the rounded ones from the start, so
it is the same whether they were computed now or read.

Examples are computed in groups that do not depend on the step that asks: the batches of the first epoch. So a lost or
damaged file costs time and changes no bit.
"""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from growlm.data.batches import Batch, StepBatches
from growlm.files import require_disk_space
from growlm.stack.layer_split import LayerSplit

STATES_FILE, CHECKSUMS_FILE = "hidden-states.bin", "hidden-states.crc"


class HiddenCache:
    """The hidden states that enter a module's lowest layer, of every token of the training examples.

    Args:
        split: runs the layers below and above.
        batches: the phase's batches.
        width: dims of a hidden state, D.
        folder: where the files are kept.

    Raises:
        GrowlmError: if the disk has no room for them.
    """

    def __init__(self, split: LayerSplit, batches: StepBatches, width: int, folder: Path) -> None:
        self._split = split
        self._batches = batches
        grouped = batches.epoch_order(0)
        left = set(range(len(batches.examples))).difference(*grouped)
        self._groups = [*grouped, sorted(left)] if left else grouped
        self._group_of = {row: number for number, group in enumerate(self._groups) for row in group}
        self._valid: set[int] = set()
        self._states_ND = _mapped(folder / STATES_FILE, torch.bfloat16, batches.num_tokens, width)
        self._checksums_G = _mapped(folder / CHECKSUMS_FILE, torch.int64, len(self._groups))

    @contextmanager
    def reading(self, batch: Batch) -> Iterator[None]:
        """Run the layers above alone, on the cached hidden states of a batch, for a ``with`` block.

        Args:
            batch: a batch of the phase, as ``StepBatches`` makes it.
        """
        assert batch.token_numbers is not None
        numbers_BT = batch.token_numbers.cpu()
        for group in sorted({self._group_of[row] for row in self._batches.rows_with(numbers_BT)} - self._valid):
            self._require(group, batch.input_ids.device)
        # padding reaches no token and is not learned, whatever its states are
        hidden_BTD = self._states_ND[numbers_BT.clamp(min=0)]
        with self._split.above(hidden_BTD.to(batch.input_ids.device, self._split.dtype)):
            yield

    def _require(self, group: int, device: torch.device) -> None:
        """Compute a group's hidden states, unless they are there and whole."""
        rows = self._groups[group]
        tokens_N = self._batches.tokens_of(rows)
        if self._checksums_G[group] != self._checksum(tokens_N):
            batch = self._batches.of_rows(rows).to(device)
            assert batch.token_numbers is not None
            hidden_BTD = self._split.hidden_below(batch.input_ids, batch.position_ids)
            is_token_BT = batch.token_numbers >= 0
            self._states_ND[batch.token_numbers[is_token_BT]] = hidden_BTD.cpu()[is_token_BT].bfloat16()
            self._checksums_G[group] = self._checksum(tokens_N)
        self._valid.add(group)

    def _checksum(self, tokens_N: Tensor) -> int:
        """Compute a checksum of some tokens' hidden states; never the 0 of a group that was not computed."""
        return zlib.crc32(self._states_ND[tokens_N].view(torch.int16).numpy().data) + 1


def _mapped(file: Path, dtype: torch.dtype, *shape: int) -> Tensor:
    """Map a file, or zeros where there is none of that size."""
    size = math.prod(shape)
    if not file.is_file() or file.stat().st_size != size * dtype.itemsize:
        file.unlink(missing_ok=True)
        require_disk_space(file.parent, size * dtype.itemsize)
        with file.open("xb") as handle:
            handle.truncate(size * dtype.itemsize)
    return torch.from_file(str(file), shared=True, size=size, dtype=dtype).view(shape)
