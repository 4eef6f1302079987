"""Which path the router of a stack chooses, and what a wrong choice costs: ``python benchmarks/routing.py``.

Tables of choices: prompts of every module's test split, each up to one of its turns; conversations that switch from one
skill to another; look-alikes, which have the surface of one skill and ask for another, or ask in another form, once
those that the router's options were chosen on and once those that nothing was chosen on; composites, which need several
skills, so that no single path is right; stories begun with few tokens; texts of kinds that no skill teaches. Then the
scores of every skill's questions on every path, and on the path that the router chooses for each.
``--out results/routing.json`` writes them, and the page ``docs/results/router.md``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path as FilePath
from statistics import fmean
from typing import Any

from jsonargparse import auto_cli
from rich.console import Console
from routing_prompts import CHOSEN_ON, HELD_OUT, look_alikes, other_texts, switches

from growlm.data.encode import encode_prompt
from growlm.files import write_json
from growlm.manifest.card import percent
from growlm.manifest.manifest import ModuleRecord
from growlm.manifest.path import BASE, Path
from growlm.metrics.scoring import answer_questions, asked_questions, mean_score, scored_answers
from growlm.registry import skills
from growlm.routing.prompts import drawn_prompts
from growlm.routing.router import Prompts
from growlm.skills.composites import Composite
from growlm.stack.router_file import StackRouter
from growlm.stack.stack import ModuleStack
from growlm.train.machine import machine_kind

LENGTHS = (4, 8, 16, 32, 64, 128)
PAGE = FilePath(__file__).parents[1] / "docs" / "results" / "router.md"

LOOK_ALIKES = {"look-alikes, held out": HELD_OUT, "look-alikes, chosen on": CHOSEN_ON}

Table = dict[str, dict[str, float]]
"""For each sort of prompt, the share of each path among the choices."""


class Choices:
    """Asks the router of a stack for paths.

    Args:
        stack: the stack.
    """

    def __init__(self, stack: ModuleStack) -> None:
        assert stack.router is not None
        self._stack = stack
        self._router: StackRouter = stack.router

    def paths(self, prompts: Prompts) -> list[Path]:
        """Choose the path of each prompt."""
        return [tuple(path) for path in self._router.choose(self._stack, prompts)]

    def shares(self, prompts: Prompts) -> dict[str, float]:
        """Compute the share of each chosen module, the last of its path, most frequent first."""
        chosen = Counter(_module(path) for path in self.paths(prompts))
        return {name: number / len(prompts) for name, number in chosen.most_common()}


def _module(path: Path) -> str:
    return path[-1] if path else BASE


def choices(stack: ModuleStack, count: int) -> dict[str, Table]:
    """Count the router's choices on every sort of prompt.

    Args:
        stack: the stack, each of whose modules is named as its skill.
        count: prompts of each sort.

    Returns:
        The tables by their names.
    """
    router, names = Choices(stack), [record.name for record in stack.manifest.modules]
    own = {name: drawn_prompts(skills.build(name), "test", stack.tokenizer, count) for name in names}
    stories = drawn_prompts(skills.build("stories"), "test", stack.tokenizer, count)
    composites = [name for name in skills if issubclass(skills.get(name), Composite)]
    return {
        "own prompts": {name: router.shares(prompts) for name, prompts in own.items()},
        "last turn": {
            name: router.shares(
                [
                    prompt
                    for first in names
                    if first != name
                    for prompt in switches(stack, skills.build(first), skills.build(name), count // (len(names) - 1))
                ]
            )
            for name in names
        },
        **{
            title: {
                f"{sort} (right: {skill})": router.shares(prompts)
                for sort, skill, prompts in look_alikes(stack, sorts, count)
            }
            for title, sorts in LOOK_ALIKES.items()
        },
        "composites": {
            name: router.shares(drawn_prompts(skills.build(name), "test", stack.tokenizer, count))
            for name in composites
        },
        "stories": {f"at most {length} tokens": router.shares([p[:length] for p in stories]) for length in LENGTHS},
        "other texts": {kind: router.shares(prompts) for kind, prompts in other_texts(stack)},
    }


def scores(stack: ModuleStack, record: ModuleRecord, count: int) -> dict[str, float]:
    """Score the questions of a module's skill on every path, and each on the path that the router chooses.

    Args:
        stack: the stack.
        record: the module.
        count: examples of the test split.

    Returns:
        The mean score by the name of the last module of the path, and under ``routed``.
    """
    skill = skills.build(record.skill["name"], {**record.skill["options"], "num_test": count})
    questions = asked_questions(skill, "test", list(islice(skill.examples("test"), count)))
    prompts = [question.prompt for question in questions]
    answered: dict[Path, tuple[Any, ...]] = {}
    for path in [(), *(tuple(module.path) for module in stack.manifest.modules)]:
        with stack.active(*path), stack.frozen_merged():
            answered[path] = scored_answers(questions, answer_questions(stack, skill, prompts))
    chosen = Choices(stack).paths([encode_prompt(prompt, stack.tokenizer) for prompt in prompts])
    found = {_module(path): mean_score(answers) for path, answers in answered.items()}
    return {**found, "routed": mean_score([answered[path][place] for place, path in enumerate(chosen)])}


def page(found: Mapping[str, Any]) -> str:
    """Write the page of results."""
    texts = {
        "own prompts": "Prompts of each skill's test split, each up to one of its turns.",
        "last turn": "An example of another skill to its end, then the first turn of one of this skill.",
        "look-alikes, held out": "Prompts with the surface of one skill that ask for another, or in another form than "
        "the skill's own. No option of a router was chosen on these.",
        "look-alikes, chosen on": "More such prompts: the defaults of router `ridge` were chosen on these.",
        "composites": "Tasks that need two skills at once: no single module is right.",
        "stories": "The base's own stories, begun with few tokens: the base path is right.",
        "other texts": "Texts that no skill teaches, four of a kind (`tests/data/other_texts.yaml`): the base path is "
        "right. The defaults of router `ridge` were chosen on these, too.",
    }
    lines = [
        "# The router\n",
        f"```bash\npython benchmarks/routing.py --stack {found['stack']} --count {found['count']} "
        "--out results/routing.json\n```\n",
        f"The router `{found['router']}` of `{found['stack']}`, on base `{found['base']}`; {found['count']} prompts of "
        f"each sort, {found['machine']}, {found['date']}. A path is named by its last module.\n",
        _summary(found),
        "## What a wrong path costs\n",
        "The share of right answers, in percent, to the same questions on every path. `routed`: each question on the "
        "path that the router chooses for it.\n",
        *_score_table(found["scores"]),
    ]
    for name, table in found["choices"].items():
        lines += [f"\n## Choices: {name}\n", f"{texts[name]}\n", "| prompts | chosen module |", "| --- | --- |"]
        lines += [f"| {sort} | {_written(shares)} |" for sort, shares in table.items()]
    return "\n".join(lines) + "\n"


def _summary(found: Mapping[str, Any]) -> str:
    """State the shares of right choices, and what wrong ones cost."""
    own, scores = found["choices"]["own prompts"], found["scores"]
    held_out, chosen_on = (_mean(_right(found["choices"][title])) for title in LOOK_ALIKES)
    others = _mean(shares.get(BASE, 0) for shares in found["choices"]["other texts"].values())
    wrong = max(share for name, row in scores.items() for path, share in row.items() if path not in (name, "routed"))
    return (
        "On the right path are\n\n"
        f"- {_mean(own[name].get(name, 0) for name in own)} of the skills' own prompts,\n"
        f"- {held_out} of the look-alikes that no default of the router was chosen on,\n"
        f"- {chosen_on} of those that its defaults were chosen on,\n"
        f"- {others} of texts that no skill teaches, which belong to the base; defaults were chosen on these, too.\n\n"
        f"Routed, the skills score {_mean(row['routed'] for row in scores.values())} on average, each on its own path "
        f"{_mean(row[name] for name, row in scores.items())}. On a wrong path at most {percent(wrong)} of a skill's "
        "questions are answered right. How the defaults were chosen: [options of "
        "`ridge`](../design/routing.md#options-of-ridge).\n"
    )


def _right(table: Table) -> Iterator[float]:
    """Yield the share of right choices of each sort, whose name says what is right."""
    return (shares.get(sort.rpartition("(right: ")[2].removesuffix(")"), 0) for sort, shares in table.items())


def _mean(shares: Iterable[float]) -> str:
    return percent(fmean(shares))


def _score_table(table: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    paths = list(next(iter(table.values())))
    yield f"| questions of | {' | '.join(f'`{path}`' for path in paths)} |"
    yield f"| --- |{' --: |' * len(paths)}"
    for name, row in table.items():
        cells = [f"{100 * row[path]:.1f}" for path in paths]
        yield f"| `{name}` | {' | '.join(f'**{c}**' if p == name else c for p, c in zip(paths, cells, strict=True))} |"


def _written(shares: Mapping[str, float]) -> str:
    return ", ".join(f"`{name}` {percent(share)}" for name, share in shares.items())


def main(
    stack: FilePath = FilePath("checkpoints/skills-mini"), count: int = 200, out: FilePath | None = None, date: str = ""
) -> None:
    """Measure the choices of a stack's router and what they cost.

    Args:
        stack: folder of a stack whose modules are named as their skills.
        count: prompts and examples of each sort.
        out: file of results; the page is written with it.
        date: what the page says of when this was.
    """
    loaded = ModuleStack.from_pretrained(stack).eval()
    if loaded.router is None:
        raise SystemExit(f"{stack} has no router: grow it with one")
    found: dict[str, Any] = {
        "stack": str(stack),
        "base": FilePath(loaded.manifest.base.source).name,
        "router": loaded.router.name,
        "count": count,
        "machine": machine_kind(),
        "date": date,
        "choices": choices(loaded, count),
        "scores": {record.name: scores(loaded, record, count) for record in loaded.manifest.modules},
    }
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, found)
        PAGE.write_text(page(found), encoding="utf-8")
    Console().print(page(found), markup=False)


if __name__ == "__main__":
    auto_cli(main)
