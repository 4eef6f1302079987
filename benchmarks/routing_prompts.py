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
from growlm.tinyworld.arithmetic import digits_problem, draw_sum
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import Dice
from growlm.tinyworld.instructions import command_problem, draw_instruction
from growlm.tinyworld.lexicon import PLACES, THINGS, in_words
from growlm.tinyworld.memory import draw_scene, memory_problem
from growlm.tinyworld.program import write_program
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


def _sum_after_facts(cast: Cast) -> str:
    return f"{' '.join(draw_scene(cast, 0.5).sentences)} {digits_problem(cast, 99).text}"


def _reasoning_among_politeness(cast: Cast) -> str:
    return f"Hi, I am {cast.person().name}. {reasoning_problem(cast, 0.5).text} Thank you so much!"


def _program_after_words(cast: Cast) -> str:
    return f"Hello! Here is a small program. What does it print?\n{write_program(cast, 0.5).text}"


def _command_after_small_talk(cast: Cast) -> str:
    command = command_problem(cast.dice, draw_instruction(cast.dice, 0.5)).text
    return f"It is me, {cast.person().name}. I had a good day at the {cast.noun(PLACES)}. {command}"


def _greeting_after_facts(cast: Cast) -> str:
    return f"{' '.join(draw_scene(cast, 0.5).sentences)} Good morning! I am {cast.person().name}. How are you?"


def _sum_in_a_sentence(cast: Cast) -> str:
    total = draw_sum(cast, 99)
    said = f"{in_words(total.first)} {'plus' if total.plus else 'minus'} {in_words(total.second)}"
    return f"{cast.person().name} wants to know what {said} is before the others come home."


def _story_after_a_sum(cast: Cast) -> str:
    total = draw_sum(cast, 99)
    return f"{total.text} = {total.result}. Now tell me a story about {cast.person().name} and a {cast.noun(THINGS)}."


Sorts = Mapping[str, tuple[str, Callable[[Cast], str]]]
"""What a prompt looks like: the skill that answers it, and how one is made."""

CHOSEN_ON: Sorts = {
    "a story asked for after facts of memory": ("chat", _story_after_facts),
    "a sum among politeness": ("arithmetic", _sum_among_politeness),
    "a comparison after facts of memory": ("reasoning", _comparison_after_facts),
    "memory in small letters": ("memory", lambda cast: memory_problem(cast, 0.5).text.lower().rstrip("?")),
    "reasoning in small letters": ("reasoning", lambda cast: reasoning_problem(cast, 0.5).text.lower().rstrip("?")),
    "a command without the robot": ("commands", _command_without_robot),
    "a program in a sentence": ("code", _program_in_a_sentence),
}
"""The look-alikes that options of routers are chosen on."""

HELD_OUT: Sorts = {
    "a sum after facts of memory": ("arithmetic", _sum_after_facts),
    "reasoning among politeness": ("reasoning", _reasoning_among_politeness),
    "a program after words": ("code", _program_after_words),
    "memory in capitals": ("memory", lambda cast: memory_problem(cast, 0.5).text.upper()),
    "a command after small talk": ("commands", _command_after_small_talk),
    "a greeting after facts of memory": ("chat", _greeting_after_facts),
    "a sum in words in a sentence": ("arithmetic", _sum_in_a_sentence),
    "a story asked for after a sum": ("chat", _story_after_a_sum),
}
"""The look-alikes that nothing is chosen on."""


def look_alikes(stack: ModuleStack, sorts: Sorts, count: int) -> Iterator[tuple[str, str, list[list[int]]]]:
    """Make prompts that look like another skill's, or are put in another form than their skill's.

    Args:
        stack: the stack, for its tokenizer.
        sorts: which ones, ``CHOSEN_ON`` or ``HELD_OUT``.
        count: how many of each sort.

    Yields:
        What they look like, the skill that answers them, and their tokens.
    """
    for name, (skill, make) in sorts.items():
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
