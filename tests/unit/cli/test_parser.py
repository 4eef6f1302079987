import enum
import re
from pathlib import Path
from typing import Literal

import pytest

from growlm.cli.parser import CommandParser
from growlm.errors import GrowlmError


class Colour(enum.Enum):
    red = 1
    green = 2


def example(
    stack: Path = Path("checkpoints/stack"),
    prompt: str = "once",
    steps: int = 3,
    json: bool = False,
    how: Literal["greedy", "drawn"] | None = None,
    colour: Colour = Colour.red,
    names: list[str] | None = None,
    rate: float | None = None,
    trust_data: bool = False,
) -> None:
    """Do nothing.

    At all.

    Args:
        stack: the folder.
        prompt: the text.
        steps: how many.
        json: as JSON.
        how: the way.
        colour: the colour.
        names: some names.
        rate: how fast.
        trust_data: read it.
    """


def needed(skill: str, steps: int = 3) -> None:
    """Need a skill.

    Args:
        skill: which.
        steps: how many.
    """


def parser() -> CommandParser:
    return CommandParser(example, "growlm example", ("stack", "prompt"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"stack": Path("checkpoints/stack"), "prompt": "once", "steps": 3, "json": False, "names": None}),
        (["my/stack"], {"stack": Path("my/stack"), "prompt": "once"}),
        (["my/stack", "hi there"], {"stack": Path("my/stack"), "prompt": "hi there"}),
        (["--stack", "a", "--prompt=b"], {"stack": Path("a"), "prompt": "b"}),
        (["--json", "my/stack"], {"stack": Path("my/stack"), "json": True}),
        (["--json=false"], {"json": False}),
        (["--json", "false", "my/stack"], {"stack": Path("my/stack"), "json": False}),
        (["--json", "true"], {"stack": Path("checkpoints/stack"), "json": True}),
        (["--steps", "5", "a", "--steps=6"], {"steps": 6, "stack": Path("a")}),
        (["--steps", "-5"], {"steps": -5}),
        (["--how", "drawn", "--colour", "green"], {"how": "drawn", "colour": Colour.green}),
        (["--names", "[a, b]"], {"names": ["a", "b"]}),
        (["--names+", "a", "--names+=b"], {"names": ["a", "b"]}),
        (["--rate", "1e-3"], {"rate": 1e-3}),
        (["--trust-data", "--rate=2"], {"trust_data": True, "rate": 2.0}),
        (["--trust-data=false"], {"trust_data": False}),
    ],
)
def test_arguments(words: list[str], expected: dict[str, object]):
    found = parser().arguments(words)
    assert {name: found[name] for name in expected} == expected
    assert list(found) == ["stack", "prompt", "steps", "json", "how", "colour", "names", "rate", "trust_data"]


def test_the_later_of_config_and_option_wins(tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text("steps: 7\nprompt: from the file\n")
    found = parser().arguments(["--steps", "5", "--config", str(config), "--prompt", "from the line"])
    assert (found["steps"], found["prompt"]) == (7, "from the line")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stpes", "5"], "unknown option '--stpes': did you mean '--steps'?"),
        (["--stpes=5"], "unknown option '--stpes': did you mean '--steps'?"),
        (["--step", "5"], "unknown option '--step': did you mean '--steps'?"),
        (["--zzz", "5"], "unknown option '--zzz': `growlm example --help` lists the options"),
        (["--steps", "many"], "--steps: found 'many', expected int"),
        (["--steps"], "--steps: its value is missing; `growlm example --help` lists the options"),
        (["--json=maybe"], "--json: found 'maybe', expected bool"),
        (["--rate", "fast"], "--rate: found 'fast', expected float or null"),
        (["--how", "greedily"], "--how: unknown value 'greedily': did you mean 'greedy'? known: greedy, drawn"),
        (["--how", "x"], "--how: unknown value 'x': known: greedy, drawn"),
        (["--colour", "grene"], "--colour: unknown value 'grene': did you mean 'green'? known: red, green"),
        (["--names", "5"], "--names: found '5', expected list[str] or null"),
        (["a", "b", "c"], "unexpected argument 'c': `growlm example --help` lists the options"),
        (["-x"], "unexpected argument '-x': `growlm example --help` lists the options"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str):
    with pytest.raises(GrowlmError) as raised:
        parser().arguments(words)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stesp: 5", "unknown key 'stesp': did you mean 'steps'?"),
        ("steps: many", "--steps: found 'many', expected int"),
        ("steps: [5", "config.yaml is not YAML (while parsing a flow sequence"),
    ],
)
def test_mistakes_in_a_config_are_one_line(tmp_path: Path, text: str, message: str):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    with pytest.raises(GrowlmError, match=re.escape(message)) as raised:
        parser().arguments(["--config", str(config)])
    assert "\n" not in str(raised.value)


def test_a_config_that_is_not_there(tmp_path: Path):
    with pytest.raises(GrowlmError, match=r"--config: there is no file '.*nope.yaml'"):
        parser().arguments(["--config", str(tmp_path / "nope.yaml")])


def test_what_is_required_must_be_given():
    with pytest.raises(GrowlmError, match=r"^--skill is required: `growlm needed --help`"):
        CommandParser(needed, "growlm needed").arguments(["--steps", "2"])


def test_print_config_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        parser().arguments(["my/stack", "--steps", "5", "--print_config"])
    assert end.value.code == 0
    config = tmp_path / "config.yaml"
    config.write_text(capsys.readouterr().out)
    found = parser().arguments(["--config", str(config)])
    assert (found["stack"], found["steps"]) == (Path("my/stack"), 5)


def test_help_says_what_the_docstring_says(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parser().arguments(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: growlm example [stack] [prompt] [--option value ...]\n\nDo nothing.")
    words = " ".join(text.split())
    assert "the folder. (default: checkpoints/stack)" in words
    assert "how fast. (a number)" in words
    assert "(type: " not in words
    assert "Args:" not in text


def test_an_option_may_be_a_word_of_python():
    def reading(from_: Path | None = None, json: bool = False) -> None:
        """Read.

        Args:
            from_: where from.
            json: as JSON.
        """

    for words in (["--from", "here", "--json"], ["--from=here", "--json"]):
        assert CommandParser(reading).arguments(words) == {"from_": Path("here"), "json": True}
    text = CommandParser(reading).format_help()
    assert "--from FROM" in text
    assert "from_" not in text
    texts = ("where from", "as JSON")
    assert len({line.index(word) for line in text.splitlines() for word in texts if word in line}) == 1
