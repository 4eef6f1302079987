"""How often the ridge router chooses the right skill, on a bare base: no module needs to be trained for it.

Composites need several skills, so none of the paths is right for them. ``python benchmarks/routing.py [base]``. Three
tables: prompts of every skill's own test split, each up to one of its turns; conversations that switch from one skill
to another in the middle; stories begun with few tokens.
"""

import sys
import time
from collections import Counter
from itertools import islice

from growlm.data.encode import encode_prompt
from growlm.data.example import Example
from growlm.manifest.path import BASE, Path, format_path
from growlm.registry import skills
from growlm.routing.prompts import drawn_prompts
from growlm.routing.ridge import Ridge
from growlm.routing.router import Prompts
from growlm.routing.update import SkillPrompts
from growlm.skills.composites import Composite
from growlm.skills.procedural import Procedural
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack

SKILLS = ("chat", "memory", "reasoning", "arithmetic", "commands", "code")
LENGTHS = (4, 8, 16, 32, 64, 128)
NUMBER = 200


class Untrained(ModuleStack):
    """A bare base whose skills have paths, as if a module of each had been grown on the base alone."""

    def path_of(self, skill: str) -> Path:
        """Return the skill's own path."""
        return () if skill == BASE else (skill,)


def main(base: str) -> None:
    """Teach a router and print which paths it chooses for the test split of every skill.

    Args:
        base: name of a shipped base, or a folder.
    """
    stack = Untrained.from_base(base).eval()
    router = Ridge()
    begun = time.process_time()
    for name in (BASE, *SKILLS):
        router.learn(stack, name, SkillPrompts(skills.build("stories" if name == BASE else name), stack.tokenizer))
    size = sum(tensor.nbytes for tensor in router.state_dict().values())
    tell(f"learned in {time.process_time() - begun:.0f} s of one core, {size / 1e6:.2f} MB")
    for name in skills:
        if issubclass(skills.get(name), (Procedural, Composite)):
            prompts = drawn_prompts(skills.build(name), "test", stack.tokenizer, NUMBER)
            tell(f"{name}: {shares(stack, router, prompts)}")
    for then in SKILLS:
        for first in SKILLS:
            switched = switches(stack, skills.build(first), skills.build(then), NUMBER)
            tell(f"{first}, then {then}: {shares(stack, router, switched)}")
    stories = drawn_prompts(skills.build("stories"), "test", stack.tokenizer, NUMBER)
    for length in LENGTHS:
        chosen = shares(stack, router, [ids[:length] for ids in stories])
        tell(f"stories, at most {length} tokens: {chosen}")


def switches(stack: ModuleStack, first: Skill, then: Skill, limit: int) -> list[list[int]]:
    """Make conversations that switch: one example of a skill to its end, then the first turn of one of another.

    Args:
        stack: the stack.
        first: the skill that the conversations begin with.
        then: the skill of their last turn.
        limit: how many.

    Returns:
        The prompts' tokens.
    """
    pairs = zip(first.examples("test"), reversed(list(islice(then.examples("test"), limit))), strict=False)
    return [
        encode_prompt(Example(after.name, messages=(*before.messages, after.messages[0])), stack.tokenizer)
        for before, after in pairs
    ]


def shares(stack: ModuleStack, router: Ridge, prompts: Prompts) -> str:
    """Write the share of each path among the choices."""
    chosen = Counter(format_path(path) for path in router.choose(stack, prompts))
    return ", ".join(f"{path} {100 * number / len(prompts):.1f} %" for path, number in chosen.most_common())


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:2] or ("mini",))
