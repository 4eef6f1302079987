"""Lightning's loggers by name: ``--trainer.logger CSVLogger`` writes below ``logs``, without further options."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import yaml
from lightning.pytorch import loggers

from growlm.errors import needs_extra, unknown_name

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


def logger_word(value: str) -> str:
    """Add the options to loggers that a word of the command line names, as JSON.

    Args:
        value: the word: a name, or YAML or JSON with a list of them or with classes and their options.

    Returns:
        The word, or another one that means the same.

    Raises:
        GrowlmError: for a name that no logger has.
    """
    try:
        given = yaml.safe_load(value) if value.lstrip().startswith(("[", "{")) else value
    except yaml.YAMLError:  # parsing says so
        return value
    spelled = spelled_out(given)
    return value if spelled is given else json.dumps(spelled)


def spelled_out(logger: Any) -> Any:
    """Add the options to loggers that are given by their name alone.

    Args:
        logger: what a command line or a YAML file says of the trainer's logger.

    Returns:
        The same as Lightning's parser takes it.

    Raises:
        GrowlmError: for a name that no logger has.
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
