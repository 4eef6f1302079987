"""Train a module of a stack with TRL's SFTTrainer, freeze it, and load the stack with transformers."""

import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from tiny_base import tiny_base
from transformers import AutoModelForCausalLM, pipeline
from trl import SFTConfig, SFTTrainer

import growlm
from growlm.modules.lora import Lora

with tempfile.TemporaryDirectory() as folder:
    stack = growlm.ModuleStack.from_base(tiny_base(Path(folder) / "base"))
    rows = [
        {"prompt": f"{who} has the {what}. Who has it?", "completion": f" {who}."}
        for who in ("Tom", "Lily", "Max")
        for what in ("ball", "cat", "red box", "cup")
    ]
    stack.attach("mine", {"lora": Lora(rank=4)})
    arguments = SFTConfig(
        str(Path(folder) / "runs"),
        max_steps=10,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        save_strategy="no",  # a stack is saved when its modules are frozen
        report_to=[],
        use_cpu=True,
        bf16=False,
    )
    trainer = SFTTrainer(stack, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=stack.tokenizer)
    trainer.train()
    print("loss:", [round(step["loss"], 3) for step in trainer.state.log_history if "loss" in step])
    print(f"{stack.verify()} frozen tensors are unchanged")
    stack.freeze("mine")
    stack.save_pretrained(Path(folder) / "stack")

    loaded = AutoModelForCausalLM.from_pretrained(Path(folder) / "stack")
    tokens = torch.arange(10, 26)[None]
    with torch.inference_mode():
        assert torch.equal(loaded(tokens).logits, stack(tokens).logits)
    generator = pipeline("text-generation", str(Path(folder) / "stack"))
    print(generator("Tom has the ball. Who has it?", max_new_tokens=8)[0]["generated_text"])
