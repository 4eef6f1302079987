"""The Lightning command line of a phase, for ``growlm grow`` and ``growlm fit`` alike."""

import json
import logging
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from jsonargparse.typing import class_from_function
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from growlm.cli.errors import check_configs, user_error
from growlm.cli.loggers import check_installed, logger_words, spelled_out
from growlm.cli.parser import underscored
from growlm.data.sources import is_own_data
from growlm.errors import GrowlmError, one_line, unknown_name
from growlm.recipes import parse_yaml, read_yaml, recipe_names, recipe_path
from growlm.registry import module_kinds, plain_values, skills
from growlm.skills.rows import keep_rows
from growlm.train.config import OLD_OPTIONS, PhaseConfig, option_names
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase, trainer_settings
from growlm.train.prepare import prepare, training_summary
from growlm.train.result import Grown

SHORT = {
    **{name: f"model.{name}" for name in option_names() if name != "skill"},
    "on": "model.parents",
    "steps": "trainer.max_steps",
    "device": "trainer.accelerator",
}
"""Short options of ``growlm grow``, and the long ones that they abbreviate."""

_LONG = {f"model.{name}" for name in option_names()} | {f"trainer.{name}" for name in signature(Trainer).parameters}
_FLAGS = tuple(option.name for option in fields(PhaseConfig) if option.type in (bool, "bool"))
_logger = logging.getLogger(__name__)
_SPELLED_OUT = ("skill", "module", "config")


_OWN_OPTIMIZER = "a phase trains by AdamW; --learning_rate, --weight_decay and --warmup say how"
_PARSER = {"exit_on_error": False, "allow_abbrev": False}


def _phase(**options: Any) -> GrowPhase:
    return GrowPhase(PhaseConfig(**options))


@cache
def _classes() -> tuple[type[Trainer], type[GrowPhase]]:
    """Return classes that are constructed by calls of ``new_trainer`` and ``_phase``; to make them takes long."""
    return class_from_function(new_trainer, Trainer), class_from_function(_phase, GrowPhase)


class PhaseCLI(LightningCLI):
    """LightningCLI over the options of a phase and those of Lightning's trainer.

    Args:
        arguments: the words of the command line.
        prog: the command.
    """

    def __init__(self, arguments: Sequence[str], prog: str) -> None:
        self._shorthands = (*SHORT, *_SPELLED_OUT) if prog == "growlm grow" else ()
        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        with warnings.catch_warnings(), plain_values(), TemporaryDirectory() as folder:
            # it warns that sys.argv is not read, which is what we want, and calls jsonargparse by an old name
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
            super().__init__(
                _phase,
                trainer_class=new_trainer,
                save_config_callback=None,
                seed_everything_default=False,
                auto_configure_optimizers=False,  # a phase has its own
                parser_kwargs={**_PARSER, "prog": prog},
                args=_under_current_names(arguments, Path(folder)),
                run=False,
            )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of trainer and phase; a phase brings its own data, optimizer and schedule."""
        trainer, phase = _classes()
        parser.add_lightning_class_args(trainer, "trainer")
        parser.add_lightning_class_args(phase, "model", subclass_mode=self.subclass_mode_model)

    def instantiate_classes(self) -> None:
        """Build phase and trainer, and say in one line what is not installed or cannot be built."""
        check_installed(self.config.get("trainer.logger"))
        try:
            super().instantiate_classes()
        except (ImportError, ValueError) as error:
            reason = one_line(str(_first_error(error)))
            raise GrowlmError(f"--trainer or a part of it cannot be built with these options: {reason}") from None

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and say in one line what is wrong."""
        for word in args:
            if word.startswith(("--optimizer", "--lr_scheduler")):  # of LightningCLI's commands elsewhere
                raise GrowlmError(f"{word.partition('=')[0]} is not offered: {_OWN_OPTIMIZER}")
        check_configs(parser, args)
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            raise user_error(error, parser, args, self._shorthands) from None


def _first_error(error: BaseException) -> BaseException:
    """Find the error that others come from: a missing module if there is one; jsonargparse hides it behind its own."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    return next((link for link in chain if isinstance(link, ModuleNotFoundError)), chain[-1])


def run_phase(arguments: Sequence[str], prog: str = "growlm fit") -> Grown | None:
    """Run the phase that a LightningCLI's command line describes, or only say what it would train.

    Args:
        arguments: the words after the command.
        prog: the command, for messages.

    Returns:
        The result; None after a dry run.
    """
    cli = PhaseCLI(arguments, prog)
    phase = cast(GrowPhase, cli.model)
    if phase.config.dry_run:
        _logger.info(training_summary(prepare(phase.config, trainer_settings(cli.trainer), phase.cache)))
        return None
    return fit_phase(phase, cli.trainer)


def grow_command(arguments: Sequence[str]) -> Grown | None:
    """Run ``growlm grow``: short options in front of the same options as ``growlm fit``.

    Args:
        arguments: the words after ``growlm grow``.

    Returns:
        The result; None after a dry run.
    """
    return run_phase(long_options(arguments), "growlm grow")


def grow(skill: str | Iterable[Any], **options: Any) -> Grown:
    """Teach a stack a new skill: ``growlm grow`` for Python.

    Args:
        skill: recipe or skill to learn; or data of your own: a file, a folder, a glob, a data set's id on the hub, or
            the rows themselves (a list of dicts, a ``datasets.Dataset``, an iterator) with a ``name``.
        **options: the options of ``growlm grow``, such as ``stack="checkpoints/mine"``, ``steps=200`` or
            ``module={"lora": {"rank": 4}}``; those of Lightning's trainer as ``**{"trainer.accelerator": "cpu"}``.

    Returns:
        The grown stack, its record, and what was compared.

    Raises:
        GrowlmError: for any option that does not fit, and as ``growlm.train.fit.fit_phase`` says.
    """
    if not isinstance(skill, str):
        if "name" not in options:
            raise GrowlmError("rows have no name of their own: say what the module is called, with name=...")
        given = options.pop("skill_options", {})
        options["skill_options"] = {**given, "digest": keep_rows(skill)}
        skill = "rows"
    words = [f"--{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in options.items()]
    grown = grow_command([f"--skill={skill}", *words])
    if grown is None:
        raise GrowlmError("a dry run has no result: use the command growlm grow --dry_run, or leave dry_run out")
    return grown


def _under_current_names(arguments: Sequence[str], folder: Path) -> list[str]:
    """Spell words and recipe files of version 0.1.0 as today, and loggers by name with their options."""
    words: list[str] = []
    for word in logger_words(arguments):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            option = underscored(option, _LONG)
            option = f"--{OLD_OPTIONS.get(option[2:], option[2:])}"
        previous = words[-1] if words else ""
        if option == "--config" and equals:
            value = _current_recipe(value, folder)
        elif previous == "--config" and not equals:
            option = _current_recipe(word, folder)
        words.append(option + equals + value)
    return words


def _current_recipe(config: str, folder: Path) -> str:
    """Return the path of a recipe file, or of a copy under today's names if it has old ones."""
    if not Path(config).is_file():  # parsing says so
        return config
    recipe = read_yaml(Path(config))
    if not all(isinstance(recipe.get(group) or {}, dict) for group in ("trainer", "model")):  # parsing says so
        return config
    trainer = recipe.get("trainer") or {}
    logger = spelled_out(trainer.get("logger"))
    moved = logger != trainer.get("logger")
    if moved:
        trainer["logger"] = logger
    for old, new in OLD_OPTIONS.items():
        (group, key), (new_group, new_key) = old.split("."), new.split(".")
        if key in (recipe.get(group) or {}):
            recipe.setdefault(new_group, {})[new_key] = recipe[group].pop(key)
            moved = True
    if not moved:
        return config
    copy = folder / Path(config).name
    copy.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return str(copy)


def long_options(arguments: Sequence[str]) -> list[str]:
    """Spell short options out.

    ``--skill NAME`` means the recipe of that name if there is one, else for the skill itself; ``--module`` for
    the kinds of the new module, joined by ``+`` (with the recipe's options for each) or as JSON with options. A
    ``--method`` other than the recipe's does not get the options that the recipe has for its own.

    Args:
        arguments: the words after ``growlm grow``.

    Returns:
        Words for ``PhaseCLI``.

    Raises:
        GrowlmError: for an unknown skill or module kind.
    """
    given, rest = _split(arguments, {*SHORT, *_SPELLED_OUT})
    config = given.get("config")
    skill = given.get("skill")
    words: list[str] = []
    if config is None and skill in recipe_names("skills"):
        config, skill = str(recipe_path("skills", skill)), None
    elif skill is not None and not is_own_data(skill) and skill not in skills:
        if Path(skill).exists():
            raise GrowlmError(f"{skill!r} is not a skill; to read the data of that name, write ./{skill}")
        raise unknown_name("skill", skill, {*skills, *recipe_names("skills")})
    if config is None and skill is None and not any(word.startswith("--model.skill") for word in rest):
        raise GrowlmError("no skill is given: say which with --skill, for example --skill chat")
    if config is not None:
        words.append(f"--config={config}")
    if skill is not None:
        words.append(f"--model.skill={skill}")
    if "module" in given:
        words.append(f"--model.method_options={_method_options(given.pop('module'), config)}")
    elif "method" in given and _model_settings(config).get("method", "grow") != given["method"]:
        words.append("--model.method_options={}")
    words += [f"--{long}={given[short]}" for short, long in SHORT.items() if short in given]
    return [*words, *rest]


def _split(arguments: Sequence[str], known: set[str]) -> tuple[dict[str, str], list[str]]:
    """Take the short options out of a command line; the later of two wins."""
    given: dict[str, str] = {}
    rest: list[str] = []
    waiting = deque(arguments)
    while waiting:
        word = waiting.popleft()
        option, equals, value = word.partition("=")
        name = underscored(option, known).removeprefix("--")
        if not word.startswith("--") or name not in known:
            rest.append(word)
        elif equals:
            given[name] = value
        else:
            bare = name in _FLAGS and (not waiting or waiting[0] not in ("true", "false"))
            if not bare and not waiting:
                raise GrowlmError(f"--{name} needs a value")
            given[name] = "true" if bare else waiting.popleft()
        if name == "skill" and waiting and not waiting[0].startswith("--"):  # what a shell makes of a glob
            raise GrowlmError(
                f"--skill takes one value, found {waiting[0]!r} after it: put a glob into quotes, a stack after --stack"
            )
    return given, rest


def _method_options(module: str, config: str | None) -> str:
    recipe: dict[str, Any] = _model_settings(config).get("method_options", {})
    if module.lstrip().startswith("{"):
        kinds = parse_yaml(module, "--module")
    else:
        kinds = {kind: recipe.get("module", {}).get(kind, {}) for kind in module.split("+")}
    for kind in kinds:
        if kind not in module_kinds:
            raise unknown_name("module kind", kind, module_kinds)
    return yaml.safe_dump({**recipe, "module": kinds}, default_flow_style=True, width=10**6).strip()


def _model_settings(config: str | None) -> dict[str, Any]:
    if config is None or not Path(config).is_file():  # if it is none, parsing says so
        return {}
    return dict(read_yaml(Path(config)).get("model") or {})
