"""The help of ``growlm grow`` and ``growlm fit``: a phase's options and those of Lightning's trainer, by group."""

import shutil
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields

from docstring_parser import parse as parse_docstring
from lightning.pytorch import Trainer

from growlm.cli.parser import as_typed
from growlm.registry import methods, module_kinds, routers
from growlm.train.config import PhaseConfig, option_help
from growlm.train.fit import NO_LOOPS, new_trainer

_TRAINER_GROUPS = {
    "length": (
        "max_steps",
        "max_epochs",
        "max_time",
        "min_steps",
        "min_epochs",
        "limit_train_batches",
        "overfit_batches",
    ),
    "hardware": ("accelerator", "devices", "strategy", "num_nodes", "sync_batchnorm", "use_distributed_sampler"),
    "precision and gradients": (
        *("precision", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
        *("deterministic", "benchmark", "detect_anomaly", "inference_mode"),
    ),
    "logging": ("logger", "log_every_n_steps", "default_root_dir", "enable_autolog_hparams", "model_registry"),
    "display and plugins": (
        *("callbacks", "plugins", "profiler", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"),
        *("fast_dev_run", "barebones", "reload_dataloaders_every_n_epochs"),
    ),
    "validation loops, which a phase has none of": NO_LOOPS,
}
_MEMBERS: Mapping[str, Iterable[str]] = {"method": methods, "router": routers}
_FIT_USAGE = """\
usage: growlm fit --config FILE [--model.option value ...] [--trainer.option value ...]

Train the same phase as growlm grow by Lightning's own command line.
"""
_USAGE = """\
usage: growlm grow --skill NAME [--option value ...]

Teach the stack a new skill: attach a module, train it alone, prove that nothing
else moved, freeze it. An interrupted phase resumes when the same command is
run again."""
_INDENT, _NARROWEST, _WIDEST = 30, 40, 84
_MORE = "and every option of `growlm fit --help`, such as --trainer.accelerator cpu."


def grow_help() -> str:
    """Write the help of ``growlm grow`` from the options of a phase and the registries."""
    skill = (
        "Recipe or skill to learn (growlm ls skills), or data of your own: a file, a folder, a glob, or a data set's "
        "id on the Hugging Face hub."
    )
    rows = {
        "what is learned": {"config": "A recipe by its path, instead of the one that --skill names."},
        "what it is learned on": {"device": "What it is trained on: cpu, cuda, mps or auto (default: auto)."},
        "how": {"module": f"Kinds of the new module, joined by +, or JSON with options: {', '.join(module_kinds)}."},
        "training": {"steps": "Training steps (default: 600)."},
    }
    return "\n".join([_USAGE, *_phase_options("", {"skill": skill}, rows), "", _MORE])


def fit_help() -> str:
    """Write the help of ``growlm fit``: a phase's options and those of Lightning's trainer, by what they are about."""
    documented = (str(Trainer.__init__.__doc__), str(new_trainer.__doc__))
    described = {entry.arg_name: entry.description for text in documented for entry in parse_docstring(text).params}
    sections: list[str] = []
    for title, names in _TRAINER_GROUPS.items():
        sections += ["", f"{title} (Lightning's trainer):"]
        for name in names:
            text = " ".join((described.get(name) or "").split())
            sections += _option(f"trainer.{name}", text.partition(". ")[0].partition(" Default:")[0])
    config = {"config": "A YAML file with any of these options.", "print_config": "Print all options as YAML."}
    general = [line for name, text in config.items() for line in _option(name, text)]
    return "\n".join([_FIT_USAGE, *general, *_phase_options("model."), *sections])


def _phase_options(
    prefix: str, words: Mapping[str, str] | None = None, rows: Mapping[str, Mapping[str, str]] | None = None
) -> list[str]:
    """Write the options of a phase by group.

    Args:
        prefix: what comes before an option's name.
        words: other words for an option.
        rows: options of the command line alone, by group.
    """
    texts = {**option_help(), **(words or {})}
    texts |= {name: f"{texts[name]} One of: {', '.join(known)}." for name, known in _MEMBERS.items()}
    groups: dict[str, list[str]] = {}
    for option in fields(PhaseConfig):
        shown = "" if option.default in (MISSING, None) else f" (default: {as_typed(option.default)})"
        groups.setdefault(option.metadata["group"], []).extend(
            _option(prefix + option.name, texts[option.name] + shown)
        )
    for title, more in (rows or {}).items():
        groups[title] += [line for name, text in more.items() for line in _option(name, text)]
    return [line for title, lines in groups.items() for line in ("", f"{title}:", *lines)]


def _option(name: str, text: str) -> list[str]:
    head = f"  --{name:<25} "
    room = shutil.get_terminal_size().columns - 2 - _INDENT
    wrapped = textwrap.wrap(text, min(max(room, _NARROWEST), _WIDEST)) or [""]
    first = [head + wrapped[0]] if len(head) == _INDENT else [head.rstrip(), " " * _INDENT + wrapped[0]]
    return [*first, *(" " * _INDENT + line for line in wrapped[1:])]
