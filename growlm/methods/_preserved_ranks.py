"""How much of every linear OSFT preserves, from the importance of the linears.

Importance after AdaSVD (arXiv 2502.01403), as OSFT takes it over (arXiv 2504.07097): the mean cosine of a linear's
input and output. Of vectors of different lengths the authors' script, where this is commented out, cuts the longer,
and so does this. Normalised to a mean of 1 it gives r = mrr + I (trr - mrr), whose mean is trr. Of a linear with F
singular directions r is clamped to [mrr, (F - 1) / F]: mrr is the paper's minimum retention ratio, which a negative
cosine would fall below, and without a limit above, a linear with I > (1 - mrr) / (trr - mrr), 9/7 with the paper's
constants, would not be trained at all (mini_trainer keeps one direction free likewise).
"""

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from growlm.data.batches import StepBatches, collate
from growlm.data.encode import Encoded

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_ROUNDING = 1e-9


def input_output_cosine(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Compute the cosine of a linear's input and output, the longer one cut to the length of the other.

    Args:
        inputs: [..., I].
        outputs: [..., O].

    Returns:
        The mean over all tokens, a scalar.
    """
    length = min(inputs.shape[-1], outputs.shape[-1])
    return nn.functional.cosine_similarity(inputs[..., :length].float(), outputs[..., :length].float(), dim=-1).mean()


def linear_importance(
    linears: Mapping[str, nn.Module], stack: "ModuleStack", examples: Sequence[Encoded], pad_id: int
) -> dict[str, float]:
    """Measure the importance of linears with the active path: the mean over examples of the mean over their tokens.

    Args:
        linears: the linears, or the sites that wrap them, by name.
        stack: the stack that they belong to.
        examples: the examples, one at least; each is run alone, so that there is no padding.
        pad_id: what padding would be filled with.

    Returns:
        Importance by name, from -1 to 1.
    """
    sums = dict.fromkeys(linears, 0.0)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            sums[name] += input_output_cosine(inputs[0], output).item()

        return hook

    hooks = [linear.register_forward_hook(watch(name)) for name, linear in linears.items()]
    try:
        with torch.no_grad():
            for example in examples:
                stack.hidden_states(collate([example], pad_id).to(stack.device).input_ids)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total / len(examples) for name, total in sums.items()}


def adaptive_ratios(
    importance: Mapping[str, float], num_directions: Mapping[str, int], mrr: float, trr: float
) -> dict[str, float]:
    """Compute the preserved share of every linear, r = mrr + I (trr - mrr) within [mrr, (F - 1) / F].

    Args:
        importance: each linear's importance, of any scale; they are normalised to a mean of 1.
        num_directions: F, how many singular directions each linear has.
        mrr: the least share that a linear preserves.
        trr: the share that a linear of mean importance preserves.

    Returns:
        Shares by linear. Warns if some had to be clamped, and if the mean is not positive, so that importance says
        nothing and every linear preserves trr.
    """
    mean = sum(importance.values()) / len(importance)
    if not mean > 0:
        warnings.warn(f"the mean importance is {mean:.3g}, not positive: every linear preserves {trr}", stacklevel=2)
    wanted = {name: mrr + (value / mean if mean > 0 else 1.0) * (trr - mrr) for name, value in importance.items()}
    most = {name: 1 - 1 / num_directions[name] for name in importance}
    clamped = {name: min(most[name], max(mrr, ratio)) for name, ratio in wanted.items()}
    too_much = sum(ratio > 1 + _ROUNDING for ratio in wanted.values())
    too_little = sum(ratio < mrr - _ROUNDING for ratio in wanted.values())
    if too_much or too_little:
        warnings.warn(
            f"adaptive ranks saturate: of {len(wanted)} linears {too_much} would preserve more than all directions "
            f"and {too_little} less than mrr {mrr}; the mean share is {sum(clamped.values()) / len(clamped):.3f}, not "
            f"{trr}",
            stacklevel=2,
        )
    return clamped


def some_examples(batches: StepBatches, count: int) -> list[Encoded]:
    """Draw some of a phase's examples, the same ones for the same seed."""
    examples = list(batches.examples)
    random.Random(f"osft/{batches.seed}").shuffle(examples)
    return examples[:count]
