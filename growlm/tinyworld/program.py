"""Small programs and what they print: variables, copies, swaps, lists, loops and conditions."""

from dataclasses import dataclass, field

from growlm.tinyworld.cast import Cast
from growlm.tinyworld.lexicon import THINGS
from growlm.tinyworld.problem import Problem

_NAMES = ("a", "b", "c", "d", "x", "y", "z")
_LARGEST = 20


@dataclass
class Program:
    """A program in the making, run while it is written.

    Args:
        cast: for its chance and its words.
        lines: the source so far.
        values: what each variable holds.
        printed: what has been printed.
        trace: what each line does, for the work of the answer.
    """

    cast: Cast
    lines: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The source."""
        return "\n".join(self.lines)

    @property
    def problem(self) -> Problem:
        """The question what it prints; the work goes through its lines."""
        work = " ".join(f"{step}." for step in self.trace)
        return Problem((), self.text, f"prints {' '.join(self.printed)}", work, (), "program")

    def assign(self) -> None:
        """Give a variable a number or a word."""
        name = self.cast.dice.pick(_NAMES)
        if self.cast.dice.chance(0.7):
            value = str(self.cast.dice.number(0, _LARGEST))
            self.lines.append(f"{name} = {value}")
        else:
            value = self.cast.word(THINGS)
            self.lines.append(f'{name} = "{value}"')
        self.values[name] = value
        self.trace.append(f"{name} = {value}")

    def copy(self) -> None:
        """Give a variable the value of another."""
        source = self.cast.dice.pick(sorted(self.values))
        name = self.cast.dice.pick([other for other in _NAMES if other != source])
        self.lines.append(f"{name} = {source}")
        self.values[name] = self.values[source]
        self.trace.append(f"{name} = {self._shown(source)}")

    def swap(self) -> None:
        """Swap two variables."""
        if len(self.values) < 2:
            return self.assign()
        first, second = self.cast.dice.some(sorted(self.values), 2)
        self.lines.append(f"{first}, {second} = {second}, {first}")
        swapped = {first: self.values[second], second: self.values[first]}
        self.values |= swapped
        self.trace += [f"{self.lines[-1]} = {', '.join(swapped.values())}", *map(self._shown, swapped)]
        return None

    def print_variables(self) -> None:
        """Print one or two variables."""
        known = sorted(self.values)
        names = self.cast.dice.some(known, self.cast.dice.number(1, min(2, len(known))))
        self.lines.append(f"print({', '.join(names)})")
        self.trace += map(self._shown, names)
        self.printed += [self.values[name] for name in names]

    def print_entry(self) -> None:
        """Make a list of variables and prints one entry; entries are counted from 0."""
        dice = self.cast.dice
        names = [dice.pick(sorted(self.values)) for _ in range(dice.number(2, 3))]
        index = dice.number(0, len(names) - 1)
        self.lines += [f"s = [{', '.join(names)}]", f"print(s[{index}])"]
        entries = [f"s[{number}] = {self._shown(name)}" for number, name in enumerate(names)]
        self.trace += [*entries, f"s[{index}] = {self.values[names[index]]}"]
        self.printed += [self.values[names[index]]]

    def print_in_loop(self) -> None:
        """Print a variable several times."""
        name, times = self.cast.dice.pick(sorted(self.values)), self.cast.dice.number(2, 4)
        self.lines += [f"for i in range({times}):", f"    print({name})"]
        self.trace += [f"i = {number}, {self._shown(name)}" for number in range(times)]
        self.printed += [self.values[name]] * times

    def print_if(self) -> None:
        """Print one variable or another, whichever a comparison of two chooses."""
        dice = self.cast.dice
        known = sorted(self.values)
        first, second, then, other = (dice.pick(known) for _ in range(4))
        self.lines += [f"if {first} == {second}:", f"    print({then})", "else:", f"    print({other})"]
        equal = self.values[first] == self.values[second]
        chosen = then if equal else other
        self.trace += [self._shown(first), self._shown(second), "if" if equal else "else", self._shown(chosen)]
        self.printed += [self.values[chosen]]

    def _shown(self, name: str) -> str:
        return f"{name} = {self.values[name]}"


def write_program(cast: Cast, difficulty: float) -> Program:
    """Write a program; the more difficult, the longer.

    Args:
        cast: for its chance and its words.
        difficulty: from 0 to 1.

    Returns:
        The program, which prints at least one value.
    """
    dice = cast.dice
    program = Program(cast)
    program.assign()
    for _ in range(dice.number(1, 2 + round(6 * difficulty))):
        dice.pick((program.assign, program.assign, program.copy, program.copy, program.swap))()
    for _ in range(dice.number(1, 1 + round(difficulty))):
        ways = (program.print_variables, program.print_variables, program.print_entry, program.print_in_loop)
        dice.pick((*ways, program.print_if) if difficulty > 0 else ways)()
    return program
