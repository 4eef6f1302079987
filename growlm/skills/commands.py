"""Commands: a mini-language after SCAN, turned into the steps that it means."""

from typing import Literal

from growlm.data.example import Message
from growlm.skills.procedural import EDITION, Procedural
from growlm.tinyworld.cast import Cast, owner
from growlm.tinyworld.dice import first_fitting
from growlm.tinyworld.instructions import PRIMITIVE, Instruction, Part, command_problem, draw_instruction
from growlm.tinyworld.problem import turn

_TRAINED_LENGTH = 10
_ALONE_SHARE = 0.1


class Commands(Procedural):
    """Commands: a mini-language after SCAN, turned into the steps that it means.

    One exchange. The answer says the parts in the order in which they are carried out and ends with all steps, counted
    where they repeat: ``Robot, walk left after jump twice!`` is answered by ``jump twice, then walk left. 1 jump 2
    jump, left walk.``

    Args:
        num_train: number of training examples.
        num_validation: number of validation examples.
        num_test: number of test examples.
        seed: another seed gives other examples.
        difficulty: from 0 to 1; the higher, the longer the commands.
        held_out: what the test holds out: ``random``: commands of two parts; ``length``: all answers of more than ten
            steps; ``composition``: every command in which ``jump`` has other words with it; training has it alone.
        hold_out_words: without effect: the words of commands are few and all taught.
        edition: of the examples; 2 is the only one that this version makes.
    """

    history = "none"

    def __init__(
        self,
        num_train: int = 6_000,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
        difficulty: float = 0.5,
        held_out: Literal["random", "length", "composition"] = "random",
        hold_out_words: bool = False,
        edition: int = EDITION,
    ) -> None:
        super().__init__(num_train, num_validation, num_test, seed, difficulty, hold_out_words, edition)
        self.held_out = held_out

    def make(self, cast: Cast) -> list[Message]:
        """Make one example."""
        return turn(command_problem(cast.dice, self._draw(cast)))

    def _draw(self, cast: Cast) -> Instruction:
        dice = cast.dice
        if self.held_out == "composition" and cast.split == "train" and dice.chance(_ALONE_SHARE):
            return Instruction((Part(PRIMITIVE),))

        def fitting(_: int) -> Instruction | None:
            instruction = draw_instruction(dice, self.difficulty)
            return instruction if self._belongs(instruction, cast) else None

        return first_fitting(f"command for the {cast.split} split held out by {self.held_out!r}", fitting)

    def _belongs(self, instruction: Instruction, cast: Cast) -> bool:
        if self.held_out == "length":
            beyond = len(instruction.meaning()) > _TRAINED_LENGTH
        elif self.held_out == "composition":
            beyond = instruction.composes(PRIMITIVE)
        else:
            if not instruction.link:
                return cast.split == "train"
            return owner("command", instruction.text) == cast.split
        return beyond == (cast.split != "train")
