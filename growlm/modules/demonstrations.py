"""Examples that a stack puts before whatever it is shown, as token ids: few-shot prompting as a module.

Brown et al. 2020, "Language Models are Few-Shot Learners" (arXiv 2005.14165). What a stack does with them:
``growlm/stack/in_context.py``. A new module holds none and changes nothing. Nothing of it is trained.
Proved by tests/golden/test_k_shot.py and tests/contracts/test_every_module.py.

Shapes: C room for tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import check_at_least
from growlm.modules.kind import ModuleKind
from growlm.modules.site import Part

_BASE = 256
_FIRST, _LATER = 1, 2


class DemonstrationsPart(Part):
    """The examples.

    Tokens are held in whatever the base is held in: each as three digits to the base 256, which every such type holds
    exactly, and 1 where an example begins or 2 after that; a row of zeros is empty. They are a parameter without a
    gradient: so they are counted in what the module holds.

    Args:
        capacity: for how many tokens there is room, C.
        vocab_size: how many tokens the base knows.
    """

    mergeable = False

    def __init__(self, capacity: int, vocab_size: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(capacity, 4), requires_grad=False)
        self._vocab_size = vocab_size

    @torch.no_grad()
    def write(self, examples: Sequence[Sequence[int]]) -> None:
        """Replace all examples.

        Args:
            examples: their tokens, at least one each and together at most as many as there is room for.
        """
        rows = [
            (token % _BASE, token // _BASE % _BASE, token // _BASE**2, _LATER if at else _FIRST)
            for example in examples
            for at, token in enumerate(example)
        ]
        self.tokens.zero_()[: len(rows)] = torch.tensor(rows).to(self.tokens)

    def examples(self) -> list[list[int]]:
        """Return the tokens of every example."""
        return list(self._examples())

    def _examples(self) -> Iterator[list[int]]:
        filled_C = self.tokens.any(1)
        rows = self.tokens[filled_C].float().round().clamp(0, _BASE - 1).long().tolist()
        example: list[int] = []
        for low, middle, high, place in rows:
            if place == _FIRST and example:
                yield example
                example = []
            # they may come from anyone's file
            example.append(min(low + _BASE * middle + _BASE**2 * high, self._vocab_size - 1))
        if example:
            yield example

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the output as it is: the stack puts the examples before the tokens that it shows the base."""
        return output


@dataclass(frozen=True)
class Demonstrations(ModuleKind):
    """Examples that are put before whatever the stack is shown.

    Args:
        capacity: C, for how many tokens there is room.
    """

    any_weights = True
    holds_examples = True
    adds_tokens = True

    capacity: int = 32

    def __post_init__(self) -> None:
        check_at_least("demonstrations capacity", self.capacity, 1)

    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build the room for examples, at the token embedding; see ``ModuleKind.build``."""
        inputs, _ = architecture.embeddings()
        vocab_size, _ = architecture.embedding_shape(inputs)
        return {inputs: DemonstrationsPart(self.capacity, vocab_size)}
