"""All bases in one table, a smoothed 5-gram beside them, measured on the same bytes.

``python benchmarks/base_table.py --data data/tinystories [--blimp folder] [--samples 100] [--write]``

The base suite (bits per byte on ``valid.txt``, BLiMP where its folder is given, story consistency), and what seeded
samples look like: the share that the model ends by itself and the ratio of distinct 3-grams, a story at a time,
beside that of validation stories. ``--write`` puts the table into the card of every base.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from card_section import put_section
from ngram import NGram

from growlm.base.load import load_base, load_tokenizer, shipped_bases
from growlm.files import write_text
from growlm.metrics.base_suite import FIRST, base_suite
from growlm.metrics.samples import distinct_trigrams, sample_shape, sample_stories
from growlm.pretrain.source import TextSource


def main() -> None:
    """Measure, print the table, write it where wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/tinystories"), help="folder of train.txt and valid.txt")
    parser.add_argument("--blimp", type=Path, help="folder of BLiMP's 67 files")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--bases", nargs="*", help="names; all that are shipped if left out")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--write", action="store_true", help="put the table into the bases' cards")
    arguments = parser.parse_args()
    stories = list(TextSource(path=str(arguments.data / "valid.txt")).documents())
    bases = arguments.bases or sorted(shipped_bases(), key=_size)
    rows = [_five_gram(bases[0], arguments.data / "train.txt", stories)]
    rows += [_base(name, arguments.data / "valid.txt", arguments.blimp, arguments.samples) for name in bases]
    reference = distinct_trigrams([story for story in stories if len(story.split()) > 2][: arguments.samples])
    text = _table(rows, reference, len(stories), arguments.samples)
    sys.stdout.write(text)
    if arguments.json:
        write_text(arguments.json, json.dumps({"validation_distinct_3": reference, "rows": rows}, indent=2) + "\n")
    if arguments.write:
        for name in bases:
            put_section(shipped_bases()[name] / "README.md", "Beside the other bases", text)


def _size(name: str) -> int:
    return sum(path.stat().st_size for path in shipped_bases()[name].glob("*.safetensors"))


def _five_gram(base: str, train: Path, stories: Sequence[str]) -> dict[str, Any]:
    tokenizer = load_tokenizer(base)

    def encode(texts: Sequence[str]) -> list[list[int]]:
        encoded: Any = tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return encoded["input_ids"]

    documents = encode(list(TextSource(path=str(train)).documents()))
    model = NGram(documents, len(tokenizer), int(str(tokenizer.eos_token_id)))
    measured = {"name": "5-gram (modified Kneser-Ney)", "tokens_seen": sum(map(len, documents)) + len(documents)}
    for key, texts in (("all", stories), ("first", stories[:FIRST])):
        measured[key] = model.bits(encode(texts)) / sum(len(text.encode()) for text in texts)
    return measured


def _base(name: str, stories: Path, blimp_folder: Path | None, samples: int) -> dict[str, Any]:
    model, tokenizer = load_base(name), load_tokenizer(name)
    training = json.loads((shipped_bases()[name] / "training.json").read_text())
    trained = [training, *training.get("ancestors", [])]
    suite = base_suite(model, tokenizer, stories, blimp_folder, progress=_teller(name))
    assert suite.stories is not None
    measured: dict[str, Any] = {
        "name": name,
        "parameters": model.num_parameters(),
        "tokens_seen": sum(one["tokens_seen"] for one in trained),
        "first": suite.stories.bits_per_byte_first,
        "all": suite.stories.bits_per_byte,
        "consistency": suite.consistency.accuracy,
        "suite": suite.to_json(),
    }
    if suite.blimp is not None:
        measured["blimp"] = suite.blimp.accuracy
    drawn = [
        story
        for seed in range(0, samples, 10)
        for story in sample_stories(model, tokenizer, min(10, samples - seed), seed=seed, max_new_tokens=500)
    ]
    return measured | asdict(sample_shape(drawn, str(tokenizer.eos_token)))


def _teller(name: str) -> Callable[[str, float], None]:
    def tell(what: str, share: float) -> None:
        sys.stderr.write(f"\r{name}: {what} {share:4.0%}" + ("\n" if share >= 1 else ""))

    return tell


def _table(rows: Sequence[dict[str, Any]], reference: float, num_stories: int, samples: int) -> str:
    head = ["model", "parameters", "tokens seen", f"bits per byte, first {FIRST}", f"all {num_stories:,}"]
    head += ["BLiMP", "consistency", "ended", "3-grams"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [
            row["name"],
            f"{row['parameters']:,}" if "parameters" in row else "",
            f"{row['tokens_seen']:,}",
            f"{row['first']:.4f}",
            f"{row['all']:.4f}",
            f"{row['blimp']:.1%}" if "blimp" in row else "",
            f"{row['consistency']:.1%}" if "consistency" in row else "",
            f"{row['ended']:.0%}" if "ended" in row else "",
            f"{row['distinct_3']:.3f}" if "distinct_3" in row else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    note = (
        f"Made by `benchmarks/base_table.py` on TinyStories validation. Consistency: TinyWorld's story probes, chance "
        f"50 %. Ended: share of {samples} samples (temperature "
        f"0.8, at most 500 tokens) with the end token; 3-grams: their mean share of distinct word 3-grams "
        f"(validation stories: {reference:.3f})."
    )
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
