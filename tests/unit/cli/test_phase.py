"""The short options of ``growlm grow`` and the long ones that they abbreviate."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from growlm.cli.help import fit_help, grow_help
from growlm.cli.phase import PhaseCLI, long_options
from growlm.errors import GrowlmError
from growlm.recipes import recipe_path
from growlm.train.config import option_names

CHAT = str(recipe_path("skills", "chat"))


def test_a_skill_with_a_recipe_is_its_recipe() -> None:
    assert long_options(["--skill", "chat"]) == [f"--config={CHAT}"]


def test_a_skill_without_a_recipe_is_itself() -> None:
    assert long_options(["--skill=stories"]) == ["--model.skill=stories"]
    assert long_options(["--skill", "some/where.jsonl.xz"]) == ["--model.skill=some/where.jsonl.xz"]


def test_a_config_comes_before_a_skill() -> None:
    words = long_options(["--config", "mine.yaml", "--skill", "chat"])
    assert words == ["--config=mine.yaml", "--model.skill=chat"]


def test_short_options_are_spelled_out() -> None:
    given = {
        "stack": "s",
        "base": "b",
        "on": "none",
        "name": "n",
        "method": "grow",
        "stories": "t.txt",
        "restart": "true",
    }
    words = [word for key, value in given.items() for word in (f"--{key}", value)]
    more = ["--skill", "stories", "--steps", "3", "--seed=4", "--trainer.accelerator", "cpu"]
    assert sorted(long_options([*words, *more])) == sorted(
        [
            "--model.skill=stories",
            "--model.stack=s",
            "--model.base=b",
            "--model.parents=none",
            "--model.name=n",
            "--model.method=grow",
            "--trainer.max_steps=3",
            "--model.seed=4",
            "--model.restart=true",
            "--model.stories=t.txt",
            "--trainer.accelerator",
            "cpu",
        ]
    )


def test_the_later_of_two_wins() -> None:
    assert long_options(["--skill", "stories", "--seed", "1", "--seed=2"])[-1] == "--model.seed=2"


def method_options(words: list[str]) -> object:
    found = [word for word in long_options(words) if word.startswith("--model.method_options=")]
    return yaml.safe_load(found[0].partition("=")[2])


def test_module_kinds_by_name_have_the_options_of_the_recipe() -> None:
    recipe = yaml.safe_load(Path(CHAT).read_text())["model"]["method_options"]
    assert method_options(["--skill", "chat", "--module", "lora"]) == {"module": {"lora": recipe["module"]["lora"]}}
    assert method_options(["--skill", "chat", "--module", "lora+embedding"]) == recipe
    assert method_options(["--skill", "stories", "--module", "block+lora"]) == {"module": {"block": {}, "lora": {}}}


def test_another_method_does_not_get_the_options_of_the_recipes_method() -> None:
    assert "--model.method_options={}" in long_options(["--skill", "chat", "--method", "osft"])
    assert "--model.method_options={}" not in long_options(["--skill", "chat", "--method", "grow"])
    own = long_options(["--skill", "chat", "--method", "osft", "--model.method_options", '{"preserve_ratio": 0.5}'])
    assert own.index("--model.method_options={}") < own.index("--model.method_options"), "the later of two wins"


def test_module_kinds_with_options_of_their_own() -> None:
    kinds = '{"lora": {"rank": 3}, "block": {}}'
    assert method_options(["--skill", "chat", "--module", kinds]) == {"module": {"lora": {"rank": 3}, "block": {}}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no skill is given"),
        (["--steps", "3"], "no skill is given"),
        (["--skill"], "--skill needs a value"),
        (["--skill", "caht"], "unknown skill 'caht': did you mean 'chat'"),
        (["--skill", "chat", "--module", "lroa"], "unknown module kind 'lroa': did you mean 'lora'"),
        (["--skill", "chat", "--module", "lora+blok"], "unknown module kind 'blok': did you mean 'block'"),
        (["--skill", "chat", "--module", ""], "unknown module kind ''"),
        (["--skill", "chat", "--module", "{lora"], "--module is not YAML"),
        (["--skill", "a.jsonl", "b.jsonl"], r"takes one value, found 'b\.jsonl' after it: put a glob into quotes"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        long_options(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizer", "SGD"], "^--optimizer is not offered: a phase trains by AdamW"),
        (["--optimizer.lr=1"], "^--optimizer.lr is not offered"),
        (["--lr_scheduler=StepLR"], "^--lr_scheduler is not offered"),
        (["--model.on_bad=ignore"], "--model.on_bad: unknown value 'ignore': known: error, skip"),
    ],
)
def test_what_a_phase_has_not_is_said(words: list[str], message: str) -> None:
    with pytest.raises(GrowlmError, match=message):
        PhaseCLI(["--model.skill=chat", *words], "growlm fit")


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n"])
def test_a_recipe_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(GrowlmError, match=r"x\.yaml (is not YAML|holds list instead of keys)"):
        long_options(["--config", str(tmp_path / "x.yaml"), "--module", "lora"])


@pytest.mark.parametrize("text", ["trainer: logger\nmodel: {skill: chat}\n", "model: logger\n"])
def test_a_recipe_whose_groups_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(GrowlmError, match="logger"):
        PhaseCLI(["--config", str(tmp_path / "x.yaml")], "growlm fit")


@pytest.mark.parametrize("key", ["accelerator", "devices", "strategy", "num_nodes", "accumulate_grad_batches"])
def test_lightnings_own_options_are_there(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    from growlm.cli.main import main

    assert main(["fit", "--help"]) == 0
    assert f"--trainer.{key}" in capsys.readouterr().out.split()


def test_every_option_has_one_place_in_the_help() -> None:
    listed = re.findall(r"^  --(\S+)", grow_help(), re.MULTILINE)
    assert sorted(listed) == sorted([*option_names(), "module", "steps", "config", "device"])
    listed = re.findall(r"^  --(\S+)", fit_help(), re.MULTILINE)
    trained = [f"trainer.{name}" for name in inspect.signature(Trainer).parameters]
    assert sorted(listed) == sorted([*(f"model.{name}" for name in option_names()), *trained, "config", "print_config"])


def test_booleans_are_shown_as_they_are_typed() -> None:
    words = " ".join(grow_help().split())
    assert "instead of listing them. (default: false)" in words
    assert re.findall(r"default: (?:True|False)", words) == []


def test_the_help_of_fit_groups_its_options() -> None:
    groups = dict(re.findall(r"^(\S.*):\n((?: .*\n)+)", fit_help() + "\n", re.MULTILINE))
    for option, group in {
        "model.skill": "what is learned",
        "model.base": "what it is learned on",
        "model.learning_rate": "training",
        "model.router": "scores and router",
        "trainer.max_time": "length (Lightning's trainer)",
        "trainer.strategy": "hardware (Lightning's trainer)",
        "trainer.precision": "precision and gradients (Lightning's trainer)",
        "trainer.logger": "logging (Lightning's trainer)",
    }.items():
        assert [name for name, lines in groups.items() if f"  --{option} " in lines] == [group]


@pytest.mark.parametrize("words", [["--restart"], ["--restart", "--steps", "3"], ["--restart", "true", "--steps=3"]])
def test_an_option_that_is_true_or_false_needs_no_value(words: list[str]) -> None:
    assert "--model.restart=true" in long_options(["--skill", "chat", *words])


def test_hyphens_are_as_good_as_underscores() -> None:
    words = ["--skill", "stories", "--dry-run", "--on-bad", "skip"]
    assert sorted(long_options(words)) == ["--model.dry_run=true", "--model.on_bad=skip", "--model.skill=stories"]
    long = ["--model.skill", "memory", "--model.num-scored=3", "--trainer.max-steps", "7"]
    config = PhaseCLI(long, "growlm fit").config
    assert (config.model.num_scored, config.trainer.max_steps) == (3, 7)


def test_a_folder_of_that_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talks").mkdir()
    with pytest.raises(GrowlmError, match=r"'talks' is not a skill; to read the data of that name, write \./talks"):
        long_options(["--skill", "talks"])
