"""A task of Super-NaturalInstructions (Wang et al. 2022, arXiv 2204.07705).

Two formats are read: ``<task>/{train,dev,test}.json``, as the continual-learning line from O-LoRA to SAPT (Zhao et al.
2024, arXiv 2401.08295) stores it, and ``<task>.json``, as the collection itself does, from which 100 examples each for
test and validation are drawn. Every file is one object with ``Definition``, ``Positive Examples`` and ``Instances`` of
``input`` and ``output``. The prompt is the collection's: the definition, optionally some of the positive examples, the
input, ``Output:``. What differs: of several outputs the first is taken, where the authors draw one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError, check_at_least
from growlm.files import read_json
from growlm.skills._task_files import Cut, TaskFiles, rows, subfolders, words
from growlm.skills.metric import Scoring

_FILES: dict[Split, str] = {"train": "train", "validation": "dev", "test": "test"}
_PLACES = ("SuperNI", "CL_Benchmark/SuperNI", "tasks")
_DRAWN = 100
_MOST_CHOICES, _LONGEST_CHOICE = 20, 5


class SuperniTask(TaskFiles):
    """A task of Super-NaturalInstructions: an instruction in words, scored by ROUGE-L.

    Where training has at most 20 different outputs of at most 5 words, they are the choices. Instances of validation
    and training that are in the test, too, are left out of them. Where none is left of validation,
    a tenth of training is held out for it.

    Args:
        data: folder that holds ``<task>/{train,dev,test}.json`` or ``<task>.json``, or such a folder ``SuperNI``,
            ``CL_Benchmark/SuperNI`` or ``tasks``.
        task: the task's full name.
        num_examples: how many of its positive examples the prompt shows.
        num_train: size of the training sample.
        num_test: size of the test sample.
        scoring: how the model is asked for its answer; by candidates only where there are choices.
        cut: where tokens are left out of a prompt that is too long.
        max_prompt: greatest number of tokens of a prompt that the model is given, in training and tests alike; None:
            what the base can see. A router sees the whole prompt.
    """

    metric = "rouge_l"
    max_answer_tokens = 50

    def __init__(
        self,
        data: str,
        task: str,
        num_examples: int = 0,
        num_train: int | None = None,
        num_test: int | None = None,
        scoring: Scoring = "generation",
        cut: Cut = "middle",
        max_prompt: int | None = None,
    ) -> None:
        check_at_least("num_examples", num_examples, 0)
        self.scoring = scoring
        self._num_examples = num_examples
        root = Path(data).expanduser()
        place = _find(root, task)
        lacking = _lacking(place, root, task)
        if place is None or lacking is not None:
            raise GrowlmError(f"task {task!r} is not there or incomplete: {lacking} is missing; add it or leave it out")
        if place.is_dir():
            files = {split: place / f"{name}.json" for split, name in _FILES.items()}
            read = {split: list(self._read(file)) for split, file in files.items()}
        else:
            read = _drawn(list(self._read(place)), place)
        self.keep(self._with_choices(read), place, {"train": num_train, "test": num_test}, cut, max_prompt)

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Name the file of the task that is not there."""
        root, task = Path(str(options.get("data"))).expanduser(), str(options.get("task"))
        lacking = _lacking(_find(root, task), root, task)
        return None if lacking is None else str(lacking)

    def _read(self, path: Path) -> Iterator[Example]:
        if not path.exists():  # validation alone may be missing
            return
        content = read_json(path)
        if not isinstance(content, dict) or "Instances" not in content or "Definition" not in content:
            raise GrowlmError(f"{path}: no object with 'Definition' and 'Instances'; restore it from a copy")
        head = _head(path, content, self._num_examples)
        for number, (where, row) in enumerate(rows(path, content["Instances"], ("input", "output")), 1):
            output = row["output"][0] if isinstance(row["output"], list) and row["output"] else row["output"]
            yield Example(
                f"{path.parent.name}/{path.stem}:{number}",
                prompt=f"{head}Input: {words(row['input'], where + ': input').strip()}\nOutput:",
                completion=f" {words(output, where + ': output').strip()}",
            )

    def _with_choices(self, read: dict[Split, list[Example]]) -> dict[Split, list[Example]]:
        found = sorted({example.completion or "" for example in read["train"]})
        if len(found) > _MOST_CHOICES or any(len(choice.split()) > _LONGEST_CHOICE for choice in found):
            if self.scoring != "generation":
                raise GrowlmError("the task has no candidates to score by: its answers are free; score by generation")
            return read
        return {
            split: [replace(example, choices=tuple(found)) for example in examples] for split, examples in read.items()
        }


def _head(path: Path, content: Mapping[str, Any], num_examples: int) -> str:
    definition = content["Definition"]
    if isinstance(definition, list) and definition:
        definition = definition[0]
    head = f"Definition: {words(definition, f'{path}: Definition').strip()}\n\n"
    positive = content.get("Positive Examples", []) if num_examples else []
    for number, (where, row) in enumerate(rows(path, positive, ("input", "output")), 1):
        if number > num_examples:
            break
        given, answer = (words(row[key], f"{where}: {key}").strip() for key in ("input", "output"))
        head += f"Positive Example {number} -\nInput: {given}\nOutput: {answer}\n\n"
    return f"{head}Now complete the following example -\n"


def _find(data: Path, task: str) -> Path | None:
    """Find a task's folder or file."""
    for root in (data, *(data / place for place in _PLACES)):
        if any(folder.name == task for folder in subfolders(root)):
            return root / task
        if (root / f"{task}.json").is_file():
            return root / f"{task}.json"
    return None


def _lacking(place: Path | None, data: Path, task: str) -> Path | None:
    if place is None:
        return data / task
    if place.is_file():
        return None
    files = [place / f"{name}.json" for name in ("train", "test")]
    return next((file for file in files if not file.is_file()), None)


def _drawn(examples: list[Example], path: Path) -> dict[Split, list[Example]]:
    """Draw test and validation from one file, by a hash of the content."""
    different = {(example.prompt, example.completion): example for example in examples}
    ordered = sorted(
        different.values(), key=lambda found: blake2b(repr((found.prompt, found.completion)).encode()).digest()
    )
    if len(ordered) <= 2 * _DRAWN:
        raise GrowlmError(
            f"{path}: {len(ordered)} different instances are too few to draw {_DRAWN} each for test and validation; "
            "give train.json, dev.json and test.json in a folder"
        )
    return {"test": ordered[:_DRAWN], "validation": ordered[_DRAWN : 2 * _DRAWN], "train": ordered[2 * _DRAWN :]}
