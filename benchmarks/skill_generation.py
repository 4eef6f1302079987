"""How fast the procedural skills make examples on one core: ``python benchmarks/skill_generation.py [number]``."""

import sys
import time

from growlm.registry import skills
from growlm.skills.composites import Composite
from growlm.skills.procedural import Procedural


def main(count: int) -> None:
    """Print seconds of one core for a number of training examples (test examples for skills that have no others).

    Args:
        count: how many examples each skill makes.
    """
    for name in skills:
        if not issubclass(skills.get(name), (Procedural, Composite)):
            continue
        split = "train" if issubclass(skills.get(name), Procedural) else "test"
        skill = skills.build(name, {f"num_{split}": count})
        begin = time.process_time()
        made = sum(1 for _ in skill.examples(split))
        seconds = time.process_time() - begin
        sys.stdout.write(f"{name:24} {made:8,} {split} examples {seconds:7.1f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
