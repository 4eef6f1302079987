"""What a cell measured, as one JSON file: written atomically after each phase, read with its digest checked."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, get_type_hints

from growlm.bench.run.answers import ANSWERS_FILE, Answers, read_answers, rescored, write_answers
from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.manifest.scores import MODES, Matrix, ScoreTables
from growlm.sealed import fits, json_digest, seal, unseal
from growlm.show.importance import ImportanceMap
from growlm.terminal import counted

FORMAT_VERSION = 1
_OLD_SETTINGS = {"by_skill": "per_skill"}
"""Settings that version 0.1.0 wrote, and what they are called since."""
_SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("label", "method", "order", "stream", "base"), str),
    "seed": int,
    "skills": list[dict[str, Any]],
    "composites": dict[str, list[str]],
    **dict.fromkeys(("options", "phase"), dict[str, Any]),
}
_COSTS = ("tokens", "rows", "replayed_rows", "seconds", "wall_seconds", "trained", "active", "stored_bytes", "flops")
_LATER_COSTS = ("generated_rows", "kept_rows", "kept_bytes")
"""Costs that version 0.2 did not measure."""


@dataclass
class CellResult:
    """What a cell has measured so far.

    Args:
        settings: what the result is a function of.
        mode: the inference mode that the method's authors intend.
        at_once: all skills were learned in one phase.
        environment: versions and machine kind, of the last phase.
        base: source, digest and number of parameters of the base.
        data: for each skill, the digests of its training and test examples.
        scores: R[t, i] in each inference mode.
        losses: the same cells' loss per trained token, in nats.
        routing: after each phase, for each skill the share of prompts that the router sent to the skill's own path.
        stories: bits per byte on the base's own text, by mode, before the first phase and after each.
        composites: for each composite skill, its score on the bare base (``base``) and by mode at the end.
        blimp: accuracy on BLiMP of the bare base and of all modules together, if it was asked for.
        general: general ability at the end: by measurement, its value on the bare base (``base``) and by mode; see
            ``growlm.bench.run.general``.
        costs: of each phase; see ``growlm.bench.run.cost``.
        importance: for a method that keeps the importance of its units, its mean by layer and projection to all skills:
            the fields of a ``growlm.show.importance.ImportanceMap``.
        fresh: the skill of no phase after a few steps from each checkpoint: ``after`` how many phases, ``value`` and
            ``loss``; see ``growlm.bench.run.trials``.
        recovery: the first skill after a few more steps on it at the end: ``value`` and ``loss``.
        references: by skill, scores that need no model; see ``growlm.metrics.references``.
        finished: all phases are done.
        answers: behind the last scores, in a file of their own; none for metrics that ask no question.
    """

    settings: dict[str, Any]
    mode: str
    at_once: bool
    environment: dict[str, str] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    data: dict[str, dict[str, str]] = field(default_factory=dict)
    scores: ScoreTables = field(default_factory=lambda: ScoreTables((), {}))
    losses: ScoreTables = field(default_factory=lambda: ScoreTables((), {}))
    routing: list[list[float | None]] = field(default_factory=list)
    stories: dict[str, list[float | None]] = field(default_factory=dict)
    composites: dict[str, dict[str, float | None]] = field(default_factory=dict)
    blimp: dict[str, float] = field(default_factory=dict)
    general: dict[str, dict[str, float]] = field(default_factory=dict)
    costs: list[dict[str, Any]] = field(default_factory=list)
    importance: dict[str, Any] = field(default_factory=dict)
    fresh: list[dict[str, float]] = field(default_factory=list)
    recovery: dict[str, float] = field(default_factory=dict)
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    finished: bool = False
    answers: Answers = field(default_factory=dict)

    @classmethod
    def new(cls, settings: dict[str, Any], mode: str, at_once: bool) -> Self:
        """Create the result of a cell that has not run.

        Args:
            settings: the cell's settings.
            mode: the inference mode that the method's authors intend.
            at_once: all skills are learned in one phase.
        """
        skills = tuple(skill["name"] for skill in settings["skills"])
        return cls(settings, mode, at_once, scores=_empty(skills), losses=_empty(skills))

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills in the order of learning."""
        return self.scores.skills

    def rescored(self, metric: str) -> "CellResult":
        """Return the result with its last scores computed from its answers by another metric.

        Scores that would need other answers (of the bare base, of composites, after earlier phases) become unknown.

        Raises:
            GrowlmError: if it keeps no answers, or for an unknown metric.
        """
        if not self.answers:
            label = f"{self.settings['label']}, order {self.settings['order']}, seed {self.settings['seed']}"
            raise GrowlmError(f"cell {label} keeps no answers to score by {metric!r}: run it again without --metric")
        answers = {
            skill: {mode: rescored(given, metric) for mode, given in modes.items()}
            for skill, modes in self.answers.items()
        }
        scores = _empty(self.skills)
        for skill, modes in answers.items():
            if skill not in self.skills:
                continue
            scores.metrics[skill] = metric
            for mode, given in modes.items():
                scores.modes[mode][-1][self.skills.index(skill)] = sum(a.score for a in given) / len(given)
        composites = {
            name: {"base": None, **{mode: sum(a.score for a in given) / len(given) for mode, given in modes.items()}}
            for name, modes in answers.items()
            if name in self.composites
        }
        return replace(
            self, answers=answers, scores=scores, composites=composites, references={}, fresh=[], recovery={}
        )

    def record(self, after: int, skill: str, mode: str, score: dict[str, Any]) -> None:
        """Enter a score into the tables.

        Args:
            after: after which phase; 0 is the bare base.
            skill: the skill.
            mode: the inference mode.
            score: the fields of a ``Score``.
        """
        column = self.skills.index(skill)
        self.scores.modes[mode][after][column] = score["value"]
        self.losses.modes[mode][after][column] = score["loss"]
        self.scores.metrics[skill] = self.losses.metrics[skill] = score["metric"]

    def write(self, path: Path) -> None:
        """Write the file with a digest over all of it, and the answers beside it."""
        content = asdict(replace(self, answers={}))
        del content["answers"]
        content = {**content, "scores": self.scores.to_json(), "losses": self.losses.to_json()}
        content = {"format_version": FORMAT_VERSION, **content}
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.answers:  # before the file that says that the cell is finished
            write_answers(path.with_name(ANSWERS_FILE), self.answers)
        write_json(path, seal(content, json_digest))


def read_cell(path: Path) -> CellResult:
    """Read a cell's file, and the answers beside it.

    Args:
        path: the file.

    Returns:
        What it says.

    Raises:
        GrowlmError: if the file is missing, of another version, was edited or is damaged.
    """
    content = unseal(
        read_json(path),
        path,
        (FORMAT_VERSION,),
        digest=json_digest,
        upgrade="run the benchmark again into another folder (--out), or report with the growlm that wrote it",
        restore="remove it to measure again",
    )
    del content["format_version"]
    try:
        scores = ScoreTables.from_json(content.pop("scores"), f"{path}: scores")
        losses = ScoreTables.from_json(content.pop("losses"), f"{path}: losses")
        settings = content["settings"]
        settings.update({new: settings.pop(old) for old, new in _OLD_SETTINGS.items() if old in settings})
        result = CellResult(**content, scores=scores, losses=losses, answers=read_answers(path.with_name(ANSWERS_FILE)))
        _check(result)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GrowlmError(f"{path} does not have the fields of a cell ({error}): remove it to measure again") from None
    return result


def _check(result: CellResult) -> None:
    """Refuse what a report could not work with: the digest catches accidents, this catches the rest."""
    for name, hint in get_type_hints(CellResult).items():
        if name not in ("scores", "losses", "answers") and not fits(getattr(result, name), hint):
            raise TypeError(f"{name} has a value of the wrong type")
    for key, kind in _SETTINGS.items():
        if not fits(result.settings[key], kind):
            raise TypeError(f"{key} is {result.settings[key]!r}")
    for cost in result.costs:
        for key in _COSTS:
            if not fits(cost[key], float) or cost[key] < 0:
                raise TypeError(f"cost {key!r} is {cost[key]!r}")
        if not fits(cost["peak_bytes"], float | None) or not fits(cost["losses"], list[list[float]]):
            raise TypeError("the cost of a phase has a value of the wrong type")
        for key in _LATER_COSTS:
            if not fits(cost.get(key), float | None) or (cost.get(key) or 0) < 0:
                raise TypeError(f"cost {key!r} is {cost[key]!r}")
        if not fits(points := cost.get("points", []), list[dict[str, Any]]) or not all(map(_is_point, points)):
            raise TypeError("a point in the middle of a phase has a value of the wrong type")
        if any(len(point) != 2 for point in cost["losses"]):
            raise ValueError("a point of the losses is not a pair")
    names = [skill["name"] for skill in result.settings["skills"]]
    if tuple(names) != result.skills or set(result.scores.modes) != set(MODES) or result.mode not in MODES:
        raise ValueError("skills and modes contradict each other")
    if result.finished and len(result.costs) != (1 if result.at_once else len(names)):
        raise ValueError(f"finished after {counted(len(result.costs), 'phase')}")
    if result.importance:
        found = ImportanceMap(**result.importance)
        if len(found.values) != len(found.layers) or any(len(row) != len(found.projections) for row in found.values):
            raise ValueError("the importance has not a value for each layer and projection")
    if not fits(result.base.get("parameters"), float) or not fits([result.base.get("digest")], list[str]):
        raise TypeError("the record of the base has a value of the wrong type")


def _is_point(point: dict[str, Any]) -> bool:
    numbers = all(fits(point.get(key), float) for key in ("step", "tokens", "flops", "seconds"))
    return numbers and fits(point.get("scores"), dict[str, float])


def _empty(skills: tuple[str, ...]) -> ScoreTables:
    matrices: dict[str, Matrix] = {mode: [[None] * len(skills) for _ in range(len(skills) + 1)] for mode in MODES}
    return ScoreTables(skills, matrices, dict.fromkeys(skills))
