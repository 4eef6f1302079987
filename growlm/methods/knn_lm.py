"""kNN-LM: examples are written into a memory instead of weights, and read by the distance of their contexts.

Khandelwal et al. 2020 (arXiv 1911.00172). When a phase begins, the final hidden state before each trained token of its
examples, and the token, become an entry of the one memory of all skills; what the memory is: growlm/modules/nearest.py.
It has room for ``capacity``. Which of all tokens so far have a place is drawn by reservoir sampling (Vitter 1985):
each with the same probability. Steps train λ, the share of the memory in a prediction, and the temperature T, which the
paper chooses on validation data; T begins as the mean squared distance between an entry and the nearest other one.

No weight of the base or of a module changes, and an entry is forgotten only when it loses its place. Known to fail
where facts must be combined (Geng et al. 2024, arXiv 2408.11815).

Cost per step: forward through the path; when a phase begins, one forward pass over its examples. Kept: the numbers of
tokens and examples so far. Proved by tests/golden/test_knn_lm.py and tests/contracts/test_every_method.py.

Shapes: B batch, T tokens, E entries, D hidden.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from growlm.data.batches import StepBatches, collate, length_batches
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError
from growlm.methods._replay_buffer import reservoir
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.modules.nearest import NearestPart, nearest
from growlm.registry import module_kinds

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 32
_SAMPLED = 256
_SEEN = "seen"
_ROWS = "rows"


class KnnLm(VersionedMethod):
    """Writes the phase's examples into one memory, and trains how much it counts.

    Args:
        capacity: how many tokens the memory has room for.
        top_k: how many of the nearest entries are read for a prediction.
        weight: the share of the memory in a prediction at first, λ.
    """

    def __init__(self, capacity: int = 8192, top_k: int = 64, weight: float = 0.25) -> None:
        self.capacity = capacity
        self.top_k = top_k
        self.weight = weight
        self._seen = 0
        self._rows_read = 0
        self._rows_before = 0

    @property
    def extra_forward_rows(self) -> int:
        """How many examples were run to be written into the memory."""
        return self._rows_read

    @property
    def kept_rows(self) -> int:
        """How many examples the memory was written from; when it is full, fewer are left of them."""
        return self._rows_before + self._rows_read

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a memory."""
        options = {"capacity": self.capacity, "top_k": self.top_k, "weight": self.weight}
        return {"nearest": module_kinds.build("nearest", options)}

    @torch.no_grad()
    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Write the examples into the memory.

        Raises:
            GrowlmError: if the last version does not keep how many tokens there were.
        """
        (part,) = stack.parts(name, NearestPart).values()
        last = self.continues(stack)
        if last is not None:
            kept = stack.method_tensors(last)
            if _SEEN not in kept:
                raise GrowlmError(f"module {last!r} keeps no count of knn_lm: undo the module and grow it again")
            self._seen = int(kept[_SEEN])
            self._rows_before = int(kept.get(_ROWS, 0))
        keys_ED, tokens_E = part.entries()
        new = [
            (number, position)
            for number, example in enumerate(batches.examples)
            for position, is_trained in enumerate(example.trained)
            if is_trained and position
        ]
        # entries are numbered: first those there are, then the new ones
        generator = random.Random(f"knn_lm/{batches.seed}/{self._seen}")
        old, numbers = range(len(tokens_E)), range(len(tokens_E), len(tokens_E) + len(new))
        chosen = reservoir(old, self._seen, numbers, self.capacity, generator)
        self._seen += len(new)
        written = {number: new[number - len(tokens_E)] for number in chosen if number >= len(tokens_E)}
        found = self._read(stack, batches.examples, list(written.values()))
        keys = [found[written[number]] if number in written else keys_ED[number] for number in chosen]
        tokens = [
            batches.examples[written[number][0]].input_ids[written[number][1]]
            if number in written
            else int(tokens_E[number])
            for number in chosen
        ]
        part.write(torch.stack(keys), torch.tensor(tokens, device=stack.device))
        if last is None:
            part.temperature.copy_(_spacing(part).log())

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return λ and T."""
        own = stack.module_parameters(name)
        return [parameter for key, parameter in own.items() if key.endswith((".weight", ".temperature"))]

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Keep how many tokens and examples there were so far."""
        return {_SEEN: torch.tensor(self._seen), _ROWS: torch.tensor(self.kept_rows)}

    def _read(
        self, stack: "ModuleStack", examples: Sequence[Encoded], places: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], Tensor]:
        """Compute the final hidden states before some tokens, [D] each, by example and position."""
        positions: dict[int, list[int]] = defaultdict(list)
        for number, position in places:
            positions[number].append(position)
        wanted = list(positions)
        self._rows_read = len(wanted)
        found: dict[tuple[int, int], Tensor] = {}
        for rows in length_batches([len(examples[number].input_ids) for number in wanted], _BATCH):
            numbers = [wanted[row] for row in rows]
            batch = collate([examples[number] for number in numbers], stack.pad_id).to(stack.device)
            hidden_BTD = stack.hidden_states(batch.input_ids).float()
            for number, hidden_TD in zip(numbers, hidden_BTD, strict=True):
                found |= {(number, position): hidden_TD[position - 1] for position in positions[number]}
        return found


def _spacing(part: NearestPart) -> Tensor:
    """Compute the mean squared distance between an entry and the nearest other one, [1]."""
    keys_ED, _ = part.entries()
    distances_EK, _ = nearest(keys_ED[:_SAMPLED], keys_ED, 2)
    return distances_EK[:, -1].mean().clamp_min(torch.finfo(torch.float32).eps)[None]
