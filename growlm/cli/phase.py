"""The Lightning command line of a phase, for ``growlm grow`` and ``growlm fit`` alike."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from growlm.cli.errors import check_configs, plain_values, user_error
from growlm.errors import GrowlmError, unknown_name
from growlm.recipes import recipe_names, recipe_path
from growlm.registry import module_kinds, skills
from growlm.train.grow import Grown
from growlm.train.phase import GrowPhase
from growlm.train.trainer import GrowTrainer

SHORT = {
    **{key: f"model.{key}" for key in ("stack", "base", "on", "name", "method", "router", "stories")},
    **{key: f"model.{key}" for key in ("seed", "restart")},
    "steps": "trainer.max_steps",
}
"""Short options of ``growlm grow``, and the long ones that they stand for."""

_SPELLED_OUT = ("skill", "module", "config")


_PARSER = {"exit_on_error": False, "allow_abbrev": False}


class PhaseCLI(LightningCLI):
    """LightningCLI over ``GrowPhase`` and ``GrowTrainer``.

    Args:
        arguments: the words of the command line.
        run: parse a subcommand such as ``fit`` and run it, as LightningCLI does.
    """

    def __init__(self, arguments: list[str], run: bool) -> None:
        self._is_fit = run
        with warnings.catch_warnings(), plain_values():
            # it warns that sys.argv is not looked at, which is what we want, and calls jsonargparse by an old name
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
            super().__init__(
                GrowPhase,
                trainer_class=GrowTrainer,
                save_config_callback=None,
                seed_everything_default=False,
                parser_kwargs={**_PARSER, "prog": "growlm fit" if run else "growlm grow"},
                args=arguments,
                run=run,
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, and says in one line what is wrong."""
        check_configs(parser, args)
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            raise user_error(error, parser, args, () if self._is_fit else (*SHORT, *_SPELLED_OUT)) from None

    @property
    def grown(self) -> Grown | None:
        """What the phase left behind, once it has run."""
        return cast(GrowTrainer, self.trainer).grown


def grow_command(arguments: Sequence[str]) -> Grown:
    """Runs ``growlm grow``: short options in front of the same options as ``growlm fit``.

    Args:
        arguments: the words after ``growlm grow``.

    Returns:
        What the phase left behind.
    """
    cli = PhaseCLI(long_options(arguments), run=False)
    cli.trainer.fit(cli.model)
    assert cli.grown is not None
    return cli.grown


def grow(skill: str, **options: Any) -> Grown:
    """Teaches a stack a new skill: ``growlm grow`` for Python.

    Args:
        skill: recipe or skill to learn, or a ``.jsonl`` file of your own.
        **options: the options of ``growlm grow``, such as ``stack="checkpoints/mine"``, ``steps=200`` or
            ``module={"lora": {"rank": 4}}``; dotted ones as ``**{"model.learning_rate": 1e-3}``.

    Returns:
        The grown stack, its record, and what was compared.

    Raises:
        GrowlmError: for any option that does not fit, and as ``growlm.train.grow.grow_phase`` says.
    """
    words = [f"--{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in options.items()]
    return grow_command([f"--skill={skill}", *words])


def long_options(arguments: Sequence[str]) -> list[str]:
    """Spells short options out.

    ``--skill NAME`` stands for the recipe of that name if there is one, else for the skill itself; ``--module`` for
    the kinds of the new module, joined by ``+`` (with the recipe's options for each) or as JSON with options. A
    ``--method`` that is not the recipe's does not get the options that the recipe has for its own.

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
    elif skill is not None and not skill.endswith((".jsonl", ".jsonl.xz")) and skill not in skills:
        raise unknown_name("skill", skill, {*skills, *recipe_names("skills")})
    if config is None and skill is None and not any(word.startswith("--model.skill") for word in rest):
        raise GrowlmError("no skill is given: say which with --skill, for example --skill chat")
    if config is not None:
        words.append(f"--config={config}")
    if skill is not None:
        words.append(f"--model.skill={skill}")
    if "module" in given:
        words.append(f"--model.method_options={_method_options(given['module'], config)}")
    elif "method" in given and _model_settings(config).get("method", "grow") != given["method"]:
        words.append("--model.method_options={}")
    words += [f"--{long}={given[short]}" for short, long in SHORT.items() if short in given]
    return [*words, *rest]


def _split(arguments: Sequence[str], known: set[str]) -> tuple[dict[str, str], list[str]]:
    """Takes the short options out of a command line; the later of two wins."""
    given: dict[str, str] = {}
    rest: list[str] = []
    waiting = iter(arguments)
    for word in waiting:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in known:
            rest.append(word)
        elif equals:
            given[name] = value
        else:
            following = next(waiting, None)
            if following is None:
                raise GrowlmError(f"--{name} needs a value")
            given[name] = following
    return given, rest


def _method_options(module: str, config: str | None) -> str:
    recipe: dict[str, Any] = _model_settings(config).get("method_options", {})
    if module.lstrip().startswith("{"):
        kinds = _read_yaml(module, "--module")
    else:
        kinds = {kind: recipe.get("module", {}).get(kind, {}) for kind in module.split("+")}
    for kind in kinds:
        if kind not in module_kinds:
            raise unknown_name("module kind", kind, module_kinds)
    return yaml.safe_dump({**recipe, "module": kinds}, default_flow_style=True, width=10**6).strip()


def _model_settings(config: str | None) -> dict[str, Any]:
    if config is None or not Path(config).is_file():  # if it is none, parsing says so
        return {}
    return dict(_read_yaml(Path(config).read_text(encoding="utf-8"), config).get("model") or {})


def _read_yaml(text: str, where: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise GrowlmError(f"{where} is no YAML ({' '.join(str(error).split())}): mend it") from None
    if not isinstance(content, dict):
        raise GrowlmError(f"{where} holds {type(content).__name__} instead of keys with values: mend it")
    return content
