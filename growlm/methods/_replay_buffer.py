"""Examples of earlier phases: which ones to keep, and how they are kept as flat integers in tensors.

Reservoir sampling is algorithm R (Vitter 1985, "Random sampling with a reservoir"): of everything that has gone by,
each example is kept with the same probability, however large the phases were. Proved by tests/golden/test_replay.py.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import torch
from torch import Tensor

from growlm.data.encode import Encoded
from growlm.errors import GrowlmError

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

T = TypeVar("T")
Selection = Literal["reservoir", "balanced"]


def reservoir(kept: Sequence[T], seen: int, new: Sequence[T], capacity: int, generator: random.Random) -> list[T]:
    """Continue algorithm R.

    Args:
        kept: what is kept of the items that have gone by.
        seen: how many have gone by.
        new: those that come now.
        capacity: how many are kept at most.
        generator: source of the choices.

    Returns:
        What is kept afterwards: of all ``seen + len(new)`` items each with the same probability, if that held before.
    """
    result = list(kept) if len(kept) <= capacity else generator.sample(list(kept), capacity)
    for number, item in enumerate(new, start=seen + 1):
        if len(result) < capacity:
            result.append(item)
        elif (place := generator.randrange(number)) < capacity:
            result[place] = item
    return result


def equal_shares(available: Sequence[int], capacity: int) -> list[int]:
    """Divide places equally; what one cannot fill goes to the others.

    Args:
        available: how many places each could fill.
        capacity: how many places there are.

    Returns:
        How many places each gets.
    """
    shares = [0] * len(available)
    for waiting, index in zip(range(len(available), 0, -1), _by_size(available), strict=True):
        shares[index] = min(available[index], capacity // waiting)
        capacity -= shares[index]
    return shares


def _by_size(sizes: Sequence[int]) -> list[int]:
    return sorted(range(len(sizes)), key=lambda index: sizes[index])


@dataclass(frozen=True)
class ReplayBuffer:
    """What is kept of the phases so far.

    Args:
        examples: the examples that are kept.
        owners: for each of them, the phase that it comes from, counted from 0.
        seen: for each phase, how many examples it had.
    """

    examples: tuple[Encoded, ...] = ()
    owners: tuple[int, ...] = ()
    seen: tuple[int, ...] = ()

    def after(
        self,
        new: Sequence[Encoded],
        selection: Selection,
        share: float,
        capacity: int | None,
        generator: random.Random,
    ) -> Self:
        """Decide what is kept after one more phase.

        Args:
            new: the phase's examples.
            selection: keep each example with the same probability, or equally many of every phase.
            share: the part of each phase's examples that is kept, at least one, if no capacity is given.
            capacity: how many examples are kept in all.
            generator: source of the choices.

        Returns:
            The buffer with examples of the new phase, and without what they replaced.
        """
        seen = (*self.seen, len(new))
        old = list(zip(self.owners, self.examples, strict=True))
        newest = [(len(self.seen), example) for example in new]
        parts = [max(1, round(share * size)) for size in seen]
        if selection == "balanced":
            groups = [[item for item in old if item[0] == owner] for owner in range(len(self.seen))] + [newest]
            places = equal_shares([len(group) for group in groups], sum(parts) if capacity is None else capacity)
            kept = [item for group, size in zip(groups, places, strict=True) for item in generator.sample(group, size)]
        elif capacity is None:
            kept = [*old, *generator.sample(newest, min(parts[-1], len(newest)))]
        else:
            kept = reservoir(old, sum(self.seen), newest, capacity, generator)
        return type(self)(tuple(example for _, example in kept), tuple(owner for owner, _ in kept), seen)

    def to_tensors(self) -> dict[str, Tensor]:
        """Write the buffer as tensors of integers.

        Returns:
            ``tokens`` and ``trained``, [N] for the N tokens of all E examples one after the other; ``offsets``,
            [E + 1], where each example begins, and N; ``owners``, [E]; ``seen``, one number per phase.
        """
        lengths = torch.tensor([0, *(len(example.input_ids) for example in self.examples)])
        tokens = [token for example in self.examples for token in example.input_ids]
        trained = [flag for example in self.examples for flag in example.trained]
        return {
            "tokens": torch.tensor(tokens, dtype=torch.int32),
            "trained": torch.tensor(trained, dtype=torch.uint8),
            "offsets": lengths.cumsum(0),
            "owners": torch.tensor(self.owners, dtype=torch.int64),
            "seen": torch.tensor(self.seen, dtype=torch.int64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], vocab_size: int, max_length: int, where: str) -> Self:
        """Read a buffer back.

        Args:
            tensors: what ``to_tensors`` gave; it may come from anyone.
            vocab_size: the number of tokens that the base knows.
            max_length: the greatest number of tokens that the base can see.
            where: what to call the tensors in a message.

        Returns:
            The buffer.

        Raises:
            GrowlmError: if the tensors are no buffer of this base's.
        """
        problem = _problem(tensors, vocab_size, max_length)
        if problem:
            raise GrowlmError(f"{where}: the examples kept for replay {problem}: undo that module and grow it again")
        values = {name: tensor.tolist() for name, tensor in tensors.items()}
        spans = list(zip(values["offsets"], values["offsets"][1:], strict=False))
        return cls(
            tuple(
                Encoded(
                    f"replay/{index}",
                    tuple(values["tokens"][begin:end]),
                    tuple(flag == 1 for flag in values["trained"][begin:end]),
                )
                for index, (begin, end) in enumerate(spans)
            ),
            tuple(values["owners"]),
            tuple(values["seen"]),
        )

    @classmethod
    def kept_by(cls, stack: "ModuleStack", module: str, prefix: str) -> Self:
        """Read the buffer that a method keeps with a module; see ``from_tensors``.

        Args:
            stack: the stack.
            module: the module's name.
            prefix: what the names of the buffer's tensors begin with.
        """
        kept = stack.method_tensors(module)
        tensors = {key.removeprefix(prefix): value for key, value in kept.items() if key.startswith(prefix)}
        return cls.from_tensors(tensors, stack.config.vocab_size, stack.context_length, f"module {module!r}")


def _problem(tensors: Mapping[str, Tensor], vocab_size: int, max_length: int) -> str | None:
    """Return what is wrong with the tensors of a buffer."""
    names = ("tokens", "trained", "offsets", "owners", "seen")
    for name in names:
        if name not in tensors or tensors[name].dim() != 1 or tensors[name].is_floating_point():
            return f"lack a list of integers {name!r}"
    tokens_N, trained_N, offsets, owners_E, seen = (tensors[name].long() for name in names)
    lengths_E = offsets.diff()
    if len(offsets) != len(owners_E) + 1 or len(trained_N) != len(tokens_N):
        return "are lists of different lengths"
    if offsets[0] != 0 or offsets[-1] != len(tokens_N) or not _within(lengths_E, 1, max_length):
        return f"are not of 1 to {max_length} tokens each"
    if not _within(tokens_N, 0, vocab_size - 1):
        return f"hold a token that is none of the base's {vocab_size}"
    if not (_within(trained_N, 0, 1) and _within(owners_E, 0, len(seen) - 1) and _within(seen, 0, 2**40)):
        return "belong to no phase"
    return None


def _within(values: Tensor, least: int, most: int) -> bool:
    return bool(((values >= least) & (values <= most)).all())
