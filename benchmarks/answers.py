"""Whole answers beside what they have to beat: ``python benchmarks/answers.py --stack checkpoints/skills-mini``.

For every module whose skill asks questions, on its own path: the share of right answers to held-out questions with its
95 % interval, the same by sort and by length of question, in how many answers all names are copied right, and the
references: a drawn choice, the best constant answer, the skill's rule without state, the question-blind counter. A
score whose interval reaches down to the best is "not learned".

``--out results/skills-mini`` adds the scores to ``answers.json`` in that folder; for a folder in the repository's
``results`` it also renews the page in ``docs/results`` that has the folder's name.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from jsonargparse import auto_cli

from growlm.data.example import Split
from growlm.files import write_json
from growlm.manifest.card import percent
from growlm.manifest.manifest import ModuleRecord
from growlm.metrics.references import References, interval, learned, references
from growlm.metrics.scoring import Answer, score_with_answers
from growlm.registry import skills
from growlm.show.beside import reference_rows, split_rows
from growlm.skills.metric import OF_MESSAGES
from growlm.stack.stack import ModuleStack
from growlm.train.machine import machine_kind

RESULTS = Path(__file__).parents[1] / "results"
PAGES = RESULTS.parent / "docs" / "results"
_KEPT = 10
_COMMON = 0.01
"""A capitalised word that more than this share of the references bring by themselves is taken for no name."""


def names_copied(answers: tuple[Answer, ...]) -> tuple[int, int]:
    """Count answers that should repeat a name of the question, and how many of them hold no name but those.

    Answers for which names are to be made up, such as stories, do not count.

    Args:
        answers: the answers.

    Returns:
        How many copy every name right, and how many should.
    """
    own = Counter(
        word for answer in answers for word in _capitalised(answer.reference.content) - _capitalised(answer.source)
    )
    no_names = {word for word, count in own.items() if count > _COMMON * len(answers)}
    right = count = 0
    for answer in answers:
        asked = _capitalised(answer.source)
        wanted = _capitalised(answer.reference.content) - no_names
        if wanted and wanted <= asked:
            count += 1
            right += _capitalised(answer.answer) - no_names <= asked
    return right, count


def _capitalised(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][a-z]+", text))


def measure(stack: ModuleStack, record: ModuleRecord, split: Split, count: int) -> dict[str, Any] | None:
    """Score one module by whole answers on its own path.

    Args:
        stack: the stack.
        record: the module.
        split: the split.
        count: examples of the split.

    Returns:
        The scores, ready for JSON; None if the skill asks no questions.
    """
    skill = skills.build(record.skill["name"], {**record.skill["options"], f"num_{split}": count})
    known = references(skill, split)
    if skill.metric not in OF_MESSAGES or known is None:
        return None
    with stack.active(*record.path), stack.frozen_merged():
        score, answers = score_with_answers(stack, skill, split)
    right, named = names_copied(answers)
    return {
        "share": score.value,
        "count": score.count,
        "loss": score.loss,
        "interval": interval(score.value, score.count),
        "learned": learned(score.value, score.count, known),
        "references": asdict(known),
        "splits": dict(split_rows(answers)),
        "names": {"copied": right, "of": named},
        "parents": list(record.path[:-1]),
        "training": {key: record.cost[key] for key in ("steps", "tokens", "seconds", "losses")},
        "samples": [
            {"asked": one.source, "answered": one.answer, "expected": one.reference.content, "right": one.score == 1.0}
            for one in islice(answers, _KEPT)
        ],
    }


def lines(name: str, measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is printed of one module."""
    yield f"{name}: {percent(measured['share'])} of {measured['count']}"
    rows = reference_rows(measured["share"], measured["count"], References(**measured["references"]))
    copied = measured["names"]
    rows += [*measured["splits"].items(), ("names copied right", f"{copied['copied']} of {copied['of']}")]
    yield from (f"  {label}: {value}" for label, value in rows)


def page(folder: Path, results: Mapping[str, Any]) -> str:
    """Write the page of a folder of results.

    Args:
        folder: the folder.
        results: the content of its ``answers.json``.

    Returns:
        Markdown.
    """
    text = [
        f"# Whole answers of {folder.name}\n",
        f"```bash\n{_commands(results)}\npython benchmarks/answers.py --stack {results['stack']} --out {folder}\n```\n",
        f"Base `{results['base']}`, {results['machine']}, {results['date']}. Questions of the {results['split']} "
        "split, with made-up names that no training has seen. An answer is right if its last clause is (`chat`: if it "
        "holds what was asked for). Greedy decoding, each module on its own path. One seed: the intervals hold the "
        "sampling of questions, not that of trainings.\n",
        "What a score has to beat, none of which understands the question: *random*, a choice drawn at random; "
        "*constant*, the best single answer; *stateless*, a simple rule that keeps no state, where the skill has "
        "one; *question-blind*, each word of the answer guessed from the four before it. *Names copied*: answers that "
        "repeat every name of the question right, of those that should repeat one.\n",
        "| skill | right | 95 % interval | random | constant | stateless | question-blind | names copied | training |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in results["skills"].items():
        low, high = one["interval"]
        known, names, cost = one["references"], one["names"], one["training"]
        beaten = [known["drawn"], known["constant"], known["stateless"], known["blind"]]
        cells = [
            f"`{name}`",
            f"**{percent(one['share'])}** of {one['count']}" + ("" if one["learned"] else ", not learned"),
            f"{percent(low)} to {percent(high)}",
            *("" if value is None else percent(value) for value in beaten),
            percent(names["copied"] / names["of"]) if names["of"] else "",
            f"{_grown_on(one)}{cost['steps']:,} steps, {cost['tokens']:,} tokens, {cost['seconds']:,.0f} s",
        ]
        text.append(f"| {' | '.join(cells)} |")
    for name, one in results["skills"].items():
        curve = ", ".join(f"{loss:.2f}" for _, loss in one["training"]["losses"])
        text += [f"\n## {name}\n", f"Loss per trained token, by twentieths of the training: {curve}.\n"]
        text += ["| questions | right |", "|---|---|"]
        text += [f"| {label} | {value} |" for label, value in one["splits"].items()]
        text.append("\nThe first questions, answered right (+) or not (-):\n\n```text")
        for sample in one["samples"][:3]:
            asked = sample["asked"].replace("\n", "\n  ")
            text.append(f"{'+' if sample['right'] else '-'} {asked}\n  → {sample['answered']}")
            if not sample["right"]:
                text.append(f"  expected: {sample['expected']}")
        text.append("```")
    if (folder / "free_turns.json").exists():
        text += _free_turns(json.loads((folder / "free_turns.json").read_text(encoding="utf-8")))
    return "\n".join(text) + "\n"


def _commands(results: Mapping[str, Any]) -> str:
    """Write the commands that grow the stack."""
    return "\n".join(
        f"growlm grow --skill {name} --base {results['base']} --parents {'+'.join(one['parents']) or 'none'} "
        f"--stack {results['stack']}"
        for name, one in results["skills"].items()
    )


def _grown_on(measured: Mapping[str, Any]) -> str:
    parents = ", ".join(f"`{name}`" for name in measured["parents"])
    return f"on {parents}: " if parents else ""


def _free_turns(results: Mapping[str, Any]) -> Iterator[str]:
    low, high = results["interval"]
    yield "\n## Free turns\n"
    yield (
        "Two hundred first turns, written by hand and not from the skill's wordings, and the rules that judge replies "
        "are in `tests/data/free_turns.yaml`. "
        f"Sensible by these rules, on the path `{results['path']}`: **{percent(results['share'])}** "
        f"({percent(low)} to {percent(high)}).\n"
    )
    yield "| rule | sensible |\n|---|---|"
    yield from (f"| {rule} | {right} of {count} |" for rule, (right, count) in results["by_rule"].items())
    yield "\n```text"
    for turn in results["turns"][:: len(results["turns"]) // 10]:
        yield f"{'+' if turn['sensible'] else '-'} {turn['turn']}\n  → {turn['reply']}"
    yield "```"


def main(
    stack: Path = Path("checkpoints/stack"),
    base: str | None = None,
    module: str | None = None,
    split: Split = "test",
    count: int = 500,
    show: int = 0,
    out: Path | None = None,
    date: str = "",
) -> None:
    """Score the modules of a stack by whole answers.

    Args:
        stack: folder of the stack.
        base: where the base is now, if not where the manifest says.
        module: only this one.
        split: ``validation`` to choose settings by, ``test`` to report.
        count: examples of the split.
        show: print this many questions with the answer and what was expected, at most ten.
        out: folder of results; modules that are there already are measured again.
        date: what the page says of when this was.
    """
    loaded = ModuleStack.from_pretrained(stack, base=base)
    file = out / "answers.json" if out else None
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {"skills": {}}
    results |= {"stack": str(stack), "base": Path(loaded.manifest.base.source).name, "split": split}
    results |= {"machine": machine_kind(), "date": date}
    for record in loaded.manifest.modules:
        if module not in (None, record.name):
            continue
        measured = measure(loaded, record, split, count)
        if measured is None:
            continue
        results["skills"][record.name] = measured
        for sample in measured["samples"][:show]:
            sign = "+" if sample["right"] else "-"
            sys.stdout.write(
                f"{sign} {sample['asked']}\n    {sample['answered']}\n    expected: {sample['expected']}\n"
            )
        sys.stdout.write("\n".join(lines(record.name, measured)) + "\n")
        sys.stdout.flush()
        if out and file:
            out.mkdir(parents=True, exist_ok=True)
            write_json(file, results)
            if out.resolve().parent == RESULTS:
                (PAGES / f"{out.name}.md").write_text(page(out, results), encoding="utf-8")


if __name__ == "__main__":
    auto_cli(main)
