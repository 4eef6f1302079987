"""The main job from the command line: grow, look, talk, grow on top, undo."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import yaml

import growlm
from growlm.errors import GrowlmError
from tests.e2e.conftest import STEPS, Files, Outcome, complaints, contents, result

Command = Callable[[Sequence[object]], Outcome]


def test_the_whole_way(
    files: Files, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = tmp_path / "stack"
    done = command(files.grow(stack))
    assert done.status == 0
    assert f"frozen: {len(base_tensors(files))} tensors, unchanged (sha256 " in done.out
    assert "scores on held-out examples" in done.out
    assert all(written in done.out for written in ("bits per byte", "exact match", "loss per token", "before", "after"))
    assert "Warning" not in done.out + done.err
    first = contents(stack)
    assert {Path(name).suffix for name in first} == {".json", ".safetensors", ".md", ".jinja"}

    scores = json.loads(first["modules/00-words/module.json"])["scores"]
    assert scores["words"]["oracle"]["loss"] < scores["words"]["base"]["loss"]
    assert scores["stories"]["oracle"]["value"] == scores["stories"]["base"]["value"]

    done = command(["eval", stack, "--limit", "4", "--stories", files.stories, "--json"])
    got = {(row["skill"], row["mode"]): row["score"] for row in json.loads(done.out)}
    for skill, mode in got:
        assert got[skill, mode] == scores[skill][mode]
    assert len(got) == 7
    done = command(["eval", stack, "--skill", "words", "--path", "base", "--limit", "4"])
    assert done.status == 0
    assert f"{scores['words']['base']['loss']:.3f}" in done.out

    done = command(["verify", stack])
    assert done.status == 0
    assert done.out.count("unchanged (sha256 ") == 2
    assert json.loads(first["stack.json"])["base"]["digest"] in done.out

    generate = ["generate", stack, "the cat", "--max_new_tokens", "5"]
    done = command([*generate, "--path", "words"])
    assert done.status == 0
    assert done.out.startswith("the cat")
    assert done.out != command([*generate, "--path", "base"]).out
    assert command(generate).status == 0  # the router chooses

    said = [talk(command, monkeypatch, stack, "hello\n\nyes\n", "--max_new_tokens", "4") for _ in range(2)]
    assert said[0] == said[1]
    assert said[0].out.count("\n") == 2
    done = talk(command, monkeypatch, stack, "/path base\nhello\n/reset\nhello\n/path words\n", "--max_new_tokens", "4")
    assert done.out.startswith("path base\n")
    assert done.out.endswith("path words\n")
    lines = done.out.splitlines()
    assert lines[1] == lines[2]  # forgotten, so the same answer

    done = command(["show", stack])
    assert done.status == 0
    assert "words" in done.out
    assert contents(stack) == first  # looking changes nothing

    done = command(files.grow(stack, skill=files.talk))
    assert done.status == 0
    second = contents(stack)
    modules = {name: bytes_ for name, bytes_ in first.items() if name.startswith("modules/")}
    assert second.items() >= modules.items()
    record = json.loads(second["modules/01-talk/module.json"])
    assert record["parents"] == ["words"]
    assert set(record["scores"]) == {"stories", "words", "talk"}
    assert record["scores"]["words"]["oracle"] == scores["words"]["oracle"]  # not a digit moved
    assert record["scores"]["stories"]["oracle"] == scores["stories"]["base"]
    matrix = json.loads(second["accuracy.json"])["modes"]["oracle"]
    assert matrix[1][0] == matrix[2][0] == scores["words"]["oracle"]["value"]
    assert command(["verify", stack]).out.count("unchanged (sha256 ") == 3

    done = command(["undo", stack])
    assert (done.status, done.out) == (0, f"module 'talk' is gone; {stack} is base + words again\n")
    assert contents(stack) == first
    assert command(["undo", stack]).status == 0
    base_files = {"chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert set(contents(stack)) == {"config.json", "stack.json", *base_files}
    done = command(["undo", stack])
    assert (done.status, complaints(done)) == (2, [f"growlm: {stack} has no module to undo"])


def talk(command: Command, monkeypatch: pytest.MonkeyPatch, stack: Path, said: str, *more: str) -> Outcome:
    """Talk through a pipe."""
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    done = command(["chat", stack, *more])
    assert done.status == 0
    return done


def base_tensors(files: Files) -> list[str]:
    from safetensors import safe_open

    with safe_open(Path(files.base) / "model.safetensors", "pt") as file:
        return list(file.keys())


def test_fit_is_the_same_phase(files: Files, command: Command, tmp_path: Path) -> None:
    config = {
        "model": {
            "skill": "jsonl",
            "name": "words",
            "skill_options": {"train": files.words},
            "base": files.base,
            "stories": files.stories,
            "method_options": {"module": {"lora": {}}},
            "batch_size": 4,
            "num_scored": 4,
            "learning_rate": 1e-2,
            "checkpoint_every": 3,
        },
        "trainer": {"max_steps": STEPS, "precision": "32-true", "accelerator": "cpu"},
    }
    recipe = tmp_path / "words.yaml"
    recipe.write_text(yaml.safe_dump(config))
    assert command(files.grow(tmp_path / "grown")).status == 0
    done = command(["fit", "--config", recipe, "--model.stack", tmp_path / "fitted"])
    assert done.status == 0
    assert "frozen: " in done.out
    assert command(["grow", "--config", recipe, "--stack", tmp_path / "recipe"]).status == 0
    assert result(tmp_path / "fitted") == result(tmp_path / "grown") == result(tmp_path / "recipe")


def test_python_grows_the_same(files: Files, command: Command, tmp_path: Path) -> None:
    assert command(files.grow(tmp_path / "grown")).status == 0
    grown = growlm.grow(
        files.words,
        stack=tmp_path / "python",
        base=files.base,
        stories=files.stories,
        steps=STEPS,
        module={"lora": {}},
        **{
            "trainer.precision": "32-true",
            "trainer.accelerator": "cpu",
            "model.batch_size": 4,
            "model.num_scored": 4,
            "model.learning_rate": 1e-2,
        },
    )
    assert grown.record.name == "words"
    assert result(tmp_path / "python") == result(tmp_path / "grown")


def test_two_skills_side_by_side(files: Files, command: Command, tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    assert command(files.grow(stack)).status == 0
    assert command(files.grow(stack, "--on", "none", skill=files.talk)).status == 0
    assert command(files.grow(stack, "--on", "words", "--name", "more", skill=files.talk)).status == 0
    loaded = growlm.ModuleStack.from_pretrained(stack)
    assert loaded.parents() == {"words": (), "talk": (), "more": ("words",)}
    done = command(["generate", stack, "the", "--path", "words+talk", "--max_new_tokens", "3"])
    assert done.status == 0
    done = command(["generate", stack, "the", "--path", "talk+more", "--max_new_tokens", "3"])
    assert complaints(done) == ["growlm: path 'talk+more' lacks words, which 'more' was grown on: use 'words+more'"]


def test_a_finished_phase_is_not_run_again(files: Files, command: Command, tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    assert command(files.grow(stack)).status == 0
    before = contents(stack)
    done = command(files.grow(stack))
    assert done.status == 0
    assert "'words' is grown already with these settings; nothing was done" in done.out
    assert contents(stack) == before
    done = command(files.grow(stack, "--seed", "1"))
    assert done.status == 2
    assert len(complaints(done)) == 1
    assert "already, grown with other settings (seed 0, now 1): undo it first (growlm undo)" in done.err
    assert contents(stack) == before


def test_transformers_load_a_stack(files: Files, command: Command, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    assert command(files.grow(tmp_path / "stack")).status == 0
    stack = growlm.ModuleStack.from_pretrained(tmp_path / "stack")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "stack")
    assert type(loaded) is growlm.ModuleStack
    assert loaded.path == ("words",)
    ids = stack.tokenizer("the cat sat", return_tensors="pt")["input_ids"]
    assert torch.equal(loaded(ids).logits, stack(ids).logits)
    with loaded.active(), stack.active():
        assert torch.equal(loaded(ids).logits, stack(ids).logits)
    config = AutoConfig.from_pretrained(tmp_path / "stack")
    assert config.stock_config().to_dict() == stack.base.config.to_dict()
    halved = AutoModelForCausalLM.from_pretrained(tmp_path / "stack", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in halved.parameters()} == {torch.bfloat16}


def test_a_base_that_moved_is_given_anew(files: Files, command: Command, tmp_path: Path) -> None:
    shutil.copytree(files.base, tmp_path / "base")
    moved = files._replace(base=str(tmp_path / "base"))
    stack = tmp_path / "stack"
    assert command(moved.grow(stack)).status == 0
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    done = command(["verify", stack])
    assert done.status == 2
    assert len(complaints(done)) == 1
    for words in (["verify", stack], ["generate", stack, "the", "--max_new_tokens", "2"]):
        assert command([*words, "--base", tmp_path / "elsewhere"]).status == 0
    with pytest.raises(GrowlmError):
        growlm.ModuleStack.from_pretrained(stack)
