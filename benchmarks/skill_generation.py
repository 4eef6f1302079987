"""How fast the procedural skills make examples on one core: ``python benchmarks/skill_generation.py [number]``."""

import sys
import time

from growlm.registry import skills


def main(count: int) -> None:
    """Prints seconds for so many training examples (test examples for skills that have no others).

    Args:
        count: how many examples each skill makes.
    """
    for name in skills:
        options = skills.options(name)
        if "num_test" not in options:
            continue
        split = "train" if "num_train" in options else "test"
        skill = skills.build(name, {f"num_{split}": count})
        begin = time.perf_counter()
        made = sum(1 for _ in skill.examples(split))
        seconds = time.perf_counter() - begin
        sys.stdout.write(f"{name:24} {made:8,} {split} examples {seconds:7.1f} s\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
