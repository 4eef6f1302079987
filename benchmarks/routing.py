"""How often the ridge router chooses the right skill, on a bare base: no module needs to be trained for it.

Composites need several skills, so none of the paths is right for them. ``python benchmarks/routing.py [base]``.
"""

import sys
import time
from collections import Counter

from growlm.data.prompts import drawn_prompts
from growlm.registry import skills
from growlm.routing._update import SkillPrompts
from growlm.routing.ridge import Ridge
from growlm.stack.path import BASE, Path, format_path
from growlm.stack.stack import ModuleStack

SKILLS = ("chat", "memory", "reasoning", "arithmetic", "commands", "code")
LENGTHS = (4, 8, 16, 32, 64, 128)


class Untrained(ModuleStack):
    """A bare base whose skills have paths, as if a module of each had been grown on the base alone."""

    def path_of(self, skill: str) -> Path:
        """Gives the skill's own path."""
        return () if skill == BASE else (skill,)


def main(base: str) -> None:
    """Teaches a router and prints which paths it chooses for the test split of every skill.

    Args:
        base: name of a shipped base, or a folder.
    """
    stack = Untrained.from_base(base).eval()
    router = Ridge()
    begun = time.process_time()
    for name in (BASE, *SKILLS):
        router.learn(stack, name, SkillPrompts(skills.build("stories" if name == BASE else name), stack.tokenizer))
    size = sum(tensor.nbytes for tensor in router.state_dict().values())
    sys.stdout.write(f"learned in {time.process_time() - begun:.0f} s of one core, {size / 1e6:.2f} MB\n")
    for name in sorted(skills):
        if "num_test" in skills.options(name):
            prompts = drawn_prompts(skills.build(name), "test", stack.tokenizer, 200)
            sys.stdout.write(f"{name}: {shares(stack, router, prompts)}\n")
    stories = drawn_prompts(skills.build("stories"), "test", stack.tokenizer, 200)
    for length in LENGTHS:
        chosen = shares(stack, router, [ids[:length] for ids in stories])
        sys.stdout.write(f"stories, at most {length} tokens: {chosen}\n")


def shares(stack: ModuleStack, router: Ridge, prompts: list[list[int]]) -> str:
    """Writes the share of each path among the choices."""
    chosen = Counter(format_path(path) for path in router.choose(stack, prompts))
    return ", ".join(f"{path} {100 * number / len(prompts):.1f} %" for path, number in chosen.most_common())


if __name__ == "__main__":
    main(*sys.argv[1:2] or ("mini",))
