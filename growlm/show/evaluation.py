"""Scoring a stack from the outside: skills by paths, as ``growlm eval`` prints them."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from rich.table import Table

from growlm.data.example import Split
from growlm.data.sources import is_own_data, skill_of_data
from growlm.errors import GrowlmError, unknown_name
from growlm.manifest.card import ROUTING_ACCURACY, named_scores, percent
from growlm.manifest.path import Path as StackPath
from growlm.manifest.path import format_path, parse_path
from growlm.manifest.recorded_skill import recorded_skill
from growlm.metrics.references import References, references
from growlm.metrics.routed import RoutedScore, routed_score
from growlm.metrics.scoring import Answer, Score, score_with_answers
from growlm.registry import skills
from growlm.show.beside import reference_rows, split_rows
from growlm.skills.metric import OF_MESSAGES
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack

BASE_SKILL = "stories"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """One score.

    Args:
        skill: what was scored.
        split: on which split.
        mode: ``base``, ``oracle`` (the skill's own path), ``routed`` (the router chose), ``all``, or ``path`` (one that
            was asked for).
        path: the active modules; None where the router chose.
        score: the score.
        references: what the score has to beat, for skills of conversations; None elsewhere.
        answers: the answers behind the score; none for a metric without questions and where the router chose.
    """

    skill: str
    split: str
    mode: str
    path: StackPath | None
    score: Score
    references: References | None = None
    answers: tuple[Answer, ...] = ()


def evaluate(
    stack: ModuleStack,
    skill: str | None = None,
    path: str | None = None,
    split: str = "test",
    limit: int | None = None,
    stories: str | None = None,
    trust_data: bool = False,
) -> list[Result]:
    """Score skills of a stack.

    Args:
        stack: the stack.
        skill: only this one: a module's name, a skill, or data of your own; None: the stories and every module's.
        path: only this path; None: the bare base, the skill's own path, what the router chooses if the
            stack has one, and all modules.
        split: which split.
        limit: greatest number of examples, from the first on of each skill.
        stories: text file in place of TinyWorld's stories.
        trust_data: read the data files and hub ids that the records of a stranger's stack name.

    Returns:
        The scores.

    Raises:
        GrowlmError: for an unknown skill, path or split.
    """
    if split not in get_args(Split):
        raise unknown_name("split", split, get_args(Split))
    results: list[Result] = []
    for name, source in _skills(stack, skill, stories, trust_data):
        known_references = references(source, cast(Split, split), limit=limit)
        for mode, active in _paths(stack, name, path).items():
            if active is None:
                _logger.info("scoring %s routed", name)
                own = () if name == BASE_SKILL else stack.path_of(name) if name in stack.parents() else None
                known = {
                    result.path: result.score for result in results if result.skill == name and result.path is not None
                }
                chosen = routed_score(stack, source, own, cast(Split, split), limit, known)
                results.append(Result(name, split, mode, None, chosen, known_references))
                continue
            same = [result for result in results if (result.skill, result.path) == (name, active)]
            if same:
                results.append(replace(same[0], mode=mode))
                continue
            _logger.info("scoring %s on %s", name, format_path(active))
            with stack.active(*active):
                scored, answers = score_with_answers(stack, source, cast(Split, split), limit)
            results.append(Result(name, split, mode, active, scored, known_references, answers))
    return results


def evaluation_table(results: list[Result]) -> Table:
    """Return scores as a table, one row a score."""
    table = Table("skill", "split", "mode", "path", "score", "value", "scored")
    for result in results:
        path = "chosen" if result.path is None else format_path(result.path)
        rows = named_scores(result.score.metric, result.score.value, result.score.loss)
        if result.score.scoring.startswith("candidates"):
            rows.append(("asked by", result.score.scoring.replace("_", " ")))
        if result.score.cut:
            rows.append(("prompts cut", str(result.score.cut)))
        if isinstance(result.score, RoutedScore):
            if result.score.routing_accuracy is not None:
                rows.append((ROUTING_ACCURACY, percent(result.score.routing_accuracy)))
            rows.append(("paths", ", ".join(f"{path} {percent(share)}" for path, share in result.score.paths.items())))
        if result.references is not None and result.score.metric in OF_MESSAGES:
            rows += reference_rows(result.score.value, result.score.count, result.references)
            rows += split_rows(result.answers)
        for name, value in rows:
            table.add_row(result.skill, result.split, result.mode, path, name, value, str(result.score.count))
    return table


def _skills(
    stack: ModuleStack, wanted: str | None, stories: str | None, trust_data: bool
) -> Iterator[tuple[str, Skill]]:
    records = {record.name: record for record in stack.manifest.modules}
    if wanted is None:
        yield BASE_SKILL, _stories(stories)
    for name, record in records.items():
        if wanted == name and not record.skill:
            raise GrowlmError(
                f"module {name!r} was imported without a skill: name one with --skill, and --path {name}; or undo it "
                "and import it again with --skill"
            )
        if wanted in (None, name) and record.skill:
            try:
                source = recorded_skill(record, trust_data)
            except GrowlmError as error:
                if wanted is not None:
                    raise
                _logger.warning("module %r is not scored: %s", name, error)
                continue
            _warn_of_other_examples(name, record.skill, source)
            yield name, source
    if wanted is None or wanted in records:
        return
    if is_own_data(wanted):
        skill, options = skill_of_data(wanted)
        yield Path(wanted).name, skills.build(skill, options)
    elif wanted == BASE_SKILL:
        yield BASE_SKILL, _stories(stories)
    elif wanted in skills:
        yield wanted, skills.build(wanted)
    else:
        raise unknown_name("skill", wanted, [*records, *skills])


def _warn_of_other_examples(name: str, recorded: Mapping[str, Any], source: Skill) -> None:
    digest = recorded.get("test_digest")
    if digest is not None and digest != source.digest("test"):
        _logger.warning(
            "%s: the test examples of skill %r are not those it was grown with (changed data, or examples of growlm "
            "0.1, which made the first edition of TinyWorld): its scores do not compare with those of its record",
            name,
            recorded["name"],
        )


def _stories(file: str | None) -> Skill:
    return skills.build(BASE_SKILL, {"file": file} if file else {})


def _paths(stack: ModuleStack, name: str, path: str | None) -> dict[str, StackPath | None]:
    if path is not None:
        return {"path": parse_path(path, stack.parents())}
    own = {"oracle": stack.path_of(name)} if name in stack.parents() else {}
    everything = {"all": stack.manifest.current()} if stack.parents() else {}
    routed = {"routed": None} if stack.router is not None else {}
    return {"base": (), **own, **routed, **everything}
