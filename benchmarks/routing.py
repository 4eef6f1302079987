"""How often the ridge router chooses the right skill, on a bare base: no module needs to be trained for it.

Composites need several skills, so none of the paths is right for them. ``python benchmarks/routing.py [base]``. Five
tables: prompts of every skill's own test split, each up to one of its turns; conversations that switch from one skill
to another in the middle; stories begun with few tokens; look-alikes, which have the surface of one skill and ask for
another, or ask in another form; texts of kinds that no skill teaches (``tests/data/other_texts.yaml``).
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path as FilePath

import yaml

from growlm.data.encode import encode_prompt
from growlm.data.example import Example, Message
from growlm.manifest.path import BASE, Path, format_path
from growlm.registry import skills
from growlm.routing.prompts import drawn_prompts
from growlm.routing.ridge import Ridge
from growlm.routing.router import Prompts
from growlm.routing.update import SkillPrompts
from growlm.skills.composites import Composite
from growlm.skills.procedural import Procedural, new_cast
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from growlm.tinyworld.arithmetic import draw_sum
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.instructions import draw_instruction
from growlm.tinyworld.memory import draw_scene, memory_problem
from growlm.tinyworld.reasoning import ask_most, draw_chain, reasoning_problem

SKILLS = ("chat", "memory", "reasoning", "arithmetic", "commands", "code")
LENGTHS = (4, 8, 16, 32, 64, 128)
NUMBER = 200
OTHER_TEXTS = FilePath(__file__).parents[1] / "tests" / "data" / "other_texts.yaml"


def _story_after_facts(cast: Cast) -> str:
    scene = draw_scene(cast, 0.5)
    return f"{' '.join(scene.sentences)} Tell me a story about {scene.people[0]} and the {scene.things[0]}."


def _sum_among_politeness(cast: Cast) -> str:
    return f"Hello! It is me, {cast.person().name}. Can you tell me what {draw_sum(cast, 99).text} is? Thank you!"


def _comparison_after_facts(cast: Cast) -> str:
    scene = draw_scene(cast, 0.5)
    return f"{' '.join(scene.sentences)} {ask_most(draw_chain(cast, [*scene.people, cast.person().name])).text}"


def _command_without_robot(cast: Cast) -> str:
    return f"Please {draw_instruction(cast.dice, 0.5).text} now"


def _program_in_a_sentence(cast: Cast) -> str:
    first, second = cast.dice.some(("a", "b", "x", "y"), 2)
    return f"If {first} = {cast.dice.number(0, 20)} and {second} = {first}, what does print({second}) print?"


LOOK_ALIKES: Mapping[str, tuple[str, Callable[[Cast], str]]] = {
    "a story asked for after facts of memory": ("chat", _story_after_facts),
    "a sum among politeness": ("arithmetic", _sum_among_politeness),
    "a comparison after facts of memory": ("reasoning", _comparison_after_facts),
    "memory in small letters": ("memory", lambda cast: memory_problem(cast, 0.5).text.lower().rstrip("?")),
    "reasoning in small letters": ("reasoning", lambda cast: reasoning_problem(cast, 0.5).text.lower().rstrip("?")),
    "a command without the robot": ("commands", _command_without_robot),
    "a program in a sentence": ("code", _program_in_a_sentence),
}
"""What a prompt looks like: the skill that answers it, and how one is made."""


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
    for name, (skill, make) in LOOK_ALIKES.items():
        casts = [new_cast(Dice("look-alikes", name, number), "test") for number in range(NUMBER)]
        asked = [_prompt(stack, make(cast)) for cast in casts]
        tell(f"look-alike of {skill}, {name}: {shares(stack, router, asked)}")
    for kind, texts in yaml.safe_load(OTHER_TEXTS.read_text(encoding="utf-8")).items():
        tell(f"other texts, {kind}: {shares(stack, router, [_prompt(stack, text) for text in texts])}")


def _prompt(stack: ModuleStack, text: str) -> list[int]:
    return encode_prompt(Example(text, messages=(Message("user", text),)), stack.tokenizer)


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
