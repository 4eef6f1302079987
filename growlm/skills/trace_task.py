"""A task of TRACE (Wang et al. 2023, arXiv 2310.06762), in its authors' format.

``<task>/{train,eval,test}.json``, each a list of ``prompt`` and ``answer``, in the folder that is given or one
inside it. Metrics are the paper's: exact match for C-STANCE, FOMC and NumGLUE, the letter alone for ScienceQA, where a
reason follows, ROUGE-L for MeetingBank, edit similarity for Py150, SARI for 20Minuten, its prompt as the source.

What differs: decoding is greedy, where the authors sample; ROUGE-L is that of the usual scorer, with stems, where
theirs is another package's; answers are generated only as far as their metric looks; and an answer ends after some
number of words, where the authors end it after 512 tokens (of the eight tasks only ScienceQA's reasons are that long).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError, check_at_least, unknown_name
from growlm.skills._task_files import Cut, TaskFiles, read_rows, same_name, subfolders, words
from growlm.skills.metric import Metric, Scoring

_FILES: dict[Split, str] = {"train": "train", "validation": "eval", "test": "test"}
_CORPUS_START = "<s>"  # a separator of the corpus of code, and a special token of many a base


@dataclass(frozen=True)
class _Task:
    metric: Metric
    max_answer_tokens: int
    choices: tuple[str, ...] = ()


_TASKS = {
    "C-STANCE": _Task("exact_match", 8, ("A", "B", "C")),
    "FOMC": _Task("exact_match", 8, ("A", "B", "C")),
    "MeetingBank": _Task("rouge_l", 160),
    "Py150": _Task("edit_similarity", 64),
    "ScienceQA": _Task("letter_match", 8),
    "NumGLUE-cm": _Task("exact_match", 16),
    "NumGLUE-ds": _Task("exact_match", 16),
    "20Minuten": _Task("sari", 160),
}


class TraceTask(TaskFiles):
    """A task of the benchmark TRACE: stances, monetary policy, meetings, code, science, numbers, simplification.

    Rows of evaluation and training that are in the test, too, are left out of them. Where
    no row is left of evaluation, a tenth of training is held out for validation.

    Args:
        data: folder that holds ``<task>/{train,eval,test}.json``, or one such folder inside.
        task: the task's name, in any case.
        num_train: size of the training sample.
        num_test: size of the test sample.
        scoring: how the model is asked for its answer; by candidates only where the answers are A, B and C.
        cut: where tokens are left out of a prompt that is too long.
        max_prompt: greatest number of tokens of a prompt that the model is given, in training and tests alike; None:
            what the base can see. A router sees the whole prompt.
        answer_words: how many words of an answer are learned; a reason may be longer than a small base can see.

    Attributes:
        shortened: names of the examples whose answers were longer than that.
    """

    def __init__(
        self,
        data: str,
        task: str,
        num_train: int | None = None,
        num_test: int | None = None,
        scoring: Scoring = "generation",
        cut: Cut = "middle",
        max_prompt: int | None = None,
        answer_words: int = 250,
    ) -> None:
        check_at_least("answer_words", answer_words, 1)
        name = _known(task)
        self.metric, self.max_answer_tokens = _TASKS[name].metric, _TASKS[name].max_answer_tokens
        self._choices = _TASKS[name].choices
        if scoring != "generation" and not self._choices:
            raise GrowlmError(f"task {name!r} has no candidates to score by; give scoring 'generation'")
        self.scoring = scoring
        self._beginning = re.compile(rf"(?:\S+\s*){{1,{answer_words}}}")
        self.shortened: tuple[str, ...] = ()
        files = _files(Path(data).expanduser(), name)
        lacking = _lacking(files)
        if lacking is not None:
            raise GrowlmError(f"task {task!r} is incomplete: {lacking} is missing; add it or leave the task out")
        read = {split: list(self._read(file)) for split, file in files.items()}
        self.keep(read, files["train"].parent, {"train": num_train, "test": num_test}, cut, max_prompt)

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Name the file of the task that is not there."""
        lacking = _lacking(_files(Path(str(options.get("data"))).expanduser(), _known(str(options.get("task")))))
        return None if lacking is None else str(lacking)

    def _read(self, path: Path) -> Iterator[Example]:
        if not path.exists():  # evaluation alone may be missing
            return
        for number, (where, row) in enumerate(read_rows(path, "prompt", "answer"), 1):
            prompt = words(row["prompt"], f"{where}: 'prompt'").removeprefix(_CORPUS_START)
            answer = words(row["answer"], f"{where}: 'answer'").strip()
            if self._choices and answer not in self._choices:
                raise GrowlmError(f"{where}: answer {answer!r} is none of {', '.join(self._choices)}; correct the row")
            name = f"{path.parent.name}/{path.stem}:{number}"
            beginning = self._beginning.match(answer)
            if beginning is not None and beginning.end() < len(answer):
                self.shortened += (name,)
                answer = beginning[0].strip()
            yield Example(
                name,
                prompt=prompt.strip(),
                completion=f" {answer}",
                choices=tuple(f" {choice}" for choice in self._choices),
            )


def _known(task: str) -> str:
    for name in _TASKS:
        if same_name(name, task):
            return name
    raise unknown_name("task of TRACE", task, _TASKS)


def _files(data: Path, name: str) -> dict[Split, Path]:
    """Return where a task's files are, or where they would be if none is there."""
    places = [
        folder for root in (data, *subfolders(data)) for folder in subfolders(root) if same_name(folder.name, name)
    ]
    folder = next((place for place in places if (place / "test.json").is_file()), data / name)
    return {split: folder / f"{file}.json" for split, file in _FILES.items()}


def _lacking(files: Mapping[Split, Path]) -> Path | None:
    return next((files[split] for split in files if split != "validation" and not files[split].is_file()), None)
