"""A random base of Qwen 2's shape for the examples, so that they run in seconds and without a network.

Use a real one in its place: the name of a shipped base, a folder, or an id of the Hugging Face hub.
"""

from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from growlm.base.tokenizer import train_tokenizer

SENTENCES = [f"{who} has the {what}." for who in ("Tom", "Lily", "Max") for what in ("ball", "cat", "red box")]


def tiny_base(folder: Path) -> str:
    """Save a base of about 50,000 parameters and return its folder."""
    tokenizer = train_tokenizer(SENTENCES, vocab_size=400)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
