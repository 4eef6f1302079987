"""Whatever is wrong with a request: one line that says so, exit status 2, and the stack as it was."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from tests.e2e.conftest import Files, Outcome, contents

Command = Callable[[Sequence[object]], Outcome]
TENSORS = "modules/00-words/module.safetensors"


class Bad(NamedTuple):
    """A bad request.

    Args:
        what: what is wrong, for the test's name.
        words: the command, ``{stack}``, ``{base}``, ``{words}``, ``{talk}`` and ``{tmp}`` filled in.
        said: what the line must hold.
        damage: done to the stack before.
    """

    what: str
    words: str
    said: str
    damage: Callable[[Path], object] | None = None


@pytest.fixture(scope="module")
def grown(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack with the module ``words``."""
    from growlm.cli.main import main

    stack = tmp_path_factory.mktemp("bad") / "stack"
    assert main(files.grow(stack)) == 0
    return stack


def error_of(done: Outcome) -> str:
    """Return the one line of an error, which comes last; notices may come before it."""
    *notices, error = done.err.splitlines()
    assert error.startswith("growlm: ")
    assert not any(line.startswith(("growlm: ", "Traceback")) for line in notices)
    return error


def check(command: Command, words: Sequence[str], stack: Path, said: str) -> None:
    before = contents(stack)
    done = command(words)
    assert done.status == 2
    assert said in error_of(done)
    assert contents(stack) == before


def flip(name: str, at: float) -> Callable[[Path], object]:
    """Change one bit of a file, at a share of its length."""

    def damage(stack: Path) -> None:
        content = bytearray((stack / name).read_bytes())
        content[int(at * (len(content) - 1))] ^= 1
        (stack / name).write_bytes(content)

    return damage


def cut(stack: Path) -> None:
    content = (stack / TENSORS).read_bytes()
    (stack / TENSORS).write_bytes(content[: len(content) // 2])


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Change a word of a file."""

    def damage(stack: Path) -> None:
        text = (stack / name).read_text(encoding="utf-8")
        assert old in text
        (stack / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def later_version(stack: Path) -> None:
    content = json.loads((stack / "stack.json").read_text())
    (stack / "stack.json").write_text(json.dumps({**content, "format_version": 7}))


def lose(name: str) -> Callable[[Path], object]:
    """Remove a file or folder."""
    return lambda stack: shutil.rmtree(stack / name) if (stack / name).is_dir() else (stack / name).unlink()


GROW = "grow --stack {stack} --base {base} --name new --steps 3 --skill"
REQUESTS = [
    Bad("no command", "gorw", "unknown command 'gorw': did you mean 'grow'?"),
    Bad("no skill", "grow --stack {stack}", "no skill is given"),
    Bad("unknown skill", f"{GROW} caht", "unknown skill 'caht': did you mean 'chat'?"),
    Bad("unknown module kind", f"{GROW} {{words}} --module lroa", "unknown module kind 'lroa': did you mean 'lora'?"),
    Bad("no module kind", f"{GROW} {{words}} --module {{{{}}}}", "needs a module with at least one kind"),
    Bad("module as broken JSON", f"{GROW} {{words}} --module {{{{lora:", "--module is not YAML"),
    Bad(
        "unknown option of a kind",
        f'{GROW} {{words}} --module {{{{"lora":{{{{"rnak":3}}}}}}}}',
        "unknown option of module kind 'lora' 'rnak': did you mean 'rank'?",
    ),
    Bad(
        "wrong type of a kind's option",
        f'{GROW} {{words}} --module {{{{"lora":{{{{"rank":"x"}}}}}}}}',
        "module kind 'lora': option 'rank' is \"x\", expected int",
    ),
    Bad(
        "a kind that does not fit the base",
        f'{GROW} {{words}} --module {{{{"lora":{{{{"target_modules":["c_attn"]}}}}}}}}',
        "target module 'c_attn' is not in this base: use some of",
    ),
    Bad(
        "layers that are not there",
        f'{GROW} {{words}} --module {{{{"block":{{{{"after":[9]}}}}}}}}',
        "layers [9] do not fit this base: give different numbers from 0 to 3",
    ),
    Bad(
        "unknown metric",
        f"{GROW} {{words}} --model.metric los",
        "unknown metric of any skill 'los': did you mean 'loss'?",
    ),
    Bad("unknown method", f"{GROW} {{words}} --method gorw", "unknown method 'gorw': did you mean 'grow'?"),
    Bad("unknown path to grow on", f"{GROW} {{words}} --on wrods", "unknown module 'wrods': did you mean 'words'?"),
    Bad("unknown base", "grow --stack {tmp}/new --base mnii --skill {words}", "unknown base 'mnii'"),
    Bad("unknown short option", f"{GROW} {{words}} --stpes 3", "unknown option '--stpes': did you mean '--steps'?"),
    Bad(
        "unknown option",
        f"{GROW} {{words}} --model.learning_rat 3",
        "unknown option '--model.learning_rat': did you mean '--model.learning_rate'?",
    ),
    Bad(
        "unknown option of fit", "fit --model.skil chat", "unknown option '--model.skil': did you mean '--model.skill'?"
    ),
    Bad("no skill to fit", "fit", "--model.skill is required: `growlm fit --help` lists the options"),
    Bad("no value", f"{GROW} {{words}} --seed", "--seed needs a value"),
    Bad("wrong type", f"{GROW} {{words}} --steps many", "--trainer.max_steps: found 'many', expected int"),
    Bad("no step", f"{GROW} {{words}} --steps 0", "0 steps are too few"),
    Bad("steps without end", f"{GROW} {{words}} --steps -1", "-1 steps are too few"),
    Bad("no batch", f"{GROW} {{words}} --model.batch_size 0", "batch_size 0 is too small"),
    Bad("nothing scored", f"{GROW} {{words}} --model.num_scored -1", "num_scored -1 is too small"),
    Bad("negative rate", f"{GROW} {{words}} --model.learning_rate -1", "learning_rate -1.0 is too small"),
    Bad("bad name", f"{GROW} {{words}} --name ../x", "module '../x' cannot be a name"),
    Bad("name of the base", f"{GROW} {{words}} --name base", "'base' is the name of the bare base's path"),
    Bad("name of the base's skill", f"{GROW} {{words}} --name stories", "'stories' would hide the base's own scores"),
    Bad(
        "name that is taken", f"{GROW} {{talk}} --name words", "has a module 'words' already, grown with other settings"
    ),
    Bad("no config file", "grow --stack {stack} --config none.yaml", "there is no file"),
    Bad("another base", "grow --stack {stack} --base {gpt2} --skill {talk}", "is not the one"),
    Bad("another base to look at", "verify {stack} --base {gpt2}", "is not the one"),
    Bad("no such base to look at", "verify {stack} --base {tmp}/none", "unknown base"),
    Bad("unknown path", "generate {stack} x --path wrods", "unknown module 'wrods': did you mean 'words'?"),
    Bad("unknown path to talk with", "chat {stack} --path wrods", "unknown module 'wrods': did you mean 'words'?"),
    Bad("unknown skill to score", "eval {stack} --skill wrods", "unknown skill 'wrods': did you mean 'words'?"),
    Bad("unknown split", "eval {stack} --split tset", "unknown split 'tset': did you mean 'test'?"),
    Bad("unknown option of a command", "verify {stack} --bsae x", "unknown option '--bsae': did you mean '--base'?"),
    Bad("special token in a prompt", "generate {stack} a<|end|>b", "holds the special token '<|end|>'"),
    *(
        Bad(f"no stack to {words.split()[0]}", words, "is not a stack (stack.json is missing)")
        for words in (
            "verify {tmp}/x",
            "undo {tmp}/x",
            "generate {tmp}/x",
            "eval {tmp}/x",
            "chat {tmp}/x",
            "show {tmp}/x",
        )
    ),
]


@pytest.mark.parametrize("bad", REQUESTS, ids=lambda bad: bad.what)
def test_bad_requests(
    bad: Bad, files: Files, grown: Path, command: Command, tmp_path: Path, tiny_bases: dict[str, Path]
) -> None:
    names = {**files._asdict(), "stack": grown, "tmp": tmp_path, "gpt2": tiny_bases["gpt2"]}
    check(command, [word.format(**names) for word in bad.words.split()], grown, bad.said)
    assert list(tmp_path.iterdir()) == []


DAMAGES = [
    Bad("truncated tensors", "", "module.safetensors is damaged", cut),
    Bad("a flipped bit in the tensors", "", "module.safetensors: tensor 'lora.", flip(TENSORS, 0.9)),
    Bad("a flipped bit in the first tensor", "", "module.safetensors: tensor 'lora.", flip(TENSORS, 0.6)),
    Bad("a flipped bit in the header's length", "", "module.safetensors is damaged", flip(TENSORS, 0)),
    Bad("no tensors", "", "module.safetensors is missing", lose(TENSORS)),
    Bad("an edited manifest", "", "stack.json was edited or damaged", edit("stack.json", '"words"', '"wards"')),
    Bad("an edited digest", "", "stack.json was edited or damaged", edit("stack.json", '"digest": "', '"digest": "0')),
    Bad("a manifest that is not valid JSON", "", "stack.json is not valid JSON", edit("stack.json", "{", "")),
    Bad(
        "a manifest without modules",
        "",
        "stack.json was edited or damaged",
        edit("stack.json", '"modules"', '"odules"'),
    ),
    Bad("an empty manifest", "", "stack.json is not valid JSON", lambda stack: (stack / "stack.json").write_text("")),
    Bad("a later version", "", "stack.json has format version 7, this growlm reads version 1 and 2", later_version),
    Bad(
        "an edited module file",
        "",
        "module.json was edited or damaged",
        edit("modules/00-words/module.json", '"seed": 0', '"seed": 1'),
    ),
    Bad("no module file", "", "module.json is missing", lose("modules/00-words/module.json")),
    Bad("no module folder", "", "module.json is missing", lose("modules/00-words")),
    Bad("no modules at all", "", "module.json is missing", lose("modules")),
    Bad("a manifest that lists less", "", "stack.json was edited or damaged", edit("stack.json", "README", "readme")),
]


COMMANDS = {"verify": "verify {stack}", "chat": "chat {stack}", "grow": f"{GROW} {{talk}}"}
GROWN_ON = ("a flipped bit in the tensors", "an edited manifest")
"""Damages of which the default tier sees that nothing is grown on them; the others are read alike."""


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param(
            *(bad, words),
            id=f"{bad.what}-{name}",
            marks=[pytest.mark.exhaustive] if name == "grow" and bad.what not in GROWN_ON else [],
        )
        for bad in DAMAGES
        for name, words in COMMANDS.items()
    ],
)
def test_damaged_stacks(bad: Bad, words: str, files: Files, grown: Path, command: Command, tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    shutil.copytree(grown, stack)
    assert bad.damage
    bad.damage(stack)
    check(command, [word.format(**files._asdict(), stack=stack) for word in words.split()], stack, bad.said)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (edit("stack.json", '"words"', '"wards"'), "was edited or damaged"),
        (later_version, "has format version 7"),
        (lose("modules/00-words"), "is missing"),
        (lose("modules/00-words/before/state.json"), "'words' cannot be undone"),
        (lose("modules/00-words/before"), "'words' cannot be undone"),
        (edit("modules/00-words/before/state.json", '"files"', '"flies"'), "'words' cannot be undone"),
        (edit("config.json", '"growlm"', '"grown"'), "'words' cannot be undone"),
    ],
)
def test_undo_takes_nothing_from_a_damaged_stack(
    damage: Callable[[Path], object], said: str, grown: Path, command: Command, tmp_path: Path
) -> None:
    stack = tmp_path / "stack"
    shutil.copytree(grown, stack)
    damage(stack)
    check(command, ["undo", str(stack)], stack, said)


GOOD = '{"prompt": "the cat", "completion": " sat"}\n{"prompt": "the dog", "completion": " ran"}\n'
ROWS = [
    ("empty", "", "data.jsonl is empty"),
    ("only white space", "\n  \n", "data.jsonl is empty"),
    ("no JSON", GOOD + "{oops\n", "data.jsonl, line 3: no JSON"),
    ("a list", GOOD + "[1]\n", "data.jsonl, line 3: a list instead of an object"),
    ("no keys", GOOD + "{}\n", "data.jsonl, line 3: the keys needed are missing"),
    ("no completion", GOOD + '{"prompt": "the"}\n', "data.jsonl, line 3: 'completion' is missing"),
    ("empty completion", GOOD + '{"prompt": "the", "completion": ""}\n', "data.jsonl, line 3: 'completion' is empty"),
    ("a number", GOOD + '{"prompt": "the", "completion": 3}\n', "data.jsonl, line 3: 'completion' is not a string"),
    ("another shape", GOOD + '{"text": "the"}\n', "data.jsonl, line 3: shape 'text' after rows with 'completion'"),
    ("nobody answers", '{"turns": ["hello"]}\n', "data.jsonl, line 1: no turn of the assistant"),
    ("wrong roles", '{"messages": [{"role": "robot", "content": "a"}]}\n', "data.jsonl, line 1, turn 1: role"),
    ("too few rows", GOOD, "data.jsonl: too few different rows"),
]


@pytest.mark.parametrize(("what", "text", "said"), ROWS, ids=[row[0] for row in ROWS])
def test_bad_data(what: str, text: str, said: str, files: Files, grown: Path, command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(text)
    words = GROW.format(stack=grown, base=files.base).split()
    check(command, [*words, str(data)], grown, said)


def test_bad_data_to_score(grown: Path, command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(GOOD + "{oops\n")
    check(command, ["eval", str(grown), "--skill", str(data)], grown, "data.jsonl, line 3: no JSON")


UNUSABLE = [
    ("special token", "the <|end|><|assistant|> cat", "sat", "its text holds the special token '<|"),
    ("too long", "the cat " * 300, "sat", "tokens are more than max_length 256"),
]


@pytest.mark.parametrize(("what", "prompt", "completion", "said"), UNUSABLE, ids=[row[0] for row in UNUSABLE])
@pytest.mark.parametrize("split", ["train", "test"])
def test_examples_that_cannot_be_used(
    what: str, prompt: str, completion: str, said: str, split: str, files: Files, grown: Path, command: Command,
    tmp_path: Path,
) -> None:  # fmt: skip
    bad = json.dumps({"prompt": prompt, "completion": completion})
    good = "".join(f'{{"prompt": "the cat {number}", "completion": " sat"}}\n' for number in range(5))
    data = {name: tmp_path / f"{name}.jsonl" for name in ("train", "validation", "test")}
    for number, (name, file) in enumerate(data.items()):
        file.write_text(good.replace("cat", ("cat", "dog", "box")[number]) + (bad if name == split else ""))
    words = GROW.format(stack=grown, base=files.base).split()
    options = [f"--model.skill_options.{name}={file}" for name, file in data.items() if name != "train"]
    check(command, [*words, str(data["train"]), *options], grown, f"{split}.jsonl:6: ")
    check(command, [*words, str(data["train"]), *options], grown, said)


def test_too_little_disk_space(
    files: Files, grown: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    words = GROW.format(stack=grown, base=files.base).split()
    check(command, [*words, files.talk], grown, "not enough disk space for")
    done = command(files.grow(tmp_path / "new"))
    assert done.status == 2
    assert error_of(done).startswith("growlm: not enough disk space for")
    assert not (tmp_path / "new").exists()


def test_a_base_without_output_projections_is_refused(files: Files, command: Command, tmp_path: Path) -> None:
    import transformers as hf

    config = hf.MambaConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2, state_size=4)
    hf.MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    done = command(files._replace(base=str(tmp_path / "mamba")).grow(tmp_path / "stack"))
    assert done.status == 2
    assert "of a base of type 'mamba' cannot be found: use another base" in error_of(done)
    assert not (tmp_path / "stack").exists()


def test_a_damaged_base(files: Files, command: Command, tmp_path: Path) -> None:
    shutil.copytree(files.base, tmp_path / "base")
    weights = tmp_path / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    done = command(files._replace(base=str(tmp_path / "base")).grow(tmp_path / "stack"))
    assert done.status == 2
    assert "base: its base cannot be loaded" in error_of(done)
    assert not (tmp_path / "stack").exists()
