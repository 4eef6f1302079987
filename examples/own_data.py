"""Grow a skill from conversations of your own, then ask the stack."""

import json
import tempfile
from pathlib import Path

from tiny_base import tiny_base

import growlm

with tempfile.TemporaryDirectory() as folder:
    base = tiny_base(Path(folder) / "base")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{who} has the {what}. Who has the {what}?"},
                {"role": "assistant", "content": f"{who}."},
            ]
        }
        for who in ("Tom", "Lily", "Max", "Anna", "Ben")
        for what in ("ball", "cat", "red box", "cup", "book", "kite", "doll", "hat")
    ]
    data = Path(folder) / "who.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows))

    stack = Path(folder) / "stack"
    options = {"name": "who", "module": "lora", "steps": 20, "batch_size": 8, "num_scored": 4}
    grown = growlm.grow(str(data), base=base, stack=str(stack), **options)
    print(f"{grown.frozen_tensors} frozen tensors are unchanged; {grown.record.name} has {grown.record.parameters:,}")

    loaded = growlm.ModuleStack.from_pretrained(stack)
    question = [{"role": "user", "content": "Lily has the cup. Who has the cup?"}]
    prompt = loaded.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = loaded.generate(**prompt, max_new_tokens=8)[0, prompt["input_ids"].shape[1] :]
    print("answer:", loaded.tokenizer.decode(answer, skip_special_tokens=True))
