"""The model card of a base, made from its measurements alone."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ROWS = 12


def card_text(results: dict[str, Any], has_plot: bool) -> str:
    """Write the card.

    Args:
        results: what ``training.json`` holds.
        has_plot: whether ``curve.png`` is beside it.

    Returns:
        Markdown with the metadata block of Hugging Face model cards.
    """
    sections = [
        _head(results),
        _data(results),
        _training(results),
        _measured(results),
        _curve(results["curve"], has_plot),
        _samples(results["samples"]),
        _LIMITS,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def plot_curve(path: Path, name: str, curve: Sequence[dict[str, float]]) -> bool:
    """Draw bits per byte and loss over the tokens seen, if matplotlib is there.

    Args:
        path: the PNG to write.
        name: name of the base.
        curve: records of ``Watch``.

    Returns:
        Whether a plot was drawn.
    """
    points = [point for point in curve if "bits_per_byte" in point]
    if not points or importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes: Any = figure.subplots()
    millions = [point["tokens"] / 1e6 for point in points]
    axes.plot(millions, [point["bits_per_byte"] for point in points], color="tab:blue")
    axes.set(xlabel="tokens seen (millions)", title=f"{name}: validation")
    axes.set_ylabel("bits per byte", color="tab:blue")
    right = axes.twinx()
    right.plot(millions, [point["loss"] for point in points], color="tab:orange", linewidth=1)
    right.set_ylabel("training loss (nats per token)", color="tab:orange")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return True


def _head(results: dict[str, Any]) -> str:
    return f"""---
license: cdla-sharing-1.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [growlm, llama, tinystories]
---
# {results["name"]}

A base of growlm: a stock `LlamaForCausalLM` of {results["parameters"]:,} parameters (size `{results["size"]}`,
tied embedding of 8,192 entries, weights in bf16). It tells small children's stories; it knows nothing else, and it
has never seen a conversation: `growlm grow` adds skills to it.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("checkpoints/{results["name"]}")
tokenizer = AutoTokenizer.from_pretrained("checkpoints/{results["name"]}")
```"""


def _data(results: dict[str, Any]) -> str:
    learned = results["tokenizer"]
    tokenizer = f"that of `{learned}`" if learned else "learned from exactly these sources"
    before = "".join(f"{_saw(ancestor)}\n\n" for ancestor in reversed(results["ancestors"]))
    known = [ancestor.get("tokens_seen") for ancestor in results["ancestors"]]
    total = f" {results['tokens_seen'] + sum(known):,} tokens in all." if known and None not in known else ""
    return f"""## What it saw

{before}{_saw(results)}

Padding is left out.{total} Nothing else was seen. The tokenizer (byte-level BPE of 8,192 entries, digits single) is
{tokenizer}; a document is `<|endoftext|>`, its text, `<|endoftext|>`."""


def _saw(results: dict[str, Any]) -> str:
    """Describe what one base, this one or one that it began as, learned from itself."""
    if "tokens_seen" not in results:
        return f"`{results['name']}`: not known."
    rows = [
        f"| {_source(source)} | {source['bytes'] / 1e6:.2f} MB | {source['tokens']:,} "
        f"| {source['repeat']:g} | `{source['sha256'][:16]}…` |"
        for source in results["sources"]
    ]
    table = "\n".join(["| source | text | tokens | passes per epoch | SHA-256 |", "|---|---|---|---|---|", *rows])
    return f"""`{results["name"]}` ({results["parameters"]:,} parameters): {results["tokens_seen"]:,} tokens of

{table}"""


_CHANGES = {"new_names": "new names", "word_lists": "word lists"}


def _source(source: dict[str, Any]) -> str:
    if source.get("skill"):
        return f"`{source['skill']}` of growlm"
    name = source["hub"] or Path(source["path"]).name
    changes = [label for key, label in _CHANGES.items() if source.get(key)]
    return ", ".join([name, *changes])


def _training(results: dict[str, Any]) -> str:
    run = {**results["run"], "seed": results["seed"]}
    settings = ", ".join(f"{key} {value}" for key, value in run.items() if value is not None)
    versions = ", ".join(f"{key} {value}" for key, value in results["versions"].items())
    rate = results["tokens_seen"] / max(1, results["training_seconds"])
    adamw = "AdamW for all weights" if run["muon_lr"] is None else "AdamW for embedding and norms"
    optimizer = adamw if run["muon_lr"] is None else f"Muon for the inner matrices, {adamw}"
    names = ", which began as ".join(f"`{ancestor['name']}`" for ancestor in results["ancestors"])
    begun = f"It began as {names}, each expanded so that it computes the same.\n\n" if names else ""
    return f"""## How it was trained

{begun}{optimizer}; {results["rows_per_step"]} rows of
{results["row_length"]} tokens per step, documents packed so that none sees another (positions begin again at 0 with
each, block-diagonal attention).

- settings: {settings}
- machine: {results["machine"]}; {results["training_seconds"] / 60:.0f} minutes of training steps, {rate:,.0f} tokens/s
  (the machine had other work to do as well)
- versions: {versions}{_separated(results)}"""


def _separated(results: dict[str, Any]) -> str:
    separated = results.get("separated")
    if not separated:
        return ""
    before, after = separated["bits_per_byte_before"], separated["bits_per_byte_after"]
    cost = ""
    if before is not None:
        cost = f"; bits per byte on the first {separated['documents']} documents went from {before:.4f} to {after:.4f}"
    return f"""

Tokens that the text hardly ever held end as one and the same row of the embedding, and no module could tell them apart.
So {separated["rows"]:,} rows that had a twin (cosine above 0.975) were moved apart after training, along directions in
which the final hidden states have little energy{cost}."""


def _measured(results: dict[str, Any]) -> str:
    validation = results["validation"]
    if validation is None:
        return ""
    whole = "all" if validation["documents"] == validation["documents_there"] else "first"
    return f"""## Measured

Bits per byte on `{validation["file"]}` (SHA-256 `{validation["sha256"][:16]}…`, never trained on), fp32, each
document after the start token, its end token included:

| documents | bits per byte |
|---|---|
| first {validation["first_documents"]} | {validation["bits_per_byte_first"]:.4f} |
| {whole} {validation["documents"]:,} | {validation["bits_per_byte"]:.4f} |"""


def _curve(curve: Sequence[dict[str, float]], has_plot: bool) -> str:
    if not curve:
        return ""
    stride = -(-len(curve) // _ROWS)
    points = [point for i, point in enumerate(curve, 1) if i % stride == 0 or i == len(curve)]
    rows = [
        f"| {point['step']:.0f} | {point['tokens']:,.0f} | {point['loss']:.4f} | {point.get('bits_per_byte', 0):.4f} |"
        for point in points
    ]
    table = "\n".join(["| step | tokens | loss | bits per byte |", "|---|---|---|---|", *rows])
    plot = "![curve](curve.png)\n\n" if has_plot else ""
    return f"""## Curve

{plot}{table}

The loss is the mean since the row before in `training.json`; bits per byte are those of the first documents."""


def _samples(samples: Sequence[str]) -> str:
    quoted = "\n\n".join("> " + text.replace("\n", "\n> ") for text in samples)
    return f"""## Samples

Unselected: the first {len(samples)} of seed 0, temperature 0.8, nothing given but the start token.

{quoted}"""


_LIMITS = """## Limits

A small model of a small world: names, things and turns of TinyStories, in English. It states falsehoods, loses the
thread of longer stories, cannot calculate, and can say unpleasant things. Positions beyond the rows it was trained on
are untrained. It is for studying how skills are added and kept, not for use with children or anybody's decisions.

## Licence

The weights are shared under CDLA-Sharing-1.0, the licence of the TinyStories data that they come from (where they were
used, books are in the public domain, and picture books are Pratham Books', CC BY 4.0); growlm itself is under
Apache-2.0."""
