"""bAbI (Weston et al. 2015, arXiv 1502.05698): 20 sorts of questions about short stories, in the original files.

``qa<number>_<name>_{train,test}.txt``: numbered lines, which begin again at 1 with every story; a question's line holds
question, answer and the numbers of the facts that support it, apart by tabs. The prompt is the story so far, without
the questions before, and the question.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import Any

from growlm.data.example import Example, Split
from growlm.errors import GrowlmError
from growlm.skills._task_files import TaskFiles
from growlm.skills.metric import Scoring

_NAMES = (
    "single-supporting-fact",
    "two-supporting-facts",
    "three-supporting-facts",
    "two-arg-relations",
    "three-arg-relations",
    "yes-no-questions",
    "counting",
    "lists-sets",
    "simple-negation",
    "indefinite-knowledge",
    "basic-coreference",
    "conjunction",
    "compound-coreference",
    "time-reasoning",
    "basic-deduction",
    "basic-induction",
    "positional-reasoning",
    "size-reasoning",
    "path-finding",
    "agents-motivations",
)
_HELD_OUT = 10
_PLACES = ("", "en", "babi_en", "tasks_1-20_v1-2/en")


class Babi(TaskFiles):
    """bAbI: up to 20 sorts of questions about short stories, from the original files, scored by exact match.

    Where there are several tasks, their examples take turns. Every tenth story of training, by a hash, is held out for
    validation unless there is a ``_valid.txt``. The choices of a question are all answers that occur in its task.

    Args:
        data: folder with the files, ``qa1_single-supporting-fact_train.txt`` and so on, or with one of the folders
            ``en``, ``babi_en`` and ``tasks_1-20_v1-2/en`` that has them.
        tasks: numbers of the tasks, from 1 to 20; left out: all.
        num_train: size of the training sample.
        num_test: size of the test sample.
        scoring: how the model is asked for its answer.
        max_prompt: greatest number of tokens of a story and its question that the model is given, in training and tests
            alike, its end; None: what the base can see. A router sees the whole story.
    """

    metric = "exact_match"
    max_answer_tokens = 16

    def __init__(
        self,
        data: str,
        tasks: list[int] | None = None,
        num_train: int | None = None,
        num_test: int | None = None,
        scoring: Scoring = "generation",
        max_prompt: int | None = None,
    ) -> None:
        self.scoring = scoring
        folder = _folder(data)
        read = [_read_task(folder, number) for number in _numbers(tasks)]
        splits: tuple[Split, ...] = ("train", "validation", "test")
        turns = {split: _in_turns([parts[split] for parts in read]) for split in splits}
        self.keep(turns, folder, {"train": num_train, "test": num_test}, "left", max_prompt)

    @classmethod
    def missing_data(cls, options: Mapping[str, Any]) -> str | None:
        """Name the first file that is not there."""
        folder = _folder(str(options.get("data")))
        files = (
            _file(folder, number, split) for number in _numbers(options.get("tasks")) for split in ("train", "test")
        )
        return next((str(file) for file in files if not file.is_file()), None)


def _folder(data: str) -> Path:
    folders = [Path(data).expanduser() / place for place in _PLACES]
    return next((folder for folder in folders if any(folder.glob("qa*_train.txt"))), folders[0])


def _numbers(tasks: Sequence[int] | None) -> list[int]:
    numbers = list(range(1, len(_NAMES) + 1)) if tasks is None else list(tasks)
    for number in numbers:
        if not 1 <= number <= len(_NAMES):
            raise GrowlmError(f"bAbI has no task {number}: give numbers from 1 to {len(_NAMES)}")
    if not numbers or len(set(numbers)) < len(numbers):
        raise GrowlmError(f"tasks is {numbers}: give one or more numbers, each once")
    return numbers


def _file(folder: Path, number: int, split: str) -> Path:
    return folder / f"qa{number}_{_NAMES[number - 1]}_{split}.txt"


def _read_task(folder: Path, number: int) -> dict[Split, list[Example]]:
    """Read one task; each question goes with the stories of its split."""
    train, validation, test = (_file(folder, number, split) for split in ("train", "valid", "test"))
    stories = {"train": list(_stories(train)), "test": list(_stories(test))}
    if validation.is_file():
        stories["validation"] = list(_stories(validation))
    else:
        held_out = [story for story in stories["train"] if _position(story) == 0]
        stories["validation"], stories["train"] = held_out, [s for s in stories["train"] if _position(s) != 0]
    choices = tuple(sorted({f" {answer}" for found in stories.values() for story in found for _, _, answer in story}))
    parts: dict[Split, list[Example]] = {"train": [], "validation": [], "test": []}
    for split, examples in parts.items():
        examples += [
            Example(name, prompt=prompt, completion=f" {answer}", choices=choices)
            for story in stories[split]
            for name, prompt, answer in story
        ]
    return parts


def _stories(path: Path) -> Iterator[list[tuple[str, str, str]]]:
    """Yield the questions of each story: name, prompt and answer."""
    facts: list[str] = []
    questions: list[tuple[str, str, str]] = []
    found = False
    for line_number, line in enumerate(_lines(path), 1):
        where = f"{path}, line {line_number}"
        number, _, said = line.partition(" ")
        if not number.isdecimal() or not said.strip():
            raise GrowlmError(f"{where}: no number and text ({line[:40]!r}); restore the file from a copy")
        if int(number) == 1:
            if questions:
                yield questions
            facts, questions = [], []
        question, *rest = said.split("\t")
        if not rest:
            facts.append(said.strip())
            continue
        if not question.strip() or not rest[0].strip():
            raise GrowlmError(f"{where}: a question without an answer; restore the file from a copy")
        prompt = "\n".join([*facts, question.strip(), "Answer:"])
        questions.append((f"{path.name}:{line_number}", prompt, rest[0].strip()))
        found = True
    if not found:
        raise GrowlmError(f"{path}: no question in it; restore the file from a copy")
    if questions:
        yield questions


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise GrowlmError(
            f"{path} is missing: give the folder of bAbI's files as data, or leave the task out"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GrowlmError(f"{path} cannot be read ({error}): restore it from a copy") from None


def _position(story: Sequence[tuple[str, str, str]]) -> int:
    """Return a number below ``_HELD_OUT`` that is a function of what a story says."""
    content = repr([question[1:] for question in story])
    return int.from_bytes(blake2b(content.encode(), digest_size=8).digest()) % _HELD_OUT


def _in_turns(columns: Sequence[Sequence[Example]]) -> list[Example]:
    return [example for row in zip_longest(*columns) for example in row if example is not None]
