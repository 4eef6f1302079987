"""A stream: skills, the orders they are learned in, and how each phase trains; read from a recipe."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from growlm.errors import GrowlmError, unknown_name
from growlm.files import check_name
from growlm.recipes import read_yaml, recipe_file
from growlm.registry import skills as registered
from growlm.terminal import counted
from growlm.train.config import PhaseConfig, current_names

ANY_ORDER = "any"
"""The order of a method that is given all skills at once."""
_KEYS = ("skills", "orders", "phase", "composites", "tuning_order")
_SKILL_KEYS = ("skill", "options")
# a cell of a benchmark decides these, never the stream
_OF_A_CELL = (
    *("skill", "skill_options", "name", "stack", "base", "method", "method_options", "rescore", "seed", "restart"),
)


@dataclass(frozen=True)
class StreamSkill:
    """A skill of a stream.

    Args:
        skill: the registered skill.
        options: its constructor's arguments.
    """

    skill: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """Skills in one or several orders.

    Args:
        name: the stream's name, its recipe's file name.
        skills: by the name that module and matrix give them.
        orders: names of skills in the order of learning, by the order's name.
        phase: settings of every phase: options of ``PhaseConfig`` and ``steps``.
        composites: skills that are tested only, each with the skills of the stream that it needs.
        tuning_order: names of skills, all or some, in the order in which hyperparameters are chosen, none of
            ``orders``; empty: the stream has none.
    """

    name: str
    skills: dict[str, StreamSkill]
    orders: dict[str, tuple[str, ...]]
    phase: dict[str, Any]
    composites: dict[str, tuple[str, ...]]
    tuning_order: tuple[str, ...] = ()


def read_stream(
    name_or_file: str,
    data: Path | None = None,
    exclude: Sequence[str] = (),
    skill_options: Mapping[str, Any] | None = None,
) -> Stream:
    """Read a stream's recipe and check it against the registered skills and the data in its folder.

    Args:
        name_or_file: a recipe of ``recipes/streams``, or a YAML file of your own.
        data: folder of the tasks, for streams that read some; given to each skill with an option ``data``.
        exclude: skills to leave out, with the composites that need them.
        skill_options: options of every skill that has them, instead of the recipe's.

    Returns:
        The stream.

    Raises:
        GrowlmError: for an unknown recipe, key, skill or option, a duplicate, an order that names what is not
            defined, a setting of the wrong type, or tasks that the data folder does not have.
    """
    file = recipe_file("streams", name_or_file)
    content = read_yaml(file)
    _known_keys(content, _KEYS, file, "a stream")
    for key in ("skills", "orders", "phase"):
        if not content.get(key):
            raise GrowlmError(f"{file}: {key!r} is missing or empty; a stream has skills, orders and phase")
    skills = _with_options(_skills(_mapping(content, "skills", file), data, file), skill_options or {})
    orders = _orders(_mapping(content, "orders", file), skills, file)
    tuning = _tuning_order(content.get("tuning_order"), skills, orders, file)
    composites = _composites(_mapping(content, "composites", file), skills, file)
    phase = check_phase(_mapping(content, "phase", file), file)
    if "steps" not in phase:
        raise GrowlmError(f"{file}: phase: steps is None; give a whole number of 1 or more")
    for left_out in exclude:
        if left_out not in skills:
            raise unknown_name(f"skill to leave out of stream {file.stem!r}", left_out, skills)
    kept = {name: skill for name, skill in skills.items() if name not in exclude}
    _refuse_missing(kept, data, file)
    orders = {order: tuple(name for name in names if name in kept) for order, names in orders.items()}
    if not all(orders.values()):
        raise GrowlmError(f"{file}: an order would have no skill left; leave fewer out")
    composites = {name: needs for name, needs in composites.items() if set(needs) <= set(kept)}
    return Stream(file.stem, kept, orders, phase, composites, tuple(name for name in tuning if name in kept))


def _skills(entries: Mapping[str, Any], data: Path | None, file: Path) -> dict[str, StreamSkill]:
    found: dict[str, StreamSkill] = {}
    for name, entry in entries.items():
        check_name(name, f"{file}: skill")
        where = f"{file}: skill {name!r}"
        if entry is None:
            entry = {}
        if not isinstance(entry, dict):
            raise GrowlmError(f"{where} is {entry!r}; write {{skill: NAME, options: {{...}}}}")
        _known_keys(entry, _SKILL_KEYS, file, f"skill {name!r}")
        skill = entry.get("skill", name)
        options = {} if entry.get("options") is None else entry["options"]
        if not isinstance(skill, str) or not isinstance(options, dict):
            raise GrowlmError(f"{where}: 'skill' has to be a name and 'options' keys with values")
        known = registered.options(skill)
        for key in options:
            if key not in known:
                raise unknown_name(f"option of skill {skill!r} in {file}", str(key), known)
        if "data" in known and "data" not in options:
            if data is None:
                raise GrowlmError(
                    f"stream {file.stem!r} reads its tasks from a folder and none is given: add --data DIR"
                )
            options = {"data": str(data), **options}
        found[name] = StreamSkill(skill, dict(options))
    return found


def _with_options(skills: Mapping[str, StreamSkill], options: Mapping[str, Any]) -> dict[str, StreamSkill]:
    known = {name: registered.options(entry.skill) for name, entry in skills.items()}
    for key in options:
        if not any(key in names for names in known.values()):
            raise unknown_name(
                "option of any skill of the stream", key, {key for names in known.values() for key in names}
            )
    return {
        name: replace(entry, options=entry.options | {key: options[key] for key in options if key in known[name]})
        for name, entry in skills.items()
    }


def _orders(entries: Mapping[str, Any], skills: Mapping[str, StreamSkill], file: Path) -> dict[str, tuple[str, ...]]:
    orders: dict[str, tuple[str, ...]] = {}
    for order, entry in entries.items():
        if check_name(order, f"{file}: order") == ANY_ORDER:
            raise GrowlmError(f"{file}: order {order!r} is the name of learning all skills at once; rename it")
        names = _names(entry, f"{file}: order {order!r}")
        for name in names:
            if name not in skills:
                raise unknown_name(f"skill in order {order!r} of {file}", name, skills)
        orders[order] = names
    unused = [name for name in skills if not any(name in names for names in orders.values())]
    if unused:
        raise GrowlmError(f"{file}: no order names {', '.join(unused)}; add it to one or take it out of skills")
    return orders


def _tuning_order(
    entry: object, skills: Mapping[str, StreamSkill], orders: Mapping[str, tuple[str, ...]], file: Path
) -> tuple[str, ...]:
    """Read the order in which hyperparameters are chosen; no test has it."""
    if entry is None:
        return ()
    names = _names(entry, f"{file}: tuning_order")
    for name in names:
        if name not in skills:
            raise unknown_name(f"skill in tuning_order of {file}", name, skills)
    same = next((order for order, tested in orders.items() if tested == names), None)
    if same is not None:
        raise GrowlmError(f"{file}: tuning_order is order {same!r}, which is tested; give another order")
    return names


def _composites(
    entries: Mapping[str, Any], skills: Mapping[str, StreamSkill], file: Path
) -> dict[str, tuple[str, ...]]:
    composites: dict[str, tuple[str, ...]] = {}
    for composite, entry in entries.items():
        where = f"{file}: composite {check_name(composite, f'{file}: composite')!r}"
        needs = _names(entry, where)
        member = registered.get(composite)
        if composite in skills:
            raise GrowlmError(f"{where} is a skill of the stream, too; composites are tested only")
        for name in needs:
            if name not in skills:
                raise unknown_name(f"skill that composite {composite!r} of {file} needs", name, skills)
        parts = getattr(member, "parts", None)
        if parts is not None and {skills[name].skill for name in needs} != set(parts):
            raise GrowlmError(f"{where} needs {', '.join(needs)} here, but is made of {', '.join(parts)}; name those")
        composites[composite] = needs
    return composites


def check_phase(settings: Mapping[str, Any], where: str | Path) -> dict[str, Any]:
    """Check settings of phases.

    Args:
        settings: options of ``PhaseConfig`` and ``steps``.
        where: what they were read from, for messages.

    Returns:
        The settings.

    Raises:
        GrowlmError: for an unknown key or a value of the wrong type.
    """
    settings = current_names(settings)
    known = {name: kind for name, kind in get_type_hints(PhaseConfig).items() if name not in _OF_A_CELL}
    _known_keys(settings, ("steps", *known), where, "phase")
    steps = settings.get("steps", 1)
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise GrowlmError(f"{where}: phase: steps is {steps!r}; give a whole number of 1 or more")
    for key, value in settings.items():
        if not _fits(value, known.get(key, int)):
            number = isinstance(value, str) and known.get(key) in (int, float)
            hint = "; write 1.0e-3, with the point" if number else ""
            raise GrowlmError(f"{where}: phase: {key} is {value!r}, expected {_type_name(known[key])}{hint}")
    return dict(settings)


def _fits(value: object, annotation: Any) -> bool:
    """Return whether a value is of one of an annotation's types; an int fits a float."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for kind in kinds:
        kind = get_origin(kind) or kind
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return True
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return True
    return False


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation).replace("None", "null")


def _refuse_missing(skills: Mapping[str, StreamSkill], data: Path | None, file: Path) -> None:
    missing = {name: lack for name, skill in skills.items() if (lack := _lack(skill)) is not None}
    if missing:
        raise GrowlmError(
            f"stream {file.stem!r}: no data in {data or 'their folders'} for {len(missing)} of "
            f"{counted(len(skills), 'skill')}, {', '.join(missing)} (looked for {next(iter(missing.values()))}); put "
            f"it there, or leave them out with --exclude {','.join(missing)}"
        )


def _lack(skill: StreamSkill) -> str | None:
    missing: Callable[[Mapping[str, Any]], str | None] = registered.get(skill.skill).missing_data
    return missing(skill.options)


def _names(entry: object, where: str) -> tuple[str, ...]:
    if not isinstance(entry, list) or not entry or not all(isinstance(name, str) for name in entry):
        raise GrowlmError(f"{where} is {entry!r}; give a list of names of skills")
    twice = sorted({name for name in entry if entry.count(name) > 1})
    if twice:
        raise GrowlmError(f"{where} names {', '.join(twice)} twice; a skill is learned once, take one out")
    return tuple(entry)


def _mapping(content: Mapping[str, Any], key: str, file: Path) -> dict[str, Any]:
    entry = content.get(key)
    if entry is None:
        return {}
    if not isinstance(entry, dict):
        raise GrowlmError(f"{file}: {key!r} is {entry!r}; give keys with values")
    # an order may be called 1, which YAML reads as a number
    return {str(name): value for name, value in entry.items()}


def _known_keys(content: Mapping[str, Any], known: Sequence[str], file: str | Path, what: str) -> None:
    for key in content:
        if key not in known:
            raise unknown_name(f"key of {what} in {file}", str(key), known)
