"""Whole answers beside what they have to beat: ``python benchmarks/answers.py --stack checkpoints/skills-mini``.

For every module whose skill asks questions, on its own path: the share of right answers to held-out questions with its
95 % interval, the same by sort and by length of question, in how many answers all names are copied right, also of those
with first names of many languages, and the references: a drawn choice, the best constant answer, the skill's rule
without state, the question-blind counter. A score whose interval reaches down to the best is "not learned".

``--out results/skills-mini`` adds the scores to ``answers.json`` in that folder, beside those of trainings with other
seeds; for a folder in the repository's ``results`` it also renews the page in ``docs/results`` that has the folder's
name.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from textwrap import fill
from typing import Any

import torch
import yaml
from jsonargparse import auto_cli

from growlm.bench.report.significance import bootstrap_interval
from growlm.data.example import Split
from growlm.files import write_json
from growlm.manifest.card import percent
from growlm.manifest.manifest import ModuleRecord
from growlm.metrics.references import References, interval, references
from growlm.metrics.scoring import Answer, score_with_answers
from growlm.recipes import recipe_path
from growlm.registry import skills
from growlm.show.beside import reference_rows, split_rows
from growlm.skills.metric import OF_MESSAGES
from growlm.stack.stack import ModuleStack
from growlm.tinyworld.lexicon import MANY_NAMES
from growlm.train.machine import machine_kind

RESULTS = Path(__file__).parents[1] / "results"
PAGES = RESULTS.parent / "docs" / "results"
NAMES = {"names": "names", "first_names": "first names of many languages"}
"""What is measured of copying names, and how it is called."""
FIRST_NAMES = frozenset(name for names in MANY_NAMES.values() for name in names)
_KEPT = 10
_WIDTH = 130
"""Of the page's text, in characters."""
_COMMON = 0.01
"""A capitalised word that more than this share of the references bring by themselves is taken for no name."""


def names_copied(
    answers: tuple[Answer, ...], free: bool = False, among: frozenset[str] | None = None
) -> tuple[int, int]:
    """Count answers that should repeat names of the question, and how many of them do not garble one.

    An answer garbles a name if it holds a name that the question has not, or none at all. Where answers are free to
    make other people up, such as in stories, a new name is none the worse beside all names that were to be repeated.

    Args:
        answers: the answers.
        free: whether answers may bring names of their own.
        among: count only answers that should repeat at least one of these.

    Returns:
        How many copy every name right, and how many should.
    """
    references = [answer.reference.content for answer in answers]
    own = Counter(
        word
        for answer, content in zip(answers, references, strict=True)
        for word in _capitalised(content) - _capitalised(answer.source)
    )
    # a word that the references also have in lower case is not a name
    small = {word.capitalize() for content in references for word in re.findall(r"\b[a-z]+", content)}
    no_names = small | {word for word, count in own.items() if count > _COMMON * len(answers)}
    right = count = 0
    for answer in answers:
        asked = _capitalised(answer.source) - no_names
        wanted = _capitalised(answer.reference.content) - no_names
        if wanted and wanted <= asked and (among is None or wanted & among):
            count += 1
            found = _capitalised(answer.answer) - no_names
            right += (found <= asked and bool(found)) or (free and wanted <= found)
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
    free = skill.metric != "final_answer"
    (right, named), (right_first, first) = names_copied(answers, free), names_copied(answers, free, FIRST_NAMES)
    return {
        "share": score.value,
        "count": score.count,
        "loss": score.loss,
        "interval": interval(score.value, score.count),
        "references": asdict(known),
        "splits": dict(split_rows(answers)),
        "names": {"copied": right, "of": named},
        "first_names": {"copied": right_first, "of": first},
        "right": "".join("1" if answer.score == 1.0 else "0" for answer in answers),
        "parents": list(record.path[:-1]),
        "skill_options": record.skill["options"],
        "training": {
            **{key: record.cost[key] for key in ("steps", "tokens", "seconds", "losses")},
            "machine": record.environment["machine"],
        },
        "samples": [
            {"asked": one.source, "answered": one.answer, "expected": one.reference.content, "right": one.score == 1.0}
            for one in islice(answers, _KEPT)
        ],
    }


def lines(name: str, measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is printed of one module."""
    yield f"{name}: {percent(measured['share'])} of {measured['count']}"
    rows = reference_rows(measured["share"], measured["count"], References(**measured["references"]))
    rows += measured["splits"].items()
    for key, label in NAMES.items():
        rows.append((f"{label} copied right", "{copied} of {of}".format(**measured[key])))
    yield from (f"  {label}: {value}" for label, value in rows)


def page(folder: Path, results: Mapping[str, Any]) -> str:
    """Write the page of a folder of results.

    Args:
        folder: the folder.
        results: the content of its ``answers.json``.

    Returns:
        Markdown.
    """
    first = {name: _first(by_seed) for name, by_seed in results["skills"].items()}
    text = [
        f"# Whole answers of {folder.name}\n",
        f"```bash\n{_commands(results['base'], results['stack'], first)}\n"
        f"python benchmarks/answers.py --stack {results['stack']} --out {folder}\n```\n",
        fill(
            f"Base `{results['base']}`, asked on {results['machine']}, {results['date']}. Questions of the "
            f"{results['split']} split; half of the names are in no training: "
            "first names of many languages, from a list, or made up. An answer is right if its "
            "last clause is (`chat`: if it holds what was asked for). Greedy decoding, each module on its own path. "
            "Several trainings of a skill have the seeds 0, 1, 2 and so on, and the same questions: the score is their "
            "mean, and its interval holds the sampling of questions and of trainings; that of one training holds the "
            "sampling of questions alone.",
            _WIDTH,
        ),
        "",
        fill(
            "What a score has to beat, none of which understands the question: *random*, a choice drawn at random; "
            "*constant*, the best single answer; *stateless*, a simple rule that keeps no state, where the skill has "
            "one; *question-blind*, each word of the answer guessed from the four before it. *Names copied*: answers "
            "that garble no name, of those that should repeat one; *first names*: the same of answers that should "
            "repeat one of the list.",
            _WIDTH,
        ),
        "",
        "| skill | right | 95 % interval | trainings | random | constant | stateless | question-blind | names copied | "
        "first names |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(name, by_seed) for name, by_seed in results["skills"].items()),
        "\n| skill | training | machine |\n|---|---|---|",
        *(
            f"| `{name}` | {_grown_on(one)}{one['training']['steps']:,} steps, {one['training']['tokens']:,} tokens, "
            f"{one['training']['seconds']:,.0f} s | {one['training']['machine']} |"
            for name, one in first.items()
        ),
    ]
    for name, one in first.items():
        curve = ", ".join(f"{loss:.2f}" for _, loss in one["training"]["losses"])
        text += [f"\n## {name}\n", fill(f"Loss per trained token, by twentieths of the training: {curve}.", _WIDTH), ""]
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


def mean_share(by_seed: Mapping[str, Mapping[str, Any]]) -> tuple[float, tuple[float, float]]:
    """Compute the mean score of trainings that were asked the same questions, and its 95 % interval.

    Args:
        by_seed: what was measured of each.
    """
    measured = list(by_seed.values())
    if len(measured) == 1:
        low, high = measured[0]["interval"]
        return measured[0]["share"], (low, high)
    right_CQ = torch.tensor([[float(digit) for digit in one["right"]] for one in measured])
    return right_CQ.mean(dtype=torch.float64).item(), bootstrap_interval([right_CQ])


def _first(by_seed: Mapping[str, Any]) -> Any:
    return by_seed[min(by_seed, key=int)]


def _row(name: str, by_seed: Mapping[str, Mapping[str, Any]]) -> str:
    share, (low, high) = mean_share(by_seed)
    one = _first(by_seed)
    known = References(**one["references"])
    cells = [
        f"`{name}`",
        f"**{percent(share)}** of {one['count']}" + ("" if low > known.best else ", not learned"),
        f"{percent(low)} to {percent(high)}",
        ", ".join(f"{100 * by_seed[seed]['share']:.1f}" for seed in sorted(by_seed, key=int)),
        percent(known.drawn),
        percent(known.constant),
        "" if known.stateless is None else percent(known.stateless),
        percent(known.blind),
        *(_copied(key, by_seed.values()) for key in NAMES),
    ]
    return f"| {' | '.join(cells)} |"


def _copied(key: str, measured: Iterable[Mapping[str, Any]]) -> str:
    """Write which share of names is copied right, over all trainings of a skill."""
    copied, named = (sum(one[key][part] for one in measured) for part in ("copied", "of"))
    return percent(copied / named) if named else ""


def _commands(base: str, stack: str, skills_grown: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the commands that grow the stack, with what they change of the recipes."""
    lines = []
    for name, one in skills_grown.items():
        recipe = yaml.safe_load(recipe_path("skills", name).read_text(encoding="utf-8"))
        words = [f"growlm grow --skill {name} --base {base} --parents {'+'.join(one['parents']) or 'none'}"]
        if one["training"]["steps"] != recipe["trainer"]["max_steps"]:
            words.append(f"--steps {one['training']['steps']}")
        if one["skill_options"] != recipe["model"]["skill_options"]:
            words.append(f"--skill_options '{json.dumps(one['skill_options'])}'")
        lines.append(" ".join([*words, f"--stack {stack}"]))
    return "\n".join(lines)


def _grown_on(measured: Mapping[str, Any]) -> str:
    parents = ", ".join(f"`{name}`" for name in measured["parents"])
    return f"on {parents}: " if parents else ""


def _free_turns(results: Mapping[str, Any]) -> Iterator[str]:
    low, high = results["interval"]
    yield "\n## Free turns\n"
    yield fill(
        "Two hundred first turns, written by hand, hardly any in a wording of the skill, and the rules that judge "
        "replies are in `tests/data/free_turns.yaml`. "
        f"Sensible by these rules, on the path `{results['path']}`: **{percent(results['share'])}** "
        f"({percent(low)} to {percent(high)}).",
        _WIDTH,
    )
    yield ""
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
    results.setdefault("stack", str(stack))
    results |= {"base": Path(loaded.manifest.base.source).name, "split": split}
    results |= {"machine": machine_kind(), "date": date}
    for record in loaded.manifest.modules:
        if module not in (None, record.name):
            continue
        measured = measure(loaded, record, split, count)
        if measured is None:
            continue
        results["skills"].setdefault(record.name, {})[str(record.seed)] = measured
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
