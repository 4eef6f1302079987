"""Tasks of lm-evaluation-harness on a stack, offline, with tasks of our own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lm_eval")

from growlm.cli.main import main
from growlm.errors import GrowlmError
from growlm.harness.model import GrowlmLM
from growlm.harness.tasks import evaluate_tasks

NewStack = Callable[..., Any]
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BRINGS_THE_NAME = Path(__file__).parents[3] / "examples" / "growlm.yaml"
CHOICE = """
task: which_cat
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc}}]
"""
GENERATE = """
task: say_on
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "no such answer"
generation_kwargs: {{max_gen_toks: 4, until: ["."]}}
metric_list: [{{metric: exact_match}}]
"""


class ByLength:
    """A router that sends prompts of an even number of tokens to ``first``, others to ``second``."""

    name = "by_length"

    def choose(self, stack: Any, prompts: list[list[int]]) -> list[tuple[str, ...]]:
        return [stack.path_of("first" if len(prompt) % 2 == 0 else "second") for prompt in prompts]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    rows = [
        {
            "question": f"the cat sat {'on ' * (number % 3)}the",
            "choices": [" box", " park", " dog"],
            "answer": number % 3,
        }
        for number in range(6)
    ]
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    for name, text in (("choice", CHOICE), ("generate", GENERATE)):
        (folder / f"{name}.yaml").write_text(text.format(data=folder / "rows.jsonl"))
    return folder


@pytest.fixture
def stack(new_stack: NewStack) -> Any:
    return new_stack(modules=("first", "second"))


def logprob(stack: Any, question: str, choice: str) -> float:
    context, whole = stack.tokenizer(question)["input_ids"], stack.tokenizer(question + choice)["input_ids"]
    with torch.inference_mode():
        scores = stack(torch.tensor([whole])).logits.log_softmax(-1)[0]
    return sum(float(scores[index - 1, whole[index]]) for index in range(len(context), len(whole)))


@pytest.mark.parametrize("path", ["base", "first"])
def test_scores_are_those_of_the_path(stack: Any, tasks: Path, path: str) -> None:
    stack.set_path(() if path == "base" else (path,))
    rows = [json.loads(line) for line in (tasks / "rows.jsonl").read_text().splitlines()]
    right = [
        max(range(3), key=lambda index: logprob(stack, row["question"], row["choices"][index])) == row["answer"]
        for row in rows
    ]
    results = evaluate_tasks(stack, [str(tasks / "choice.yaml")], path)
    assert results["which_cat"]["acc,none"] == pytest.approx(sum(right) / len(right))
    assert evaluate_tasks(stack, ["which_cat"], path, task_folder=tasks)["which_cat"]["acc,none"] == pytest.approx(
        sum(right) / len(right)
    )


def test_the_router_chooses_for_each_context(stack: Any, tasks: Path) -> None:
    from lm_eval.api.instance import Instance

    stack.router = ByLength()
    model = GrowlmLM(stack, batch_size=2)
    questions = ["the cat sat", "the cat sat on", "the dog", "the big red box", "Tom"]
    requests = [Instance("loglikelihood", {}, (question, " on the box"), 0) for question in questions]
    found = model.loglikelihood(requests, disable_tqdm=True)
    paths = [stack.router.choose(stack, [stack.tokenizer(question)["input_ids"]])[0] for question in questions]
    assert len(set(paths)) == 2
    for question, path, (score, _) in zip(questions, paths, found, strict=True):
        with stack.active(*path):
            assert score == pytest.approx(logprob(stack, question, " on the box"), abs=1e-4)


def test_answers_are_generated(stack: Any, tasks: Path) -> None:
    assert evaluate_tasks(stack, [str(tasks / "generate.yaml")], "base")["say_on"]["exact_match,none"] == 0


def test_the_command(stack: Any, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack.save_pretrained(tmp_path / "stack")
    words = ["eval", str(tmp_path / "stack"), "--tasks", str(tasks / "choice.yaml"), "--limit", "4"]
    assert main([*words, "--path", "first", "--json"]) == 0
    out = capsys.readouterr().out
    assert 0 <= json.loads(out[out.index("{") :])["which_cat"]["acc,none"] <= 1
    assert main(words) == 0
    assert "which_cat" in capsys.readouterr().out


def test_only_the_harness_s_progress_is_shown(
    stack: Any,
    tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)  # no git repository
    evaluate_tasks(stack, [str(tasks / "choice.yaml")], "base")
    assert "fatal" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.name.startswith("lm_eval")]


def test_the_harness_knows_the_name() -> None:
    from lm_eval.api.registry import get_model

    assert get_model("growlm") is GrowlmLM


@pytest.mark.parametrize("command", ["growlm.harness", "lm_eval"])
def test_the_harness_s_own_command_knows_the_name(stack: Any, tasks: Path, tmp_path: Path, command: str) -> None:
    stack.save_pretrained(tmp_path / "stack")
    words = ["--model", "growlm", "--model_args", f"pretrained={tmp_path / 'stack'},path=first", "--batch_size", "4"]
    files = [*([str(BRINGS_THE_NAME)] if command == "lm_eval" else []), str(tasks / "choice.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", command, *words, "--tasks", ",".join(files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "which_cat" in done.stdout, done.stderr


def test_an_unknown_option(stack: Any, tasks: Path) -> None:
    with pytest.raises(GrowlmError, match="did you mean 'num_fewshot'"):
        evaluate_tasks(stack, [str(tasks / "choice.yaml")], num_fewshots=2)


def test_unknown_tasks(stack: Any, tasks: Path) -> None:
    with pytest.raises(GrowlmError, match="did you mean 'which_cat'"):
        evaluate_tasks(stack, ["which_cats"], task_folder=tasks)
    with pytest.raises(GrowlmError, match="no such file"):
        evaluate_tasks(stack, ["nothing.yaml"])
