"""The errors of nested parsers, such as LightningCLI builds; those of plain commands are in test_cli_parser.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from growlm.cli.errors import check_configs, choices, describe, known_keys, nearest, plain_values, user_error
from growlm.errors import GrowlmError


class Stopping:
    def __init__(self, monitor: str = "loss", patience: int = 3) -> None: ...


@dataclass
class Model:
    width: int = 3
    stopping: Stopping | None = None


class Trainer:
    def __init__(self, max_steps: int = 1, widths: int = 2) -> None: ...


def nested_parser() -> ArgumentParser:
    parser = ArgumentParser(prog="growlm fit", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Model, "model")
    parser.add_class_arguments(Trainer, "trainer")
    return parser


def message(parser: ArgumentParser, words: list[str], shorthands: tuple[str, ...] = ()) -> str:
    with pytest.raises(ArgumentError) as raised:
        parser.parse_args(words)
    return str(user_error(raised.value, parser, words, shorthands))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model.widht=4"], "unknown option '--model.widht': did you mean '--model.width'?"),
        (["--modle.width=4"], "unknown option '--modle.width': did you mean '--model.width'?"),
        (["--trainer.width=4"], "unknown option '--trainer.width': did you mean '--trainer.widths'?"),
        (["--trainer.max_steps=x"], "--trainer.max_steps: found 'x', expected int"),
        (["--model.max_steps=4"], "unknown option '--model.max_steps': did you mean '--trainer.max_steps'?"),
        (["more"], "unexpected argument 'more': `growlm fit --help` lists the options"),
        (
            [f"--model.stopping={__name__}.Stopping", "--model.stopping.monito=loss"],
            "--model.stopping: Stopping has no option 'monito': did you mean 'monitor'?",
        ),
        (["--model.stopping=Stoping"], "--model.stopping: found 'Stoping', expected Stopping or null"),
    ],
)
def test_nested_options(words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    assert message(nested_parser(), words) == expected


def _this_module() -> object:
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def test_keys_of_a_group_in_a_config(tmp_path: Path):
    config = tmp_path / "mine.yaml"
    for text, expected in (
        ("model:\n  widht: 3\n", "unknown key 'model.widht': did you mean 'model.width'?"),
        ("modle: 3\n", "unknown key 'modle': did you mean 'model'?"),
        ("model: {width: wide}\n", "--model.width: found 'wide', expected int"),
    ):
        config.write_text(text)
        assert message(nested_parser(), [f"--config={config}"]) == expected


def test_subcommands_and_shorthands_are_on_offer():
    parser = ArgumentParser(prog="growlm", exit_on_error=False)
    parser.add_subcommands().add_subcommand("fit", nested_parser())
    assert "model.width" in known_keys(parser)
    assert (
        message(nested_parser(), ["--stesp=3"], ("steps", "skill"))
        == "unknown option '--stesp': did you mean '--steps'?"
    )


def test_an_unforeseen_error_is_one_line_all_the_same():
    assert str(user_error(ValueError("a\n  b"), nested_parser(), [])) == "a b"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("chta", "chat"),
        ("model.widht", "model.width"),
        ("xyz", None),
        ("model.xyz", None),
        ("model.chat", "chat"),
        ("chat", "chat"),
    ],
)
def test_nearest(name: str, found: str | None):
    assert nearest(name, ["chat", "memory", "model.width", "trainer.width"]) == found


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float | None, "float or null"),
        (Optional[list[str]], "list[str] or null"),  # noqa: UP045  # the old spelling is another type
        (dict[str, Any] | Path, "dict[str, Any] or Path"),
        (tuple[int, ...], "tuple[int, ...]"),
    ],
)
def test_types_are_named_as_a_reader_would(annotation: Any, text: str):
    assert describe(annotation) == text


def test_choices_inside_a_union():
    assert choices(Literal["a", "b"] | None) == ["a", "b"]
    assert choices(int | None) == []


def test_values_of_plain_options_are_data(tmp_path: Path):
    (tmp_path / "never_imported.py").write_text("raise SystemExit('imported')")
    spec = {"class_path": "never_imported.Thing", "init_args": {"command": "true"}}

    def takes(options: dict[str, Any] | None = None, anything: Any = None) -> None:
        """Do nothing."""

    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(takes)
    sys_path = __import__("sys").path
    sys_path.insert(0, str(tmp_path))
    try:
        with plain_values():
            parsed = parser.instantiate(parser.parse_object({"options": {"a": spec}, "anything": spec}))
    finally:
        sys_path.remove(str(tmp_path))
    assert (dict(parsed.options["a"]), dict(parsed.anything)) == (spec, spec)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [5", "is not YAML"),
        ("model: {width: 3}\nmodel: {width: 4}", "'model' is given twice"),
        ("x" * 1_000_001, "a YAML file may have"),
    ],
)
def test_config_files_are_read_strictly(tmp_path: Path, text: str, said: str):
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    with pytest.raises(GrowlmError, match=said):
        check_configs(nested_parser(), ["--config", str(config)])
