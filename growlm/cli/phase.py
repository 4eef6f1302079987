"""The Lightning command line of a phase, for ``growlm grow`` and ``growlm fit`` alike."""

import json
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from growlm.cli.errors import check_configs, user_error
from growlm.errors import GrowlmError, unknown_name
from growlm.recipes import parse_yaml, read_yaml, recipe_names, recipe_path
from growlm.registry import methods, module_kinds, plain_values, routers, skills
from growlm.train.config import OLD_OPTIONS, PhaseConfig, option_help, option_names
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase
from growlm.train.result import Grown

SHORT = {
    **{name: f"model.{name}" for name in option_names() if name != "skill"},
    "on": "model.parents",
    "steps": "trainer.max_steps",
}
"""Short options of ``growlm grow``, and the long ones that they abbreviate."""

_SPELLED_OUT = ("skill", "module", "config")


_PARSER = {"exit_on_error": False, "allow_abbrev": False}


def _phase(**options: Any) -> GrowPhase:
    return GrowPhase(PhaseConfig(**options))


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
                parser_kwargs={**_PARSER, "prog": prog},
                args=_under_current_names(arguments, Path(folder)),
                run=False,
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and say in one line what is wrong."""
        check_configs(parser, args)
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            raise user_error(error, parser, args, self._shorthands) from None


def run_phase(arguments: Sequence[str], prog: str = "growlm fit") -> Grown:
    """Run the phase that a LightningCLI's command line describes.

    Args:
        arguments: the words after the command.
        prog: the command, for messages.

    Returns:
        The result.
    """
    cli = PhaseCLI(arguments, prog)
    return fit_phase(cast(GrowPhase, cli.model), cli.trainer)


def grow_command(arguments: Sequence[str]) -> Grown:
    """Run ``growlm grow``: short options in front of the same options as ``growlm fit``.

    Args:
        arguments: the words after ``growlm grow``.

    Returns:
        The result.
    """
    return run_phase(long_options(arguments), "growlm grow")


def grow(skill: str, **options: Any) -> Grown:
    """Teach a stack a new skill: ``growlm grow`` for Python.

    Args:
        skill: recipe or skill to learn, or a ``.jsonl`` file of your own.
        **options: the options of ``growlm grow``, such as ``stack="checkpoints/mine"``, ``steps=200`` or
            ``module={"lora": {"rank": 4}}``; those of Lightning's trainer as ``**{"trainer.accelerator": "cpu"}``.

    Returns:
        The grown stack, its record, and what was compared.

    Raises:
        GrowlmError: for any option that does not fit, and as ``growlm.train.fit.fit_phase`` says.
    """
    words = [f"--{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in options.items()]
    return grow_command([f"--skill={skill}", *words])


def grow_help() -> str:
    """Write the help of ``growlm grow`` from the options of a phase and the registries."""
    rows = {
        "skill": "Recipe or skill to learn (growlm ls skills), or a .jsonl file of your own.",
        "module": f"Kinds of the new module, joined by +, or JSON with options: {', '.join(module_kinds)}.",
        "steps": "Training steps.",
        "config": "A recipe by its path, instead of the one that --skill names.",
        **{name: text for name, text in option_help().items() if name != "skill"},
    }
    members = {"method": methods, "router": routers}
    rows |= {name: f"{rows[name]} One of: {', '.join(registry)}." for name, registry in members.items()}
    defaults = {option.name: option.default for option in fields(PhaseConfig)}
    lines: list[str] = []
    for name, text in rows.items():
        default = defaults.get(name, MISSING)
        shown = "" if default in (MISSING, None) else f" (default: {default})"
        wrapped = textwrap.wrap(text + shown, 88)
        lines += [f"  --{name:<20}{wrapped[0]}", *(" " * 24 + line for line in wrapped[1:])]
    return "\n".join([_USAGE, *lines, "", _MORE])


_USAGE = """\
usage: growlm grow --skill NAME [--option value ...]

Teach the stack a new skill: attach a module, train it alone, prove that nothing else moved, freeze it.
An interrupted phase resumes when the same command is run again.

options:"""
_MORE = "and every option of `growlm fit --help`, such as --trainer.accelerator cpu."


def _under_current_names(arguments: Sequence[str], folder: Path) -> list[str]:
    """Spell words and recipe files of version 0.1.0 as today."""
    words: list[str] = []
    for word in arguments:
        option, equals, value = word.partition("=")
        if option.startswith("--"):
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
    moved = False
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
    elif skill is not None and not skill.endswith((".jsonl", ".jsonl.xz")) and skill not in skills:
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
