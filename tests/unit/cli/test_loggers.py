"""Loggers by name: on the command line, in a recipe, alone and in a list."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger

from growlm.cli.loggers import logger_words, spelled_out
from growlm.cli.phase import PhaseCLI
from growlm.errors import GrowlmError

PHASE = ["--model.skill=chat", "--trainer.accelerator=cpu"]


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.logger", "CSVLogger"],
        ["--trainer.logger=CSVLogger"],
        ["--trainer.logger=lightning.pytorch.loggers.CSVLogger"],
    ],
)
def test_a_name_is_enough(words: list[str]) -> None:
    (logger,) = PhaseCLI([*PHASE, *words], "growlm fit").trainer.loggers
    assert isinstance(logger, CSVLogger)
    assert logger.save_dir == "logs"


def test_its_options_can_be_given() -> None:
    words = ["--trainer.logger", "CSVLogger", "--trainer.logger.name", "mine"]
    (logger,) = PhaseCLI([*PHASE, *words], "growlm fit").trainer.loggers
    assert (logger.save_dir, logger.name) == ("logs", "mine")


@pytest.mark.parametrize(
    "name", ["WandbLogger", "lightning.pytorch.loggers.WandbLogger", '{"class_path": "WandbLogger"}']
)
def test_options_leave_the_others_as_they_are_by_name_alone(name: str) -> None:
    words = ["--trainer.logger.project", "mine", "--seed=1", f"--trainer.logger={name}", "--trainer.logger.id=7"]
    logger, seed = logger_words(words)
    path, options = json.loads(logger.removeprefix("--trainer.logger=")).values()
    assert (path, seed) == ("lightning.pytorch.loggers.WandbLogger", "--seed=1")
    assert options == {"save_dir": "logs", "offline": True, "project": "mine", "id": 7}


def test_options_of_what_is_no_single_logger_of_a_known_name_are_left_to_the_parser() -> None:
    for name in ("mine.Logger", "[CSVLogger, WandbLogger]", "true"):
        words = ["--trainer.logger", name, "--trainer.logger.save_dir", "elsewhere"]
        assert logger_words(words) == words
    for words in (["--trainer.logger.save_dir", "x"], ["--trainer.logger", "--seed=1"], ["--trainer.logger"]):
        assert logger_words(words) == words


def test_an_option_that_a_logger_has_not_is_refused() -> None:
    words = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dri", "elsewhere"]
    with pytest.raises(GrowlmError, match="unknown option of CSVLogger 'save_dri': did you mean 'save_dir'"):
        PhaseCLI([*PHASE, *words], "growlm fit")


@pytest.mark.parametrize(
    "logger", ["CSVLogger", ["CSVLogger"], {"class_path": "CSVLogger", "init_args": {"save_dir": "logs"}}]
)
def test_a_recipe_names_it(logger: Any, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({"model": {"skill": "chat"}, "trainer": {"logger": logger, "accelerator": "cpu"}}))
    (found,) = PhaseCLI([f"--config={file}"], "growlm fit").trainer.loggers
    assert isinstance(found, CSVLogger)
    assert found.save_dir == "logs"


def test_a_list_on_the_command_line_may_have_names_and_classes() -> None:
    given = '[CSVLogger, {"class_path": "CSVLogger", "init_args": {"save_dir": "elsewhere"}}]'
    first, second = PhaseCLI([*PHASE, "--trainer.logger", given], "growlm fit").trainer.loggers
    assert (first.save_dir, second.save_dir) == ("logs", "elsewhere")


def test_others_stay_as_they_are() -> None:
    assert spelled_out("mine.NoLogger") == "mine.NoLogger"
    assert spelled_out(None) is None
    with pytest.raises(GrowlmError, match=r"--trainer\.logger: found 'mine\.NoLogger', expected Logger"):
        PhaseCLI([*PHASE, "--trainer.logger=mine.NoLogger"], "growlm fit")


@pytest.mark.parametrize("given", ["WandbLoger", "[CSVLogger, WandbLoger]"])
def test_the_nearest_name_is_offered(given: str) -> None:
    with pytest.raises(GrowlmError, match="unknown logger 'WandbLoger': did you mean 'WandbLogger'"):
        PhaseCLI([*PHASE, f"--trainer.logger={given}"], "growlm fit")


PACKAGES = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow", "TensorBoardLogger": "tensorboard"}


@pytest.mark.parametrize("given", ["{}", "lightning.pytorch.loggers.{}", "[CSVLogger, {}]", '[{{"class_path": "{}"}}]'])
@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_missing_is_named(name: str, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("growlm.cli.loggers.find_spec", lambda package: None)
    wanted = rf"^{name} needs the package {PACKAGES[name]}: pip install 'growlm\[loggers\]'$"
    with pytest.raises(GrowlmError, match=wanted):
        PhaseCLI([*PHASE, f"--trainer.logger={given.format(name)}"], "growlm fit")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mlflow's own
@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_there_is_used(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(PACKAGES[name])
    monkeypatch.chdir(tmp_path)
    (logger,) = PhaseCLI([*PHASE, f"--trainer.logger={name}"], "growlm fit").trainer.loggers
    assert type(logger).__name__ == name


class Broken(CSVLogger):
    """A logger that cannot be built."""

    def __init__(self, save_dir: str = "logs") -> None:
        raise OSError("the disk\nis full")


CHECKPOINT = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"mode": "up"}}


@pytest.mark.parametrize(
    ("option", "value"),
    [("logger", f"{__name__}.Broken"), ("logger", [{"class_path": f"{__name__}.Broken"}]), ("callbacks", [CHECKPOINT])],
)
def test_what_cannot_be_built_is_said_in_one_line(option: str, value: Any) -> None:
    with pytest.raises(GrowlmError, match=r"^--trainer or a part of it cannot be built with these options: "):
        PhaseCLI([*PHASE, f"--trainer.{option}={value if isinstance(value, str) else json.dumps(value)}"], "growlm fit")
