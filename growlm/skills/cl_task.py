"""A classification task of the 4- and 15-task continual-learning benchmarks.

Two formats are read: O-LoRA's folders (Wang et al. 2023, arXiv 2310.14152),
``CL_Benchmark/<group>/<task>/{train,dev,test}.json`` with ``labels.json``, and JSON lines,
``<task>/{train,dev,test}.jsonl`` of ``task``, ``instruction``, ``input`` and ``output``. The prompt is the authors':
instruction, the options on one line, the text, ``Answer:``. Their wording of the instructions is read from their
``configs/instruction_config.json`` where it lies beside the data; elsewhere one plain sentence replaces it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from growlm.data.example import Example, Split
from growlm.data.json_lines import read_objects
from growlm.errors import GrowlmError
from growlm.files import read_json
from growlm.skills._task_files import Cut, TaskFiles, read_rows, same_name, subfolders, words
from growlm.skills.metric import Scoring

_FILES: dict[Split, str] = {"train": "train", "validation": "dev", "test": "test"}
_BENCHMARK = "CL_Benchmark"
_INSTRUCTIONS = Path("configs") / "instruction_config.json"
_PLAIN_INSTRUCTION = "Choose one of the options.\n"
_WITHOUT_OPTIONS = "COPA"  # its texts name their options themselves
_QUESTION = "Answer:"
_NO_LABEL = "-"  # of the inference data sets: the annotators did not agree


class ClTask(TaskFiles):
    """A classification task of the 4- and 15-task continual-learning benchmarks.

    Answers are compared in any case, white space around them apart. Rows of development and training that are in the
    test, too, are left out of them, and so are rows with the label ``-``, on which their annotators did not agree.
    Where no row is left of development, a tenth of training is held out for validation.

    Args:
        data: folder that holds ``CL_Benchmark/<group>/<task>/`` or ``<task>/``.
        task: the task's name, in any case.
        instructions: JSON file of the instructions by group; left out: ``configs/instruction_config.json`` in or
            beside the data's folder if it is there.
        num_train: size of the training sample.
        num_test: size of the test sample.
        scoring: how the model is asked for its answer.
        cut: where tokens are left out of a prompt that is too long.
        max_prompt: greatest number of tokens of a prompt that the model is given, in training and tests alike; None:
            what the base can see. A router sees the whole prompt.
    """

    metric = "label_match"
    max_answer_tokens = 32

    def __init__(
        self,
        data: str,
        task: str,
        instructions: str | None = None,
        num_train: int | None = None,
        num_test: int | None = None,
        scoring: Scoring = "generation",
        cut: Cut = "middle",
        max_prompt: int | None = None,
    ) -> None:
        self.scoring = scoring
        self._task = task
        folder, ending = _find(Path(data).expanduser(), task)
        lacking = _lacking_file(folder, ending)
        if lacking is not None:
            raise GrowlmError(f"task {task!r} is incomplete: {lacking} is missing; add it or leave the task out")
        if ending == ".json":
            labels = _labels(folder / "labels.json")
            prompt = _Prompt(folder, labels, instructions)
            read = {split: list(self._stored(folder / f"{name}.json", prompt)) for split, name in _FILES.items()}
        else:
            read = self._lines(folder, ending)
        self.keep(read, folder, {"train": num_train, "test": num_test}, cut, max_prompt)

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Name the file of the task that is not there."""
        folder = Path(str(options.get("data"))).expanduser()
        try:
            found, ending = _find(folder, str(options.get("task")))
        except GrowlmError:
            return str(folder / str(options.get("task")))
        lacking = _lacking_file(found, ending)
        return None if lacking is None else str(lacking)

    def _stored(self, path: Path, prompt: "_Prompt") -> Iterator[Example]:
        if not path.exists():  # development alone may be missing
            return
        for number, (where, row) in enumerate(read_rows(path, "sentence", "label"), 1):
            if row["label"] == _NO_LABEL:
                continue
            if row["label"] not in prompt.labels:
                raise _wrong_label(where, row["label"], prompt.labels)
            yield self._example(
                path, number, prompt.of(words(row["sentence"], f"{where}: 'sentence'")), row["label"], prompt.labels
            )

    def _lines(self, folder: Path, ending: str) -> dict[Split, list[Example]]:
        found = {split: list(self._objects(folder / f"{name}{ending}")) for split, name in _FILES.items()}
        labels = sorted({row["output"] for _, row in found["train"]})
        for where, row in (*found["validation"], *found["test"]):
            if row["output"] not in labels:
                raise _wrong_label(where, row["output"], labels)
        return {
            split: [
                self._example(
                    folder / _FILES[split], number, _joined(row["instruction"], row["input"]), row["output"], labels
                )
                for number, (_, row) in enumerate(entries, 1)
            ]
            for split, entries in found.items()
        }

    def _objects(self, path: Path) -> Iterator[tuple[str, dict[str, str]]]:
        if path.stem.startswith("dev") and (not path.exists() or path.stat().st_size == 0):
            return
        for number, row in read_objects(path):
            where = f"{path}, line {number}"
            if row.get("output") == _NO_LABEL:
                continue
            checked = {key: words(row.get(key), f"{where}: {key!r}") for key in ("instruction", "input", "output")}
            if "task" in row and not same_name(str(row["task"]), self._task):
                raise GrowlmError(f"{where}: a row of task {row['task']!r} among those of {self._task!r}; take it out")
            yield where, checked

    def _example(self, path: Path, number: int, prompt: str, label: str, labels: Sequence[str]) -> Example:
        return Example(
            f"{path.parent.name}/{path.stem}:{number}",
            prompt=_asked(prompt),
            completion=f" {label}",
            choices=tuple(f" {choice}" for choice in labels),
        )


class _Prompt:
    """The authors' prompt of a task that is stored in their folders."""

    def __init__(self, folder: Path, labels: list[str], instructions: str | None) -> None:
        self.labels = labels
        group = folder.parent.name
        self._head = ""
        if not same_name(group, _WITHOUT_OPTIONS):
            self._head = f"{_instruction(folder, group, instructions)}Option: {', '.join(labels)} \n"

    def of(self, text: str) -> str:
        return f"{self._head}{text}"


def _find(data: Path, task: str) -> tuple[Path, str]:
    """Find a task's folder and the ending of its files."""
    for root in (data, data / _BENCHMARK):
        for folder in subfolders(root):
            if same_name(folder.name, task):
                for ending in (".jsonl", ".jsonl.xz"):
                    if any((folder / f"{name}{ending}").exists() for name in _FILES.values()):
                        return folder, ending
            for inner in subfolders(folder):
                if same_name(inner.name, task) and (inner / "labels.json").exists():
                    return inner, ".json"
    raise GrowlmError(
        f"task {task!r} is not in {data}: expected {_BENCHMARK}/<group>/{task}/labels.json or {task}/train.jsonl there"
    )


def _lacking_file(folder: Path, ending: str) -> Path | None:
    files = [folder / f"{name}{ending}" for name in ("train", "test")]
    return next((file for file in files if not file.is_file()), None)


def _labels(path: Path) -> list[str]:
    labels = read_json(path)
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise GrowlmError(f"{path}: no list of labels; restore it from a copy")
    if len(set(labels)) < len(labels):
        raise GrowlmError(f"{path}: a label appears twice in {labels}; take one out")
    return labels


def _instruction(folder: Path, group: str, file: str | None) -> str:
    places = (
        [above / _INSTRUCTIONS for above in (folder.parents[1], folder.parents[2])] if file is None else [Path(file)]
    )
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        if file is not None:
            raise GrowlmError(f"{file} is missing: give the file of instructions, or leave it out")
        return _PLAIN_INSTRUCTION
    content = read_json(found)
    try:
        return words(content[group][0]["instruction"], f"{found}: the instruction of {group!r}")
    except (KeyError, IndexError, TypeError):
        raise GrowlmError(f"{found}: no instruction for {group!r}; add [{{'instruction': ...}}] under it") from None


def _joined(instruction: str, text: str) -> str:
    return f"{instruction}{text}" if instruction[-1:].isspace() else f"{instruction}\n{text}"


def _asked(prompt: str) -> str:
    """End a prompt as the authors do; some copies of the data end so already, some in one split only."""
    prompt = prompt if prompt.rstrip().endswith(_QUESTION) else f"{prompt}\n{_QUESTION}"
    return prompt.rstrip()


def _wrong_label(where: str, label: object, labels: Sequence[str]) -> GrowlmError:
    return GrowlmError(f"{where}: label {label!r} is none of {', '.join(labels)}; correct the row or the labels")
