"""Pretraining on two processes with Lightning's own strategy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
