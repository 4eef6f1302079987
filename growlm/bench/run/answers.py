"""The answers behind a cell's last scores, kept so that another metric needs no new run."""

import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from growlm.data.example import Message
from growlm.errors import GrowlmError, one_line
from growlm.files import atomic_path
from growlm.metrics.answers.answer_metric import answer_metric
from growlm.metrics.scoring import Answer

ANSWERS_FILE = "answers.jsonl.xz"
_MAX_BYTES = 256 * 1024 * 1024


Answers = dict[str, dict[str, list[Answer]]]
"""By skill and inference mode, the answers in the order of the test split."""


def rescored(answers: Iterable[Answer], metric: str) -> list[Answer]:
    """Score answers by another metric.

    Args:
        answers: the answers.
        metric: a metric that compares an answer with a reference.

    Returns:
        The answers with their new scores.

    Raises:
        GrowlmError: for an unknown metric, or one whose package is not installed.
    """
    measure = _judge(metric)
    return [replace(answer, score=measure(answer)) for answer in answers]


def _judge(metric: str) -> Callable[[Answer], float]:
    if metric == "final_answer":
        return lambda answer: float(answer.reference.ends_with(answer.answer))
    if metric == "contains":
        return lambda answer: float(answer.reference.accepts(answer.answer))
    measure = answer_metric(metric)
    return lambda answer: measure(answer.answer, answer.reference.content, answer.source)


def write_answers(path: Path, answers: Mapping[str, Mapping[str, Iterable[Answer]]]) -> None:
    """Write answers as compressed JSON Lines, one answer a line."""
    rows = [
        {"skill": skill, "mode": mode, **_row(answer)}
        for skill, modes in answers.items()
        for mode, given in modes.items()
        for answer in given
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(lzma.compress(text.encode(errors="surrogatepass"), preset=1))


def read_answers(path: Path) -> Answers:
    """Read what ``write_answers`` wrote.

    Args:
        path: the file.

    Returns:
        The answers; none if there is no file.

    Raises:
        GrowlmError: if the file is damaged or larger than 256 MB unpacked.
    """
    if not path.is_file():
        return {}
    found: Answers = {}
    try:
        for line in _unpacked_lines(path):
            row = json.loads(line.decode(errors="surrogatepass"))
            modes = found.setdefault(str(row["skill"]), {})
            modes.setdefault(str(row["mode"]), []).append(_answer(row))
    except (lzma.LZMAError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise GrowlmError(f"{path} is damaged ({reason}): remove its cell to measure again") from None
    return found


def _unpacked_lines(path: Path) -> Iterator[bytes]:
    room = _MAX_BYTES
    with lzma.open(path) as packed:
        while line := packed.readline(room + 1):
            room -= len(line)
            if room < 0:
                raise GrowlmError(f"{path} unpacks to more than {_MAX_BYTES:,} bytes: remove it to measure again")
            yield line


def _row(answer: Answer) -> dict[str, Any]:
    reference = answer.reference
    kept = {"wanted": reference.content, "expected": reference.expected, "choices": reference.choices}
    return {"source": answer.source, **kept, "answer": answer.answer, "score": answer.score}


def _answer(row: Mapping[str, Any]) -> Answer:
    expected = tuple(tuple(map(str, alternatives)) for alternatives in row["expected"])
    reference = Message("assistant", str(row["wanted"]), expected, tuple(map(str, row["choices"])))
    return Answer(str(row["source"]), reference, str(row["answer"]), float(row["score"]))
