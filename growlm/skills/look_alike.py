"""Look-alikes: the same texts for several skills, where only the first or last words say what is wanted."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from growlm.data.example import Message
from growlm.skills.procedural import EDITION, Procedural
from growlm.tinyworld.arithmetic import draw_sum, largest
from growlm.tinyworld.cast import Cast
from growlm.tinyworld.dice import first_fitting
from growlm.tinyworld.instructions import draw_instruction
from growlm.tinyworld.lexicon import in_words
from growlm.tinyworld.memory import draw_scene, memory_problems
from growlm.tinyworld.problem import Problem, turn

Wanted = Literal["where", "before", "first", "digits", "words", "steps", "count"]
_SORTS = {"where": "where held thing", "before": "where before", "first": "who had first"}
"""What is wanted of a scene, and the sort of question of the skill memory that asks for it."""
_SUM = "What is "
_NEAR = 5


class LookAlike(Procedural):
    """Look-alikes: the same texts for several skills, where only the first or last words say what is wanted.

    One exchange. Three sorts of text with two or three wants each: what people did with things (``Where is the
    lantern?``, ``Where was Toby before Toby went to the hill?``, ``Who had the lantern first?``), a sum (``What is 12 +
    5? Answer in digits.`` or ``in words.``), a command (``Robot: walk left twice. Say the steps.`` or ``Say how many
    steps.``). The texts of one sort are drawn alike whatever is wanted, so a router has nothing else to go by. Answers
    work first and end with what is scored, as those of memory, arithmetic and commands.

    Args:
        wanted: what is wanted: ``where``, ``before`` or ``first`` of a scene, ``digits`` or ``words`` of a sum,
            ``steps`` or ``count`` of a command.
        place: where that is said: after the text (``last``) or before it (``first``).
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; as that of memory, arithmetic and commands.
        hold_out_words: keep some words of the lexicon for validation and test.
        edition: of the examples; 2 is the only one that this version makes.
    """

    history = "none"

    def __init__(
        self,
        wanted: Wanted = "where",
        place: Literal["first", "last"] = "last",
        num_train: int = 6_000,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
        difficulty: float = 0.5,
        hold_out_words: bool = False,
        edition: int = EDITION,
    ) -> None:
        super().__init__(num_train, num_validation, num_test, seed, difficulty, hold_out_words, edition)
        self.wanted = wanted
        self.place = place

    def make(self, cast: Cast) -> list[Message]:
        """Make one example."""
        problem = _PROBLEMS[self.wanted](cast, self.difficulty, self.wanted)
        if self.place == "first":
            problem = replace(problem, facts=(), question=" ".join((problem.question, *problem.facts)))
        return turn(problem)

    def hashed(self, messages: Sequence[Message]) -> Iterable[str]:
        """Return the text without what is wanted of it: so it is in one split whatever that is."""
        sentences = re.split(r"(?<=[.?]) ", messages[0].content)
        text = " ".join(sentences[:-1] if self.place == "last" else sentences[1:])
        # a sum is in the split that ``draw_sum`` has it in
        return ("sum", text[len(_SUM) : -1]) if text.startswith(_SUM) else (text,)


def _scene_problem(cast: Cast, difficulty: float, wanted: str) -> Problem:
    """Ask about a scene that all three could be asked about."""

    def fitting(_: int) -> Problem | None:
        problems = memory_problems(draw_scene(cast.again(), difficulty))
        found = {of_sort[0].sort: of_sort for of_sort in _by_sort(problems)}
        return cast.dice.pick(found[_SORTS[wanted]]) if set(_SORTS.values()) <= set(found) else None

    return first_fitting("scene for look-alikes", fitting)


def _by_sort(problems: Iterable[Sequence[Problem]]) -> list[list[Problem]]:
    sorts: dict[str, list[Problem]] = {}
    for problem in (one for group in problems for one in group):
        sorts.setdefault(problem.sort, []).append(problem)
    return list(sorts.values())


def _sum_problem(cast: Cast, difficulty: float, wanted: str) -> Problem:
    total = draw_sum(cast, largest(difficulty))
    say: Callable[[int], str] = in_words if wanted == "words" else str
    choices = tuple(say(number) for number in _around(total.result))
    asked = f"Answer in {wanted}."
    return Problem((f"{_SUM}{total.text}?",), asked, say(total.result), total.steps, choices, wanted)


def _command_problem(cast: Cast, difficulty: float, wanted: str) -> Problem:
    instruction = draw_instruction(cast.dice, difficulty)
    parts = ", ".join(part.counted for part in instruction.in_order)
    asked = (f"Robot: {instruction.text}.",)
    if wanted == "steps":
        work = f"{', then '.join(part.text for part in instruction.in_order)}."
        return Problem(asked, "Say the steps.", parts, work, (), wanted)
    number = len(instruction.meaning())
    choices = tuple(map(str, _around(number)))
    return Problem(asked, "Say how many steps.", str(number), f"{parts}.", choices, wanted)


def _around(number: int) -> range:
    low = max(0, number - _NEAR)
    return range(low, low + 2 * _NEAR + 1)


_PROBLEMS: Mapping[str, Callable[[Cast, float, str], Problem]] = {
    **dict.fromkeys(_SORTS, _scene_problem),
    **dict.fromkeys(("digits", "words"), _sum_problem),
    **dict.fromkeys(("steps", "count"), _command_problem),
}
