"""Lightning's loggers by name: ``--trainer.logger CSVLogger`` writes below ``logs``, without further options."""

import inspect
import json
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import yaml
from lightning.pytorch import loggers

from growlm.errors import needs_extra, unknown_name

_LOGGER = "--trainer.logger"
_OPTIONS: dict[str, dict[str, Any]] = {
    "CSVLogger": {"save_dir": "logs", "name": "growlm"},
    "TensorBoardLogger": {"save_dir": "logs", "name": "growlm"},
    "WandbLogger": {"save_dir": "logs", "project": "growlm", "offline": True},
    # mlflow 3 refuses to keep runs in plain files
    "MLFlowLogger": {"tracking_uri": "sqlite:///logs/mlflow.db", "experiment_name": "growlm"},
}
_NEEDS = {"TensorBoardLogger": ("tensorboard", "tensorboardX"), "WandbLogger": ("wandb",), "MLFlowLogger": ("mlflow",)}
"""Packages, one of which must be installed."""
_NO_CLASS = ("true", "false", "null", "none")


def logger_words(arguments: Sequence[str]) -> list[str]:
    """Write a logger that a command line names, and its options, as one word.

    Args:
        arguments: the words; after ``--trainer.logger`` comes a name, or YAML or JSON with a list of names or with
            classes and their options; ``--trainer.logger.save_dir`` and the like belong to a single name.

    Returns:
        Words that mean the same to Lightning's parser; the same words where no known logger is named.

    Raises:
        GrowlmError: for a name that no logger has, or an option that it has not.
    """
    rest: list[str] = []
    given: dict[str, str] = {}
    place = 0
    waiting = deque(arguments)
    while waiting:
        option, equals, value = (word := waiting.popleft()).partition("=")
        if option != _LOGGER and not option.startswith(f"{_LOGGER}."):
            rest.append(word)
            continue
        if not equals and (not waiting or waiting[0].startswith("--")):  # parsing says so
            return list(arguments)
        place = place if given else len(rest)
        given[option] = value if equals else waiting.popleft()
    named = given.pop(_LOGGER, None)
    logger = None if named is None else spelled_out(_content(named))
    if given and isinstance(logger, Mapping):
        options = {option.removeprefix(f"{_LOGGER}."): _content(value) for option, value in given.items()}
        logger = spelled_out({"class_path": _short(logger), "init_args": {**logger.get("init_args", {}), **options}})
    elif given or not isinstance(logger, list | Mapping):
        return list(arguments)
    return [*rest[:place], f"{_LOGGER}={json.dumps(logger)}", *rest[place:]]


def _short(logger: Mapping[str, Any]) -> str:
    """Return the name of a class of Lightning's loggers, and the whole path of any other."""
    return str(logger.get("class_path")).removeprefix(f"{loggers.__name__}.")


def _content(value: str) -> Any:
    """Read the value of an option; what is not YAML is itself."""
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def spelled_out(logger: Any) -> Any:
    """Add the options to loggers that are given by their name alone.

    Args:
        logger: what a command line or a YAML file says of the trainer's logger.

    Returns:
        The same as Lightning's parser takes it.

    Raises:
        GrowlmError: for a name that no logger has, or an option that it has not.
    """
    if isinstance(logger, list):
        return [spelled_out(entry) for entry in logger]
    if isinstance(logger, Mapping):
        name = logger.get("class_path")
        return {**logger, **_known(name, logger.get("init_args") or {})} if name in _OPTIONS else logger
    if not isinstance(logger, str):
        return logger
    package, _, name = logger.rpartition(".")
    if name in _OPTIONS:
        return _known(name, {})
    if not package and name.isidentifier() and name.lower() not in _NO_CLASS and not hasattr(loggers, name):
        raise unknown_name("logger", name, _OPTIONS)
    return logger


def _known(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(getattr(loggers, name)).parameters
    takes_others = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for option in options:
        if option not in parameters and not takes_others:
            raise unknown_name(f"option of {name}", option, parameters)
    return {"class_path": f"{loggers.__name__}.{name}", "init_args": {**_OPTIONS[name], **options}}


def check_installed(given: Any) -> None:
    """Refuse a logger whose package is missing, before the first of them is built.

    Args:
        given: the trainer's logger as it was parsed: one class with its options, a list of them, or anything else.

    Raises:
        GrowlmError: naming the package.
    """
    for logger in given if isinstance(given, list) else [given]:
        name = str(getattr(logger, "class_path", "")).rpartition(".")[2]
        packages = _NEEDS.get(name, ())
        if packages and not any(map(find_spec, packages)):
            raise needs_extra(name, packages[0], "loggers")
