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
        """Return the steps: turns are ``left`` and ``right``."""
        return self._once() * self._repeats()

    @property
    def counted(self) -> str:
        """The steps, counted where they repeat: ``1 left walk 2 left walk`` for ``walk left twice``."""
        once, repeats = " ".join(self._once()), self._repeats()
        return once if repeats == 1 else " ".join(f"{number} {once}" for number in range(1, repeats + 1))

    def _once(self) -> list[str]:
        if self.turning == "opposite":
            return [self.direction, self.direction, self.action]
        return [self.direction, self.action] if self.direction else [self.action]

    def _repeats(self) -> int:
        return _TIMES[self.times] * (4 if self.turning == "around" else 1)


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

    @property
    def in_order(self) -> tuple[Part, ...]:
        """The parts as they are carried out."""
        return self.parts[::-1] if self.link == "after" else self.parts

    def meaning(self) -> tuple[str, ...]:
        """Return the steps to take, in order."""
        return tuple(step for part in self.in_order for step in part.meaning())

    def composes(self, action: str) -> bool:
        """Return whether an action is part of something larger than itself."""
        return any(part.action == action for part in self.parts) and self.text != action


def command_problem(dice: Dice, instruction: Instruction) -> Problem:
    """Ask a robot to carry a command out; the answer says the parts in order and ends with all their steps."""
    asked = dice.pick(
        ("Robot, {text}!", "Robot, {text}.", "Hey robot! {Text}!", "Robot, please {text}.", "Robot: {text}")
    )
    text = instruction.text
    final = ", ".join(part.counted for part in instruction.in_order)
    work = f"{', then '.join(part.text for part in instruction.in_order)}."
    sort = f"command {instruction.link or 'alone'}"
    return Problem((), asked.format(text=text, Text=text[0].upper() + text[1:]), final, work, (), sort)


def draw_instruction(dice: Dice, difficulty: float) -> Instruction:
    """Draw a command; the more difficult, the more often are its parts two, turned and repeated."""
    if not dice.chance(0.2 + 0.6 * difficulty):
        return Instruction((_draw_part(dice, difficulty),))
    return Instruction((_draw_part(dice, difficulty), _draw_part(dice, difficulty)), dice.pick(("and", "after")))


def _draw_part(dice: Dice, difficulty: float) -> Part:
    direction = dice.pick(("left", "right")) if dice.chance(0.3 + 0.4 * difficulty) else ""
    turning = dice.pick(("opposite", "around")) if direction and dice.chance(0.6 * difficulty) else ""
    times = dice.pick(("twice", "three times")) if dice.chance(0.3 + 0.3 * difficulty) else ""
    return Part(dice.pick(ACTIONS), turning, direction, times)
