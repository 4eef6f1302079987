"""Greedy decoding of many prompts at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from growlm.data.batches import padded
from growlm.data.encode import stop_ids
from growlm.stack.cache import roomy_cache
from growlm.stack.stopping import answer_endings

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


@torch.no_grad()
def greedy_tokens(
    stack: "ModuleStack", prompts: Sequence[Sequence[int]], max_new_tokens: int, in_talk: bool = False
) -> list[list[int]]:
    """Return prompts with the likeliest token, again and again, by the path that is active.

    Args:
        stack: the stack.
        prompts: the prompts' tokens; together with what is new they have to fit the context.
        max_new_tokens: greatest number of new tokens.
        in_talk: as answers in a conversation: none is empty, and ``answer_endings`` end what has no end.

    Returns:
        For each prompt its new tokens, with the stop token if there is one; rows that end before the longest one
        are filled with padding.
    """
    padding = stack.pad_id
    input_ids_BT, mask_BT = padded(prompts, padding, left=True)
    length = input_ids_BT.shape[1]
    output_BT = stack.generate(
        input_ids_BT.to(stack.device),
        attention_mask=mask_BT.to(stack.device),
        past_key_values=roomy_cache(stack.config.get_text_config()),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=stop_ids(stack.tokenizer),
        pad_token_id=padding,
        min_new_tokens=1 if in_talk else None,
        stopping_criteria=answer_endings(stack.tokenizer, length, max_new_tokens) if in_talk else None,
    )
    new_tokens: list[list[int]] = output_BT[:, length:].tolist()
    return new_tokens
