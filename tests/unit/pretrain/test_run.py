"""A base from its recipe, at toy size."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from growlm.base import presets
from growlm.base.presets import Preset
from growlm.errors import GrowlmError
from growlm.files import file_digest
from growlm.metrics.samples import sample_stories
from growlm.pretrain import record
from growlm.pretrain import validation as validation_module
from growlm.pretrain.config import PretrainData, PretrainRun
from growlm.pretrain.pack import PackedBatch
from growlm.pretrain.run import PretrainPhase, pretrain_base
from growlm.pretrain.source import TextSource
from growlm.pretrain.validation import Watch
from growlm.train.progress import suppress_lightning_notices

pytestmark = pytest.mark.model
TOY = Preset(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=48)
STORIES = [f"Once there was a {animal} called {name}. It ran to the {place}." for animal in ("cat", "dog", "fox")
           for name in ("Tom", "Lily", "Max") for place in ("park", "box", "hill", "sea")]  # fmt: skip
RUN = PretrainRun(
    steps=6, warmup_steps=1, dropout=0.1, precision="bf16", watch_every=3, watch_stories=2, save_seconds=1e-9,
    accelerator="cpu",
)  # fmt: skip

SHORT = replace(RUN, steps=1, warmup_steps=0, watch_every=0)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretrainData:
    """A toy preset, toy text, and samples of a few tokens, since a toy never ends a story."""
    for module in (record, validation_module):
        monkeypatch.setattr(module, "sample_stories", partial(sample_stories, max_new_tokens=8))
    monkeypatch.setitem(presets.PRESETS, "toy", TOY)
    monkeypatch.setenv("GROWLM_CACHE", str(tmp_path / "cache"))
    train, validation = tmp_path / "train.txt", tmp_path / "valid.txt"
    train.write_text("<|endoftext|>".join(STORIES[4:]))
    validation.write_text("<|endoftext|>".join(STORIES[:4]))
    return PretrainData([TextSource(path=str(train), repeat=1.5)], str(validation), None, 64, 2)


def build(data: PretrainData, folder: Path, run: PretrainRun = RUN, seed: int = 0, overwrite: bool = False) -> Path:
    return pretrain_base("toy", "toy", data, run, seed, folder / "out", folder / "work", overwrite)


def test_a_base_begins_as_a_smaller_one(data: PretrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = build(data, tmp_path)
    larger = replace(TOY, num_layers=TOY.num_layers + 1)
    monkeypatch.setitem(presets.PRESETS, "larger", larger)
    run = replace(RUN, steps=1, warmup_steps=0, muon_lr=1e-9, adamw_lr=1e-9, weight_decay=0.0, watch_every=0)
    data = replace(data, tokenizer=str(small))
    folder = pretrain_base("larger", "larger", data, run, 0, tmp_path / "out", tmp_path / "work", expand=str(small))
    results = [json.loads((one / "training.json").read_text()) for one in (small, folder)]
    assert results[1]["expanded"] == str(small)
    assert [ancestor["name"] for ancestor in results[1]["ancestors"]] == ["toy"]
    card = (folder / "README.md").read_text()
    assert "It began as `toy`, each expanded" in card
    assert f"{results[0]['tokens_seen'] + results[1]['tokens_seen']:,} tokens in all" in card
    values = [result["validation"]["bits_per_byte"] for result in results]
    assert values[1] == pytest.approx(values[0], rel=1e-3)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.num_hidden_layers == larger.num_layers


def test_the_folder_is_a_plain_transformers_model(data: PretrainData, tmp_path: Path, capsys, caplog) -> None:
    with caplog.at_level(logging.INFO, "growlm"):
        folder = build(data, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.generation_config.eos_token_id == [0, 4]
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id == 5
    assert model.config.tie_word_embeddings
    # the special tokens, none of which occurs in the text, can be distinguished
    assert len(model.get_input_embeddings().weight[1:38].float().unique(dim=0)) == 37
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".jinja", ".md", ".png"}
    results = json.loads((folder / "training.json").read_text())
    assert [record["step"] for record in results["curve"]] == [3, 6]
    assert results["curve"][1]["loss"] < results["curve"][0]["loss"]
    assert results["validation"]["documents"] == 4
    assert results["validation"]["first_documents"] == 2
    # the card's number is that of the weights on disk
    from growlm.base.load import load_base
    from growlm.metrics.bits_per_byte import bits_per_byte

    assert bits_per_byte(load_base(folder), tokenizer, STORIES[:4]) == results["validation"]["bits_per_byte"]
    assert not (tmp_path / "work" / "pretrain-toy" / "resume.ckpt").exists()
    assert "bits per byte" in caplog.text
    assert capsys.readouterr().out == ""


def test_the_card_says_what_it_saw(data: PretrainData, tmp_path: Path) -> None:
    changed = [replace(data.sources[0], **{change: True}) for change in ("new_names", "word_lists")]
    data = replace(data, sources=[*data.sources, *changed])
    folder = build(data, tmp_path, replace(SHORT, final_stories=3))
    validation = json.loads((folder / "training.json").read_text())["validation"]
    assert (validation["documents"], validation["documents_there"]) == (3, 4), "fewer are measured if asked for"
    card = (folder / "README.md").read_text()
    source = data.sources[0]
    for expected in (
        "| train.txt |",
        "| train.txt, new names |",
        "| train.txt, word lists |",
        "| 1.5 |",
        f"`{source.digest()[:16]}",
        " tokens of",
        "muon_lr 0.02",
        "| first 3 |",
        "## Limits",
    ):
        assert expected in card
    assert str(tmp_path) not in card.replace(str(data.validation), "")


@pytest.mark.parametrize(("multiplies", "expected"), [(False, "fp32"), (True, "bf16")])
def test_precision_left_out_is_what_the_machine_multiplies(
    data: PretrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multiplies: bool, expected: str
) -> None:
    monkeypatch.setattr("growlm.pretrain.run.multiplies_bf16", lambda on_gpu: multiplies and not on_gpu)
    folder = build(data, tmp_path, replace(SHORT, precision=None))
    assert json.loads((folder / "training.json").read_text())["run"]["precision"] == expected


def test_the_same_seed_gives_the_same_weights_and_another_one_others(data: PretrainData, tmp_path: Path) -> None:
    digests = [
        file_digest(build(data, tmp_path / str(i), seed=seed) / "model.safetensors") for i, seed in enumerate([0, 0, 1])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_rows_in_several_passes_give_the_same_step(data: PretrainData, tmp_path: Path) -> None:
    run = replace(RUN, dropout=0.0, precision="fp32", watch_every=0)
    folders = [build(data, tmp_path / str(rows), replace(run, rows_per_pass=rows)) for rows in (None, 1)]
    weights = [AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight for folder in folders]
    torch.testing.assert_close(*weights, rtol=0.02, atol=1e-3)  # on disk in bf16


class Killed(BaseException):
    """Takes the place of the end of the process."""


def stop_at(step: int, data: PretrainData, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Watch.on_train_batch_start

    def stop(self: Watch, trainer, *args, **kwargs) -> None:
        if trainer.global_step == step:
            raise Killed
        begin(self, trainer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "on_train_batch_start", stop)
        with pytest.raises(Killed):
            build(data, folder)


@pytest.mark.parametrize("kill_at", [1, 3, 5])
def test_a_stopped_run_ends_with_the_same_bits(
    data: PretrainData, tmp_path: Path, kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(data, tmp_path / "whole")

    stop_at(kill_at, data, tmp_path / "stopped", monkeypatch)
    assert (tmp_path / "stopped" / "work" / "pretrain-toy" / "resume.ckpt").exists()
    resumed = build(data, tmp_path / "stopped")
    assert file_digest(whole / "model.safetensors") == file_digest(resumed / "model.safetensors")
    curves = [json.loads((folder / "training.json").read_text())["curve"] for folder in (whole, resumed)]
    for one, other in zip(*curves, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


@pytest.mark.slow
def test_kill_9_and_the_same_command_again(data: PretrainData, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from growlm.base import presets\nfrom growlm.pretrain.source import TextSource\n"
        "from growlm.pretrain.run import pretrain_base\nfrom growlm.pretrain.config import PretrainData, PretrainRun\n"
        "from growlm.pretrain.validation import Watch\n"
        f"presets.PRESETS['toy'] = presets.{TOY!r}\ndata = {data!r}\nrun = {RUN!r}\n"
        "kill_at = int(sys.argv[2])\n"
        "begin = Watch.on_train_batch_start\n"
        "def maybe_die(self, trainer, *args, **kwargs):\n"
        "    if trainer.global_step == kill_at:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    begin(self, trainer, *args, **kwargs)\n"
        "Watch.on_train_batch_start = maybe_die\n"
        "folder = Path(sys.argv[1])\n"
        "pretrain_base('toy', 'toy', data, run, 0, folder / 'out', folder / 'work')\n"
    )

    def command(folder: str, kill_at: int) -> int:
        arguments = [sys.executable, str(script), str(tmp_path / folder), str(kill_at)]
        return subprocess.run(arguments, env=os.environ, capture_output=True, check=False).returncode

    assert command("whole", -1) == 0
    assert command("killed", 4) == -signal.SIGKILL
    assert command("killed", -1) == 0
    weights = [tmp_path / folder / "out" / "toy" / "model.safetensors" for folder in ("whole", "killed")]
    assert file_digest(weights[0]) == file_digest(weights[1])


def test_a_state_of_another_recipe_is_refused(
    data: PretrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(2, data, tmp_path, monkeypatch)
    with pytest.raises(GrowlmError, match=r"unfinished phase with muon_lr=0\.02, now it is 0\.5"):
        build(data, tmp_path, replace(RUN, muon_lr=0.5))


@pytest.mark.slow
def test_a_compiled_step_gives_the_same_gradients_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(presets.PRESETS, "toy", TOY)
    with suppress_lightning_notices():
        phase = PretrainPhase(presets.build_base("toy"), None, replace(RUN, compile=True))
    ids = torch.randint(40, 60, (8, 512))  # the threads meet at few rows of the embedding
    batch = PackedBatch(ids, ids.roll(-1, 1), torch.arange(512).repeat(8, 1))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    gradients = []
    with suppress_lightning_notices():
        for _ in range(6):
            phase.zero_grad()
            phase.loss(batch).backward()
            gradients.append(phase.model.get_input_embeddings().weight.grad.clone())
    torch.set_num_threads(threads)
    for gradient in gradients[1:]:
        assert torch.equal(gradient, gradients[0])


def test_an_interrupted_run_says_how_to_go_on_and_writes_no_base(
    data: PretrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Watch, trainer, *args, **kwargs) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "on_train_batch_start", interrupt)
        with pytest.raises(KeyboardInterrupt, match="interrupted at step 0 of 6; the same command continues it"):
            build(data, tmp_path)
    signal.signal(signal.SIGINT, handler)
    assert not (tmp_path / "out" / "toy").exists()


def test_an_existing_base_is_kept_unless_told(data: PretrainData, tmp_path: Path) -> None:
    folder = build(data, tmp_path, SHORT)
    with pytest.raises(GrowlmError, match="exists: choose another --name"):
        build(data, tmp_path)
    before = file_digest(folder / "model.safetensors")
    build(data, tmp_path, replace(SHORT, steps=2), overwrite=True)
    assert file_digest(folder / "model.safetensors") != before


def test_no_source_is_refused(data: PretrainData, tmp_path: Path) -> None:
    with pytest.raises(GrowlmError, match="a base needs text"):
        build(replace(data, sources=[]), tmp_path)


def test_without_a_compiler_compiling_is_refused(
    data: PretrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GrowlmError, match=r"needs a C\+\+ compiler"):
        build(data, tmp_path, replace(RUN, compile=True))


def test_a_tokenizer_of_another_base_is_used(data: PretrainData, tmp_path: Path) -> None:
    first = build(data, tmp_path, replace(RUN, steps=1))
    second = pretrain_base(
        "second", "toy", replace(data, tokenizer=str(first)), replace(RUN, steps=1), 0, tmp_path, tmp_path / "work"
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
