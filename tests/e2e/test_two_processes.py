"""Pretraining and a phase on two processes with Lightning's own strategy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys
from pathlib import Path
from growlm.base import presets
from growlm.pretrain.source import TextSource
from growlm.pretrain.run import pretrain_base
from growlm.pretrain.config import PretrainData, PretrainRun

presets.PRESETS["toy"] = presets.Preset(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=48)
folder, devices = Path(sys.argv[1]), int(sys.argv[2])
data = PretrainData([TextSource(path=sys.argv[3])], sys.argv[3], None, 64, 4)
run = PretrainRun(4, warmup_steps=1, precision="fp32", watch_every=2, accelerator="cpu", devices=devices, threads=1)
pretrain_base("toy", "toy", data, run, 0, folder, folder / "work")
"""


@pytest.mark.slow
@pytest.mark.network
def test_two_processes_share_each_step(tmp_path: Path) -> None:
    text, script = tmp_path / "text.txt", tmp_path / "run.py"
    text.write_text("<|endoftext|>".join(f"Tom has {n} red balls and a cat. He is happy." for n in range(60)))
    script.write_text(SCRIPT)
    curves = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        command = [sys.executable, str(script), str(folder), str(devices), str(text)]
        environment = {**os.environ, "GROWLM_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]
        assert [path.name for path in folder.iterdir() if path.name != "work"] == ["toy"]
        curves.append(json.loads((folder / "toy" / "training.json").read_text())["curve"])
    for one, two in zip(*curves, strict=True):
        # each process weighs its own tokens equally, so the gradients agree up to the packing of their rows
        assert two["bits_per_byte"] == pytest.approx(one["bits_per_byte"], rel=0.02)
        assert two["tokens"] == pytest.approx(one["tokens"], rel=0.1)


PHASE = """
import sys
from pathlib import Path
from lightning.pytorch import Callback
from growlm.train.fit import fit_phase, new_trainer
from growlm.train.phase import GrowPhase

class Stop(Callback):
    def on_train_batch_end(self, *args):
        if args[0].global_step == stop:
            raise RuntimeError("stopped here")

base, stack, rows, stories, devices, stop = *sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])
phase = GrowPhase(
    rows, stack=Path(stack), base=base, stories=stories, router="none", num_scored=2, batch_size=5, learning_rate=1e-3,
    method_options={"module": {"lora": {"rank": 2}}}, checkpoint_every=1,
)
trainer = new_trainer(max_steps=3, precision="32-true", accelerator="cpu", devices=devices, callbacks=[Stop()])
fit_phase(phase, trainer)
"""


@pytest.mark.slow
@pytest.mark.network
def test_a_packed_phase_on_two_processes_trains_the_module_that_one_does(
    tiny_bases: dict[str, Path], tmp_path: Path
) -> None:
    rows, stories, script = tmp_path / "rows.jsonl", tmp_path / "stories.txt", tmp_path / "phase.py"
    lines = [{"prompt": "hello " + "cat " * (n % 5), "completion": " yes" * (1 + n % 3)} for n in range(30)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stories.write_text("<|endoftext|>".join(f"the cat sat {number}" for number in range(40)))
    script.write_text(PHASE)
    found, costs = [], []
    for devices, stops in ((1, [0]), (2, [2, 0])):  # on two processes it is interrupted in between
        stack = tmp_path / f"stack-{devices}"
        for stop in stops:
            command = [sys.executable, script, tiny_bases["llama"], stack, rows, stories, devices, stop]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            assert ("stopped here" in done.stderr) == (stop > 0), done.stderr[-2_000:]
        found.append(load_file(next(stack.glob("modules/*/module.safetensors"))))
        (record,) = stack.glob("modules/*/module.json")
        costs.append(json.loads(record.read_text())["cost"])
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=0, atol=1e-4)  # a step moves a number by up to 1e-3
    for name in ("tokens", "rows"):
        assert costs[0][name] == costs[1][name] > 0
