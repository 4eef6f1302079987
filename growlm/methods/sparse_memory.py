"""Sparse memory finetuning: a skill is written into the few rows of a memory that its own inputs use most.

Lin et al. 2025 (arXiv 2510.15103). With tf(i) how often the phase's inputs read row i, B background batches and df(i)
the number of them that read it, the ``num_rows`` rows of the greatest

    tf(i) · log((B + 1) / (df(i) + 1))

have their values trained, and nothing else is: rows that are read by everything, whatever the skill, stay as they are.
What the memory is: growlm/modules/memory.py. What a token reads never changes, as queries and keys stay random.

What differs: the paper's memory is pretrained and its background is pretraining data; here the background is
``num_texts`` texts that the base writes from its start token, and the examples of earlier phases, of which only df and
B are kept. Each text and each example is a batch. The paper trains with SGD, since the momentum of Adam moves rows that
have no gradient; here every phase has a new optimizer and a row that is not chosen never has a gradient, so that Adam
does not move it either.

Cost per step: forward through the path, backward down to the memory; when a phase begins, one forward pass over its
examples. Kept: two numbers for each row. Proved by tests/golden/test_sparse_memory.py and
tests/contracts/test_every_method.py.

Shapes: M rows, N examples.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from growlm.data.batches import StepBatches, collate, length_batches
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError, check_at_least
from growlm.methods._sampling import sample_texts
from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.modules.memory import MemoryPart
from growlm.registry import module_kinds

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 32
_SEEN, _TOTAL = "seen/", "total"


def row_scores(reads_M: Tensor, seen_M: Tensor, total: int) -> Tensor:
    """Compute tf · log((B + 1) / (df + 1)), [M].

    Args:
        reads_M: tf, how often the phase's inputs read each row.
        seen_M: df, how many background batches read it.
        total: B, how many there are.
    """
    return reads_M * ((total + 1) / (seen_M + 1)).log()


class SparseMemory(VersionedMethod):
    """Continues training one memory, in every phase only the rows that its inputs use and little else does.

    Args:
        num_rows: how many rows a phase trains.
        num_keys: keys of each half; the memory has their square of rows.
        top_k: how many rows a token reads.
        num_texts: texts that the base writes as a background, once.
        length: tokens of each text.
        layers: indices of the decoder layers with a memory behind them; None: the middle one.
    """

    def __init__(
        self,
        num_rows: int = 500,
        num_keys: int = 32,
        top_k: int = 8,
        num_texts: int = 64,
        length: int = 64,
        layers: list[int] | None = None,
    ) -> None:
        for option, value, least in (("num_rows", num_rows, 1), ("num_texts", num_texts, 0), ("length", length, 2)):
            check_at_least(f"sparse_memory {option}", value, least)
        self.num_rows = num_rows
        self.num_keys = num_keys
        self.top_k = top_k
        self.num_texts = num_texts
        self.length = length
        self.layers = layers
        self._memories: dict[str, MemoryPart] = {}
        self._seen: dict[str, Tensor] = {}
        self._total = 0
        self._chosen: dict[str, Tensor] = {}

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a memory."""
        options = {"num_keys": self.num_keys, "top_k": self.top_k, "layers": self.layers}
        return {"memory": module_kinds.build("memory", options)}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Choose the rows that are trained.

        Raises:
            GrowlmError: if the last version does not keep what has read its rows.
        """
        self._memories = own = stack.parts(name, MemoryPart)
        last = self.continues(stack)
        if last is None:
            texts = sample_texts(
                stack, stack.parents()[name], self.num_texts, f"sparse_memory/{batches.seed}", self.length
            )
            _, self._seen = self._count(stack, texts)
            self._total = len(texts)
        else:
            kept = stack.method_tensors(last)
            if _TOTAL not in kept or any(_SEEN + path not in kept for path in own):
                raise GrowlmError(
                    f"module {last!r} keeps no counts of sparse_memory: undo the module and grow it again"
                )
            self._seen, self._total = {path: kept[_SEEN + path] for path in own}, int(kept[_TOTAL])
        reads, seen = self._count(stack, batches.examples)
        for path, part in own.items():
            scores_M = row_scores(reads[path], self._seen[path], self._total)
            chosen_M = torch.zeros(len(scores_M), 1)
            chosen_M[scores_M.topk(min(self.num_rows, len(scores_M))).indices] = 1
            self._chosen[path] = chosen_M.to(part.values)
        self._seen = {path: self._seen[path] + seen[path] for path in own}
        self._total += len(batches.examples)

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return the values."""
        own = stack.module_parameters(name)
        return [parameter for key, parameter in own.items() if key.endswith(".values")]

    def after_backward(self) -> None:
        """Leave a gradient to the chosen rows alone."""
        for path, part in self._memories.items():
            assert part.values.grad is not None
            part.values.grad *= self._chosen[path].to(part.values.grad)

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Keep how many texts and examples have read each row."""
        return {**{_SEEN + path: seen for path, seen in self._seen.items()}, _TOTAL: torch.tensor(self._total)}

    @torch.no_grad()
    def _count(self, stack: "ModuleStack", examples: Sequence[Encoded]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Count how often each row is read, and by how many of the examples, by site, [M] each."""
        reads = {path: torch.zeros(len(part.values)) for path, part in self._memories.items()}
        seen = {path: torch.zeros(len(part.values)) for path, part in self._memories.items()}
        lengths = [len(example.input_ids) for example in examples]
        lengths_now: list[int] = []

        def note(path: str, part: MemoryPart, hidden_BTD: Tensor) -> None:
            rows_BTK, _ = part.read(hidden_BTD)
            for rows_TK, length in zip(rows_BTK.cpu(), lengths_now, strict=True):
                counts_M = rows_TK[:length].flatten().bincount(minlength=len(part.values))
                reads[path] += counts_M
                seen[path] += counts_M > 0

        hooks = [
            part.register_forward_pre_hook(lambda _, inputs, path=path, part=part: note(path, part, inputs[1]))
            for path, part in self._memories.items()
        ]
        for numbers in length_batches(lengths, _BATCH):
            lengths_now[:] = [lengths[number] for number in numbers]
            batch = collate([examples[number] for number in numbers], stack.pad_id).to(stack.device)
            stack.hidden_states(batch.input_ids)
        for hook in hooks:
            hook.remove()
        return reads, seen
