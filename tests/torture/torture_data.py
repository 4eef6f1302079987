"""Mutants of data. Not in the default tests: nox -s torture."""

import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from growlm.base.load import load_tokenizer
from growlm.data.encode import encode_windows
from growlm.metrics import blimp as blimp_module
from growlm.skills.babi import Babi
from growlm.skills.jsonl import Jsonl
from growlm.skills.stories import Stories
from tests.torture.conftest import Run
from tests.torture.mutations import dump_json, mutate_bytes, mutate_json, rewritten

ROWS: dict[str, Any] = {
    "messages": {
        "messages": [
            {"role": "system", "content": "be short"},
            {"role": "user", "content": "hello @"},
            {"role": "assistant", "content": "good day", "weight": 1},
        ]
    },
    "conversations": {"conversations": [{"from": "human", "value": "hello @"}, {"from": "gpt", "value": "yes"}]},
    "turns": {"turns": ["hello @", "yes"]},
    "completion": {"prompt": "Tom @", "completion": " said", "choices": [" said", " sat"]},
    "text": {"text": "the cat sat @"},
}
"""A row of every shape; ``@`` becomes the row's number."""


def test_rows(box: Path, tiny_bases: dict[str, Path], run: Run) -> None:
    tokenizer = load_tokenizer(tiny_bases["llama"])

    def read(rng: random.Random) -> None:
        row = rng.choice(list(ROWS.values()))
        rows = [json.loads(json.dumps(row).replace("@", str(number))) for number in range(12)]
        rows[rng.randrange(12)] = mutate_json(rng, row)
        content = b"\n".join(map(dump_json, rows))
        if rng.random() < 0.4:
            content = mutate_bytes(rng, content)
        path = box / "rows.jsonl"
        if rng.random() < 0.1:
            content = lzma.compress(content, preset=0)
            path = box / "rows.jsonl.xz"
            content = mutate_bytes(rng, content) if rng.random() < 0.5 else content
        path.write_bytes(content)
        skill = Jsonl(str(path))
        for split in ("train", "validation", "test"):
            for example in skill.examples(split):
                encode_windows(example, tokenizer, 64)

    run("rows", 5_000, read)


def test_other_data(box: Path, run: Run) -> None:
    babi, task = box / "babi", "qa1_single-supporting-fact"
    asked = [f"1 Tom{n} is in the park.\n2 Where is Tom{n}?\tpark\t1\n" for n in range(13)]
    files = {
        "stories": (box / "stories.txt", "<|endoftext|>".join(f"Tom has {n} dogs" for n in range(40))),
        "babi": (babi / f"{task}_train.txt", "".join(asked[1:])),
        "babi test": (babi / f"{task}_test.txt", asked[0]),
        "blimp": (box / "blimp.jsonl", '{"sentence_good": "a", "sentence_bad": "b", "linguistics_term": "c"}\n' * 3),
    }
    for path, text in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    readers: dict[str, Callable[[], object]] = {
        "stories": lambda: list(Stories(file=str(files["stories"][0])).examples("test")),
        "babi": lambda: list(Babi(data=str(box / "babi"), tasks=[1]).examples("test")),
        "blimp": lambda: blimp_module._read(files["blimp"][0], None),
    }

    def read(rng: random.Random) -> None:
        name = rng.choice(sorted(files))
        path = files[name][0]
        rewritten(path, mutate_bytes(rng, path.read_bytes()), readers[name.split()[0]])

    run("other data", 2_900, read)
