"""What a curriculum changes: ``python benchmarks/curriculum.py --skill arithmetic --steps 300``.

The recipe of a skill, shorter, with the option ``curriculum`` of a phase at several values and everything else equal;
then whole answers and the loss on the skill's validation split, so that no test example has a part in the choice.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from jsonargparse import auto_cli
from rich.console import Console

import growlm
from growlm.manifest.card import percent
from growlm.metrics.references import interval
from growlm.metrics.scoring import score
from growlm.registry import skills


def main(
    skill: str = "arithmetic",
    base: str = "mini",
    steps: int = 300,
    batch_size: int = 16,
    shares: tuple[float, ...] = (0.0, 0.5, 1.0),
    seeds: tuple[int, ...] = (0,),
    count: int = 200,
) -> None:
    """Print the score of a skill for each value of ``curriculum``.

    Args:
        skill: a recipe of a skill.
        base: the base.
        steps: steps of each phase, in which every training example is seen once.
        batch_size: examples of each step.
        shares: values of ``curriculum``.
        seeds: seeds of the phases.
        count: validation examples.
    """
    for seed in seeds:
        for share in shares:
            with TemporaryDirectory() as folder:
                grown = growlm.grow(
                    skill,
                    stack=Path(folder) / "stack",
                    base=base,
                    skill_options={"num_train": steps * batch_size},
                    steps=steps,
                    batch_size=batch_size,
                    curriculum=share,
                    seed=seed,
                    num_scored=1,
                    rescore=False,
                    router="none",
                )
                learned = skills.build(skill, {"num_validation": count})
                with grown.stack.active(skill), grown.stack.frozen_merged():
                    found = score(grown.stack, learned, "validation", count)
            low, high = interval(found.value, found.count)
            Console().print(
                f"{skill} on {base}, {steps} steps of {batch_size}, seed {seed}, curriculum {share:g}: "
                f"{percent(found.value)} ({percent(low)} to {percent(high)}) of {found.count} answers, "
                f"{found.loss:.4f} nats per trained token",
                soft_wrap=True,
            )


if __name__ == "__main__":
    auto_cli(main)
