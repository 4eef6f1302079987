"""A mini-language of commands after SCAN: a grammar that draws them and what they mean.

The grammar is that of Lake and Baroni, "Generalization without Systematicity" (arXiv 1711.00350), figure 6: an action
may have a direction (``left``), ``opposite`` or ``around`` before the direction, ``twice`` or ``three times`` after
it; two of these may be joined by ``and`` or, in reverse order, ``after``.
"""

from dataclasses import dataclass

from growlm.tinyworld.dice import Dice
from growlm.tinyworld.problem import Problem

ACTIONS = ("walk", "run", "look", "jump", "hop", "dance")
PRIMITIVE = "jump"
"""The action that the composition split trains alone only, as SCAN does."""

_TIMES = {"": 1, "twice": 2, "three times": 3}


@dataclass(frozen=True)
class Part:
    """A command without ``and`` and ``after``.

    Args:
        action: what to do.
        turning: ``""``, ``"opposite"`` or ``"around"``.
        direction: ``""``, ``"left"`` or ``"right"``.
        times: ``""``, ``"twice"`` or ``"three times"``.
    """

    action: str
    turning: str = ""
    direction: str = ""
    times: str = ""

    @property
    def text(self) -> str:
        """The command's words."""
        return " ".join(word for word in (self.action, self.turning, self.direction, self.times) if word)

    def meaning(self) -> list[str]:
        """Gives the steps: turns are ``left`` and ``right``."""
        if self.turning == "around":
            steps = [self.direction, self.action] * 4
        elif self.turning == "opposite":
            steps = [self.direction, self.direction, self.action]
        else:
            steps = [self.direction, self.action] if self.direction else [self.action]
        return steps * _TIMES[self.times]


@dataclass(frozen=True)
class Instruction:
    """A command.

    Args:
        parts: one part, or two.
        link: ``"and"`` or ``"after"`` between two.
    """

    parts: tuple[Part, ...]
    link: str = ""

    @property
    def text(self) -> str:
        """The command's words."""
        return f" {self.link} ".join(part.text for part in self.parts)

    def meaning(self) -> tuple[str, ...]:
        """Gives the steps to take, in order."""
        parts = reversed(self.parts) if self.link == "after" else self.parts
        return tuple(step for part in parts for step in part.meaning())

    def composes(self, action: str) -> bool:
        """Tells whether an action stands in something larger than itself."""
        return any(part.action == action for part in self.parts) and self.text != action


def command_problem(dice: Dice, instruction: Instruction) -> Problem:
    """Tells a robot to carry a command out; the answer is its steps, from ``go`` to ``stop``."""
    asked = dice.pick(
        ("Robot, {text}!", "Robot, {text}.", "Hey robot! {Text}!", "Robot, please {text}.", "Robot: {text}")
    )
    text = instruction.text
    wanted = f"go {' '.join(instruction.meaning())} stop"
    return Problem((), asked.format(text=text, Text=text[0].upper() + text[1:]), wanted, wanted, ())


def draw_instruction(dice: Dice, difficulty: float) -> Instruction:
    """Draws a command; the more difficult, the more often are its parts two, turned and repeated."""
    if not dice.chance(0.2 + 0.6 * difficulty):
        return Instruction((_draw_part(dice, difficulty),))
    return Instruction((_draw_part(dice, difficulty), _draw_part(dice, difficulty)), dice.pick(("and", "after")))


def _draw_part(dice: Dice, difficulty: float) -> Part:
    direction = dice.pick(("left", "right")) if dice.chance(0.3 + 0.4 * difficulty) else ""
    turning = dice.pick(("opposite", "around")) if direction and dice.chance(0.6 * difficulty) else ""
    times = dice.pick(("twice", "three times")) if dice.chance(0.3 + 0.3 * difficulty) else ""
    return Part(dice.pick(ACTIONS), turning, direction, times)
