"""Prompts that make routing hard: look-alikes of a skill, conversations that switch, texts that no skill teaches."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import yaml

from growlm.data.encode import encode_prompt
from growlm.data.example import Example, Message
from growlm.skills.procedural import new_cast
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from growlm.tinyworld.arithmetic import draw_sum
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.instructions import draw_instruction
from growlm.tinyworld.memory import draw_scene, memory_problem
from growlm.tinyworld.reasoning import ask_most, draw_chain, reasoning_problem

OTHER_TEXTS = Path(__file__).parents[1] / "tests" / "data" / "other_texts.yaml"


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


def look_alikes(stack: ModuleStack, count: int) -> Iterator[tuple[str, str, list[list[int]]]]:
    """Make prompts that look like another skill's, or are put in another form than their skill's.

    Args:
        stack: the stack, for its tokenizer.
        count: how many of each sort.

    Yields:
        What they look like, the skill that answers them, and their tokens.
    """
    for name, (skill, make) in LOOK_ALIKES.items():
        casts = [new_cast(Dice("look-alikes", name, number), "test") for number in range(count)]
        yield name, skill, [_prompt(stack, make(cast)) for cast in casts]


def other_texts(stack: ModuleStack) -> Iterator[tuple[str, list[list[int]]]]:
    """Read texts that no skill teaches.

    Args:
        stack: the stack, for its tokenizer.

    Yields:
        Their kind and their tokens.
    """
    for kind, texts in yaml.safe_load(OTHER_TEXTS.read_text(encoding="utf-8")).items():
        yield kind, [_prompt(stack, text) for text in texts]


def switches(stack: ModuleStack, first: Skill, then: Skill, count: int) -> list[list[int]]:
    """Make conversations that switch: one example of a skill to its end, then the first turn of one of another.

    Args:
        stack: the stack, for its tokenizer.
        first: the skill that the conversations begin with.
        then: the skill of their last turn.
        count: how many.

    Returns:
        The prompts' tokens.
    """
    pairs = zip(first.examples("test"), reversed(list(islice(then.examples("test"), count))), strict=False)
    return [
        encode_prompt(Example(after.name, messages=(*before.messages, after.messages[0])), stack.tokenizer)
        for before, after in pairs
    ]


def _prompt(stack: ModuleStack, text: str) -> list[int]:
    return encode_prompt(Example(text, messages=(Message("user", text),)), stack.tokenizer)
