"""Story consistency: of two endings of a little story, is the one that agrees with it the likelier one?

Both endings follow the same words, so that comparing the total log-probabilities of the two texts compares those of
the endings.
A tie counts as wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from growlm.metrics.likelihood import text_nats
from growlm.tinyworld.consistency import PROBES, Probe, consistency_probes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PER_SORT = 200


@dataclass(frozen=True)
class Consistency:
    """Accuracy of one model.

    Args:
        accuracy: mean over the sorts; 0.5 is chance.
        sorts: share of probes decided rightly, by what has to be kept in mind.
        probes: number of probes.
    """

    accuracy: float
    sorts: dict[str, float]
    probes: int


def consistency(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    per_sort: int = PER_SORT,
    progress: Callable[[float], None] | None = None,
) -> Consistency:
    """Measure a causal language model on TinyWorld's probes.

    Args:
        model: any causal language model whose output has ``logits``.
        tokenizer: its tokenizer.
        per_sort: probes of each sort.
        progress: called with the share that is done.

    Returns:
        The accuracies.
    """
    training = model.training
    model.eval()
    probes = list(consistency_probes(per_sort))
    sorts: dict[str, float] = {}
    for number, sort in enumerate(PROBES, 1):
        decided = decisions(model, tokenizer, [probe for probe in probes if probe.sort == sort])
        sorts[sort] = sum(decided) / len(decided)
        if progress is not None:
            progress(number / len(PROBES))
    model.train(training)
    return Consistency(sum(sorts.values()) / len(sorts), sorts, len(probes))


def decisions(model: Any, tokenizer: "PreTrainedTokenizerBase", probes: Sequence[Probe]) -> list[bool]:
    """Return for each probe whether the right ending is the likelier one."""
    texts = [probe.context + ending for probe in probes for ending in (probe.right, probe.wrong)]
    nats = text_nats(model, tokenizer, texts)
    return [right < wrong for right, wrong in zip(nats[::2], nats[1::2], strict=True)]
