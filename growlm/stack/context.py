"""What a stack's base can see at once, and what fills rows up to the same length."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def context_length(stack: "ModuleStack") -> int:
    """Gives the greatest number of tokens that a stack's base can see."""
    return int(getattr(stack.base.config, "max_position_embeddings", 1_024))


def pad_id(stack: "ModuleStack") -> int:
    """Gives the token that padding is filled with."""
    tokenizer = stack.tokenizer
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)
