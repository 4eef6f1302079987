"""Compare an exported model with the stack that it came from: logits, greedy tokens, rendered conversations.

Shapes: B prompts, T tokens, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from growlm.data.encode import prompt_frame
from growlm.errors import GrowlmError
from growlm.export.exporter import Check
from growlm.stack.stack import ModuleStack
from growlm.terminal import counted

NUM_GREEDY = 64
TOLERANCE = 1e-5
"""Largest accepted difference of fp32 logits, relative to the largest logit where that exceeds 1."""

_MESSAGES = [
    {"role": "user", "content": "Hello. I am Max."},
    {"role": "assistant", "content": "Hello, Max!"},
    {"role": "user", "content": "What is my name?"},
]


def compare_model(stack: ModuleStack, model: Any) -> list[Check]:
    """Compare a stock model's logits and greedy tokens with those of a stack's active path.

    Args:
        stack: the stack.
        model: the model that was read back from the exported files.

    Returns:
        The checks.

    Raises:
        GrowlmError: if fp32 logits differ by more than ``TOLERANCE``, times the largest logit where that is above 1, or
            a greedy token differs.
    """
    prompts_BT = sample_prompts(stack)
    exact = next(model.parameters()).dtype == torch.float32
    with torch.inference_mode():
        ours_BTV = stack(prompts_BT).logits.float()
        theirs_BTV = model(prompts_BT).logits.float()
    difference = float((ours_BTV - theirs_BTV).abs().max())
    if exact and difference > TOLERANCE * max(1.0, float(ours_BTV.abs().max())):
        raise GrowlmError(
            f"the exported model's logits differ by {difference:.2e} from the stack's: the path cannot be exported "
            "exactly; use the stack itself"
        )
    same = [ours == theirs for ours, theirs in zip(greedy(stack, prompts_BT), greedy(model, prompts_BT), strict=True)]
    if exact and not all(same):
        raise GrowlmError(
            f"the exported model says other tokens than the stack on {counted(same.count(False), 'prompt')}"
        )
    return [
        Check("largest difference of logits", f"{difference:.1e}"),
        Check(f"{NUM_GREEDY} greedy tokens, prompts with the same ones", f"{same.count(True)} of {len(same)}"),
    ]


def compare_template(stack: ModuleStack, tokenizer: Any) -> list[Check]:
    """Compare how the exported tokenizer renders a conversation; none without a chat template.

    Args:
        stack: the stack.
        tokenizer: the tokenizer that was read back from the exported files.

    Returns:
        The check, if the base has a chat template.

    Raises:
        GrowlmError: if the tokens differ.
    """
    if not getattr(stack.tokenizer, "chat_template", None):
        return []
    ours, theirs = (
        one.apply_chat_template(_MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        for one in (stack.tokenizer, tokenizer)
    )
    if ours != theirs:
        raise GrowlmError("the exported tokenizer renders a conversation to other tokens than the base's")
    return [Check("rendered conversation", f"the same {len(ours)} tokens")]


def sample_prompts(stack: ModuleStack, count: int = 4, length: int = 16) -> Tensor:
    """Draw prompts from the ordinary tokens of a stack's vocabulary, framed as prompts are; always the same ones.

    Args:
        stack: the stack.
        count: B.
        length: tokens of each, without those between it and the answer.

    Returns:
        Token ids, [B, T].
    """
    _, after = prompt_frame(stack.tokenizer)
    special = set(stack.tokenizer.all_special_ids)
    ordinary = torch.tensor([index for index in range(len(stack.tokenizer)) if index not in special])
    draws = torch.randint(len(ordinary), (count, length), generator=torch.Generator().manual_seed(0))
    return torch.cat([ordinary[draws], torch.tensor([after] * count, dtype=torch.long)], 1).to(stack.device)


def greedy(model: Any, prompts_BT: Tensor) -> list[list[int]]:
    """Generate ``NUM_GREEDY`` tokens after each prompt, always the likeliest one, never ending early.

    Args:
        model: a stack or a stock model.
        prompts_BT: the prompts.

    Returns:
        For each prompt, the new tokens.
    """
    with torch.inference_mode():
        rows = model.generate(
            prompts_BT,
            attention_mask=torch.ones_like(prompts_BT),
            do_sample=False,
            min_new_tokens=NUM_GREEDY,
            max_new_tokens=NUM_GREEDY,
            pad_token_id=0,
        )
    return [row[prompts_BT.shape[1] :].tolist() for row in rows]
