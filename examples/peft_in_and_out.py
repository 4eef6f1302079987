"""Import an adapter that PEFT trained, compare the logits, and export it again."""

import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_base import tiny_base
from transformers import AutoModelForCausalLM

import growlm
from growlm.export.exporter import export
from growlm.registry import exporters

with tempfile.TemporaryDirectory() as folder:
    base = tiny_base(Path(folder) / "base")
    tokens = torch.arange(10, 26)[None]

    # an adapter as somebody may have trained it
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj", "down_proj"])
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    theirs.eval().save_pretrained(Path(folder) / "theirs")

    stack = growlm.import_adapter(Path(folder) / "theirs", Path(folder) / "stack", base=base)
    with torch.inference_mode():
        difference = float((stack(tokens).logits - theirs(tokens).logits).abs().max())
    print(f"path {'+'.join(stack.path)}: logits differ by {difference:.1e}")
    assert difference <= 1e-6

    for check in export(stack, exporters.build("peft"), Path(folder) / "ours"):
        print(f"{check.name}: {check.value}")
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), Path(folder) / "ours").eval()
    with torch.inference_mode():
        difference = float((again(tokens).logits - theirs(tokens).logits).abs().max())
    print(f"there and back again: logits differ by {difference:.1e}")
    assert difference <= 1e-6
