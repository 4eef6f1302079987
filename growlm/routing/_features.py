"""What routers see of a prompt, computed on the bare base, so that it never changes.

Shapes: B batch, T tokens, D hidden, N prompts.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from growlm.data.batches import length_batches, padded
from growlm.routing.prompts import turn_frame
from growlm.routing.router import Prompts
from growlm.stack.sites import capture_inputs

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BATCH = 32


class _SeenError(Exception):
    """Ends a forward pass at the layer whose input is wanted."""


@torch.no_grad()
def shallow_features(stack: "ModuleStack", prompts: Prompts, layer: int, last_words: int = 0) -> Tensor:
    """Pool the hidden states that enter a decoder layer of the bare base; no deeper layer is run.

    Of a conversation only the last turn is looked at. Every token's hidden state is scaled to a mean square of 1; then
    the mean over the turn's words, the last token's and, if it is asked for, the mean over the turn's last words are
    put beside each other. The words are the last stretch of tokens that are not special; where no special token parts
    them, they are the whole prompt.

    Args:
        stack: the stack; its active path is left as it was.
        prompts: N prompts.
        layer: index of the decoder layer, from 0.
        last_words: over how many of the turn's last words a mean is taken, too; all of a shorter turn; 0: none.

    Returns:
        Features, Double[N, 2 D], or Double[N, 3 D] with last words, on the CPU.
    """
    prompts = last_turns(stack, prompts)
    special = _special_ids(stack.tokenizer)
    features_ND: list[Tensor | None] = [None] * len(prompts)
    for rows, hidden_BTD in _hidden_states(stack, prompts, layer):
        for row, hidden_TD in zip(rows, hidden_BTD, strict=True):
            tokens = prompts[row][: stack.rows.num_read(prompts[row])]
            scaled_TD = hidden_TD[: len(tokens)].float().cpu().double()  # not every device has doubles
            scaled_TD = scaled_TD * scaled_TD.square().mean(1, keepdim=True).clamp_min(1e-12).rsqrt()
            begin, end = turn_words(tokens, special)
            pooled = [scaled_TD[begin:end].mean(0), scaled_TD[-1]]
            if last_words:
                pooled.append(scaled_TD[max(begin, end - last_words) : end].mean(0))
            features_ND[row] = torch.cat(pooled)
    return torch.stack([feature for feature in features_ND if feature is not None])


def last_turns(stack: "ModuleStack", prompts: Prompts) -> Prompts:
    """Leave of every prompt what is routed by: the last turn of a conversation, to the end that the base can see.

    A skill is learned in conversations of its own. What was said before, perhaps to another skill, would make a turn
    look like nothing that the router has learned.
    """
    frame = turn_frame(stack.tokenizer)
    return within_context(stack, [frame.last_turn(prompt) for prompt in prompts])


def within_context(stack: "ModuleStack", prompts: Prompts) -> Prompts:
    """Cut prompts to the end that the base can see."""
    longest = stack.context_length
    return [prompt[-longest:] for prompt in prompts]


def turn_words(tokens: Sequence[int], special: set[int]) -> tuple[int, int]:
    """Find the last stretch of tokens that are not special.

    Args:
        tokens: a prompt, at least one token.
        special: the special tokens.

    Returns:
        Where it begins and where it has ended; the whole prompt if every token is special.
    """
    end = len(tokens)
    while end and tokens[end - 1] in special:
        end -= 1
    begin = end
    while begin and tokens[begin - 1] not in special:
        begin -= 1
    return (begin, end) if begin < end else (0, len(tokens))


def prompt_batches(stack: "ModuleStack", prompts: Prompts) -> Iterator[tuple[list[int], Tensor]]:
    """Group prompts of like length into batches, padded on the right, where causal attention cannot see it.

    Args:
        stack: the stack.
        prompts: the prompts, each at least one token.

    Yields:
        For each batch, which prompts are in it, and their tokens, [B, T].
    """
    for rows in length_batches([len(prompt) for prompt in prompts], _BATCH):
        yield rows, padded([prompts[row] for row in rows], 0)[0].to(stack.device)


def _hidden_states(stack: "ModuleStack", prompts: Prompts, layer: int) -> Iterator[tuple[list[int], Tensor]]:
    seen: list[Tensor] = []

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])
        raise _SeenError

    captured_layer = stack.architecture.resolve(stack.architecture.layer_site(layer))
    for rows, input_ids_BT in prompt_batches(stack, prompts):
        with stack.active(), capture_inputs([captured_layer], see), suppress(_SeenError):
            stack.hidden_states(input_ids_BT)
        yield rows, seen.pop()


def _special_ids(tokenizer: Any) -> set[int]:
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {*tokenizer.all_special_ids, *added}
