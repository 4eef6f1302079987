"""The skill of a recorded module, built again: its data are read only if this user gave them or says to trust them.

A stack may come from a stranger, and its records name the data of its skills. What this user grew, or chose to trust,
is kept outside the stack: for each module the options of its skill with the paths as they are on this machine. The
stack itself holds names of files, no paths.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from growlm.errors import GrowlmError
from growlm.files import read_json, write_json
from growlm.manifest.records import ModuleRecord
from growlm.registry import skills
from growlm.sealed import fits, text_digest
from growlm.skills.skill import Skill

FORMAT_VERSION = 1
_MAX_BYTES = 1_000_000
_logger = logging.getLogger(__name__)


def state_folder() -> Path:
    """Return the folder for what is known of this user's own work: ``GROWLM_STATE`` or ``~/.local/state/growlm``."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.environ.get("GROWLM_STATE") or f"{base}/growlm").expanduser()


def portable(value: Any) -> Any:
    """Reduce paths in options to file names: where files are is the business of the machine that trained.

    Args:
        value: a JSON value.

    Returns:
        The value; in it, texts that begin as a path from the root, from a home or from a folder above lose all but
        their last part.
    """
    if isinstance(value, Mapping):
        return {key: portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    is_elsewhere = isinstance(value, str) and value.startswith(("/", "~", "../"))
    return Path(value).name if is_elsewhere and Path(value).name else value


def portable_base(source: str) -> str:
    """Reduce a base that is a folder to its name; the name of a shipped base and an id of the hub stay.

    Args:
        source: what the manifest calls the base: a folder that could be taken for an id begins with ``./``.
    """
    return Path(source).name if source.startswith("./") else str(portable(source))


def keep_data(record: ModuleRecord, options: Mapping[str, Any]) -> None:
    """Keep where the data of a module's skill are on this machine; nothing is kept of a skill that reads none.

    Args:
        record: the module.
        options: the skill's options as they were given.
    """
    if not any(_outside(options)):
        return
    path = _kept_file(record)
    content = {"format_version": FORMAT_VERSION, "skill": record.skill["name"], "options": _absolute(options)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except OSError as error:
        _logger.warning("%s cannot be written (%s): later phases need --trust-data true", path, error.strerror)


def recorded_skill(record: ModuleRecord, trust_data: bool = False) -> Skill:
    """Build the skill of a module again.

    Args:
        record: the module's record, perhaps a stranger's.
        trust_data: read the files and hub ids that the record names, and keep that they are trusted.

    Returns:
        The skill.

    Raises:
        GrowlmError: if the record names data that this user neither gave nor trusts, or the data are gone or damaged.
    """
    name, options = record.skill["name"], dict(record.skill.get("options", {}))
    named = sorted(set(_outside(options)))
    if not named:
        return skills.build(name, options)
    kept = _kept(record)
    if kept is not None:
        return skills.build(name, kept)
    if not trust_data:
        raise GrowlmError(
            f"the record of module {record.name!r} names data that were not given to growlm by this user "
            f"({', '.join(map(repr, named))}): to read them from here, add --trust-data true"
        )
    skill: Skill = skills.build(name, options)
    keep_data(record, options)
    return skill


def names_data(options: Any) -> bool:
    """Return whether a skill's options name files or data sets, so that its examples depend on more than them."""
    return any(_outside(options))


def _outside(options: Any) -> Iterator[str]:
    """Yield the texts in options that may name a file or a data set: all but names of skills."""
    if isinstance(options, Mapping):
        for value in options.values():
            yield from _outside(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _outside(value)
    elif isinstance(options, str) and options not in skills:
        yield options


def _absolute(value: Any) -> Any:
    """Write paths that are there in full, so that they are found from other folders."""
    if isinstance(value, Mapping):
        return {key: _absolute(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(item) for item in value]
    if isinstance(value, str) and value and Path(value).expanduser().exists():
        return str(Path(value).expanduser().absolute())
    return value


def _kept(record: ModuleRecord) -> dict[str, Any] | None:
    path = _kept_file(record)
    if not path.is_file():
        return None
    content = read_json(path, _MAX_BYTES)
    if (
        not fits(content, dict[str, Any])
        or content.get("format_version") != FORMAT_VERSION
        or not fits(content.get("options"), dict[str, Any])
    ):
        raise GrowlmError(f"{path} is damaged: remove it, and add --trust-data true")
    return dict(content["options"]) if content.get("skill") == record.skill["name"] else None


def _kept_file(record: ModuleRecord) -> Path:
    return state_folder() / "data" / f"{text_digest(record.digest)}.json"
