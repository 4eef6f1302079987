"""Score a task of your own with lm-evaluation-harness, on two paths of a stack, without a network."""

import json
import tempfile
from pathlib import Path

from tiny_base import tiny_base

import growlm
from growlm.harness.tasks import evaluate_tasks
from growlm.modules.lora import Lora

TASK = """
task: who_has_it
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc}}]
"""

with tempfile.TemporaryDirectory() as folder:
    names = ["Tom", "Lily", "Max"]
    rows = [
        {
            "question": f"{who} has the {what}. The {what} is with",
            "choices": [f" {name}" for name in names],
            "answer": index,
        }
        for what in ("ball", "cat")
        for index, who in enumerate(names)
    ]
    (Path(folder) / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    task = Path(folder) / "who_has_it.yaml"
    task.write_text(TASK.format(data=Path(folder) / "rows.jsonl"))

    stack = growlm.ModuleStack.from_base(tiny_base(Path(folder) / "base")).eval()
    stack.attach("mine", {"lora": Lora(rank=2)})
    stack.freeze("mine")
    for path in ("base", "mine"):
        stack.set_path(() if path == "base" else (path,))
        accuracy = evaluate_tasks(stack, [str(task)], path)["who_has_it"]["acc,none"]
        print(f"{path}: {accuracy:.3f}")
