"""What skills score without the question: ``python benchmarks/blind.py --stack checkpoints/stack``.

For every skill of a stack, by whole answers: guessing among the choices (chance), and the best constant answer
(majority). By token accuracy: who has learned only which token follows the last few of an answer most often (blind),
and who answers on the skill's own path (own).
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from jsonargparse import auto_cli

from growlm.data.encode import Encoded, encode
from growlm.data.example import Split
from growlm.metrics.scoring import score
from growlm.metrics.token_counter import ORDER, TokenCounter
from growlm.registry import skills
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack


def encoded(stack: ModuleStack, skill: Skill, split: Split, limit: int) -> Iterator[Encoded]:
    """Yield the first examples of a split as tokens."""
    for example in islice(skill.examples(split), limit):
        yield encode(example, stack.tokenizer, stack.context_length)


def main(
    stack: Path = Path("checkpoints/stack"),
    base: str | None = None,
    order: int = ORDER,
    num_train: int = 800,
    num_test: int = 100,
) -> None:
    """Score every skill of a stack and print a line for each.

    Args:
        stack: folder of the stack.
        base: where the base is now, if not where the manifest says.
        order: greatest number of tokens of an answer that the next one is predicted from.
        num_train: training examples that are counted.
        num_test: test examples that are scored.
    """
    loaded = ModuleStack.from_pretrained(stack, base=base)
    sys.stdout.write("skill: chance, majority; blind, own path\n")
    for record in loaded.manifest.modules:
        skill = skills.build(record.skill["name"], record.skill["options"])
        blind = TokenCounter(encoded(loaded, skill, "train", num_train), order)
        predicted = blind.accuracy(encoded(loaded, skill, "test", num_test))
        with loaded.active(*record.path), loaded.frozen_merged():
            own = score(loaded, skill.scored_by("token_accuracy"), limit=num_test).value
        whole = f"{100 * skill.chance():.1f} %, {100 * skill.majority():.1f} %"
        sys.stdout.write(f"{record.name}: {whole}; {100 * predicted:.1f} %, {100 * own:.1f} %\n")
        sys.stdout.flush()


if __name__ == "__main__":
    auto_cli(main)
