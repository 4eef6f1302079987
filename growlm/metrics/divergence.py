"""How far a model's predictions of the next token are from another's: KL(reference ‖ model).

On the tokens of new texts it says how much of what the reference would have said has changed; forgetting follows it
(Shenfeld et al. 2025, "RL's Razor", arXiv 2509.04259). On ``bits_per_byte``'s texts it looks at the same tokens in the
same windows.

Shapes: N tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from growlm.data.batches import length_batches
from growlm.manifest.path import Path
from growlm.metrics.bits_per_byte import text_windows
from growlm.metrics.likelihood import Window, scored_logits

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 4
"""Windows per forward pass: the logits of all their tokens are held at once."""


def divergence(reference_NV: Tensor, logits_NV: Tensor) -> Tensor:
    """Compute KL(reference ‖ model) of every token in nats, [N].

    Args:
        reference_NV: logits of the distribution that is kept to, [N, V]; an entry of -inf is left out.
        logits_NV: logits of the model, [N, V].
    """
    reference_NV, logits_NV = reference_NV.log_softmax(-1), logits_NV.log_softmax(-1)
    difference_NV = torch.where(reference_NV.isinf(), 0.0, reference_NV - logits_NV)
    return (reference_NV.exp() * difference_NV).sum(-1)


def text_divergence(stack: "ModuleStack", texts: Sequence[str], paths: Sequence[Path]) -> float:
    """Compute KL(bare base ‖ path) of a token, the mean over all tokens of documents, their ends included.

    Args:
        stack: the stack, with all its modules frozen.
        texts: the documents.
        paths: a path for each; one on the bare base counts with 0.

    Returns:
        Nats per token.

    Raises:
        GrowlmError: if there is no text, or the tokenizer does not give a document back.
    """
    nats, count = 0.0, 0
    training = stack.training
    stack.eval()
    for path in dict.fromkeys(paths):
        own = [text for text, chosen in zip(texts, paths, strict=True) if chosen == path]
        windows = text_windows(stack.tokenizer, own, stack.context_length)
        count += sum(len(window.tokens) - window.first for window in windows)
        nats += _window_nats(stack, windows, path) if path else 0.0
    stack.train(training)
    return nats / count


def _window_nats(stack: "ModuleStack", windows: Sequence[Window], path: Path) -> float:
    nats = 0.0
    for rows in length_batches([len(window.tokens) for window in windows], _BATCH, longest_first=True):
        batch = [windows[row] for row in rows]
        with stack.active():
            reference = [logits_NV for logits_NV, _ in scored_logits(stack, batch)]
        with stack.active(*path):
            pairs = zip(reference, scored_logits(stack, batch), strict=True)
            nats += sum(float(divergence(base_NV, own_NV).double().sum()) for base_NV, (own_NV, _) in pairs)
    return nats
