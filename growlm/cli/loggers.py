"""Lightning's loggers by name: ``--trainer.logger CSVLogger`` writes below ``logs``, without further options."""

import json
from typing import Any

_PACKAGE = "lightning.pytorch.loggers"
_OPTIONS: dict[str, dict[str, Any]] = {
    "CSVLogger": {"save_dir": "logs", "name": "growlm"},
    "TensorBoardLogger": {"save_dir": "logs", "name": "growlm"},
    "WandbLogger": {"save_dir": "logs", "project": "growlm", "offline": True},
    # mlflow 3 refuses to keep runs in plain files
    "MLFlowLogger": {"tracking_uri": "sqlite:///logs/mlflow.db", "experiment_name": "growlm"},
}


def logger_word(value: str) -> str:
    """Add the options to a logger that a word of the command line names, as JSON.

    Args:
        value: the word.

    Returns:
        The word, or another one that means the same.
    """
    spelled = spelled_out(value)
    return value if spelled is value else json.dumps(spelled)


def spelled_out(logger: Any) -> Any:
    """Add the options to loggers that are given by their name alone.

    Args:
        logger: what a command line or a YAML file says of the trainer's logger.

    Returns:
        The same as Lightning's parser takes it.
    """
    if isinstance(logger, list):
        return [spelled_out(entry) for entry in logger]
    name = str(logger).rpartition(".")[2]
    if not isinstance(logger, str) or name not in _OPTIONS:
        return logger
    return {"class_path": f"{_PACKAGE}.{name}", "init_args": dict(_OPTIONS[name])}
