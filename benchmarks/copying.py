"""How well a model copies from the text before it: ``python benchmarks/copying.py --stack checkpoints/skills-mini``.

A name that is in no training can only be copied. Random text that repeats itself can be predicted by copying alone
(Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv 2209.11895), so two such texts are read:

- *any tokens*: tokens drawn from the whole vocabulary, twice; the share of the second time that is predicted;
- *new names*: a list of names that are in no training, half of them of many languages, half made up, twice; of all
  tokens of a name but its first, the share that is predicted the first time, from spelling alone, and the second time.

Prints one table: the shipped bases, and each module of the stack on its own path.
"""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from torch import Tensor

from growlm.base.load import load_base, load_tokenizer, shipped_bases
from growlm.manifest.card import percent
from growlm.skills.procedural import new_cast
from growlm.stack.stack import ModuleStack
from growlm.tinyworld.dice import Dice

_ROWS = 64
_TOKENS = 24
_NAMES = 8


def any_tokens(model: Any, tokenizer: Any) -> float:
    """Predict random tokens that come a second time.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, whose special tokens have the lowest ids.

    Returns:
        The share that is right.
    """
    lowest = 1 + max(tokenizer.all_special_ids)
    drawn_BT = torch.randint(lowest, len(tokenizer), (_ROWS, _TOKENS), generator=torch.Generator().manual_seed(0))
    ids_BT = drawn_BT.repeat(1, 2)
    predicted_BT = _predicted(model, ids_BT)
    # of the second time all but the first token, which nothing predicts
    return (predicted_BT[:, _TOKENS:-1] == ids_BT[:, _TOKENS + 1 :]).float().mean().item()


def new_names(model: Any, tokenizer: Any) -> tuple[float, float]:
    """Predict the tokens of names in a list that comes twice.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.

    Returns:
        The share that is right the first time and the second time, of all tokens but each name's first.
    """
    right = [0, 0]
    count = 0
    (comma,) = tokenizer.encode(",", add_special_tokens=False)
    for number in range(_ROWS):
        cast = new_cast(Dice("copying", number), "test", 1.0)
        names = [tokenizer.encode(f" {cast.person().name}", add_special_tokens=False) for _ in range(_NAMES)]
        ids = [token for name in names * 2 for token in (*name, comma)]
        inside = [place for name in names * 2 for place in (False, *[True] * (len(name) - 1), False)]
        predicted = [comma, *_predicted(model, torch.tensor([ids]))[0, :-1].tolist()]
        half = len(ids) // 2
        for time, part in enumerate((slice(half), slice(half, None))):
            found = zip(predicted[part], ids[part], inside[part], strict=True)
            right[time] += sum(guess == token for guess, token, counts in found if counts)
        count += sum(inside[:half])
    return right[0] / count, right[1] / count


def _predicted(model: Any, ids_BT: Tensor) -> Tensor:
    with torch.no_grad():
        logits_BTV: Tensor = model(input_ids=ids_BT).logits
    return logits_BTV.argmax(-1)


def _bases() -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(shipped_bases()):
        yield f"`{name}`", load_base(name, torch.float32), load_tokenizer(name)


def _modules(folder: Path) -> Iterator[tuple[str, Any, Any]]:
    stack = ModuleStack.from_pretrained(folder)
    for record in stack.manifest.modules:
        stack.set_path(record.path)
        yield f"`{'+'.join(record.path)}`", stack.eval(), stack.tokenizer


def main(stack: Path | None = None) -> None:
    """Measure, and print a table.

    Args:
        stack: a folder of a stack, whose modules are measured, too.
    """
    sys.stdout.write("| model | any tokens | new names, first time | second time |\n|---|---|---|---|\n")
    for label, model, tokenizer in chain(_bases(), _modules(stack) if stack else ()):
        first, second = new_names(model, tokenizer)
        shares = (any_tokens(model, tokenizer), first, second)
        sys.stdout.write(f"| {label} | {' | '.join(map(percent, shares))} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
