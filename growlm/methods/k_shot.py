"""k-shot: examples of a skill are kept and put before every prompt; nothing is trained.

Brown et al. 2020, "Language Models are Few-Shot Learners" (arXiv 2005.14165), the plainest memory scaffold. When a
phase begins, ``k`` training examples are drawn and written into a module of their own (kind ``demonstrations``), as the
base's own conversation template or its documents have them, each with the tokens that end it. Whatever the path is
shown, the base reads behind them: growlm/stack/in_context.py. A module is grown on the bare base, and its skill is
named; on a path with several, the examples of all are read, the newest last. It needs a base that learns in context.

As many are kept as fit into ``max_tokens`` and half of the base's context; how many of them a prompt leaves room for is
decided when it is read. They are kept in the order in which they are drawn, and those that are too long are passed
over. Nothing is replayed: a skill's examples are read again at every prompt.

The examples lie as token ids in the module's folder: whoever gets the stack can read them.

Cost per step: there are no steps; a prompt costs its examples more when it is read. Kept: the examples, 16 bytes for
each token that there is room for. Proved by tests/golden/test_k_shot.py and tests/contracts/test_every_method.py.
"""

import logging
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError, check_at_least
from growlm.manifest.path import Path
from growlm.methods.method import Method
from growlm.modules.demonstrations import DemonstrationsPart
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_logger = logging.getLogger(__name__)


class KShot(Method):
    """Keeps examples of the skill and puts them before every prompt; nothing is trained.

    Args:
        k: how many examples.
        max_tokens: how many tokens they may have together; at most half of the base's context is used.
    """

    inference = "oracle"
    trains = False

    def __init__(self, k: int = 8, max_tokens: int = 512) -> None:
        for option, value in (("k", k), ("max_tokens", max_tokens)):
            check_at_least(f"k_shot {option}", value, 1)
        self.k = k
        self.max_tokens = max_tokens
        self._num_kept = 0
        self._kept_before = 0

    @property
    def extra_forward_rows(self) -> int:
        """How many examples are kept."""
        return self._num_kept

    @property
    def kept_rows(self) -> int:
        """How many examples all skills keep."""
        return self._kept_before + self._num_kept

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the empty path: the bare base."""
        return ()

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build the room for the examples; see ``Method.build``."""
        capacity = min(self.max_tokens, stack.context_length // 2)
        return {"demonstrations": module_kinds.build("demonstrations", {"capacity": capacity})}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Draw the examples and write them.

        Raises:
            GrowlmError: if not a single one fits.
        """
        (part,) = stack.parts(name, DemonstrationsPart).values()
        drawn = list(batches.examples)
        random.Random(f"k_shot/{batches.seed}").shuffle(drawn)
        chosen: list[tuple[int, ...]] = []
        room = len(part.tokens)
        for example in drawn:
            if len(chosen) < self.k and len(example.input_ids) <= room:
                chosen.append(example.input_ids)
                room -= len(example.input_ids)
        if not chosen:
            shortest = min(len(example.input_ids) for example in drawn)
            raise GrowlmError(
                f"the shortest example has {shortest} tokens and k_shot has room for {len(part.tokens)} (max_tokens, "
                f"and half of the base's {stack.context_length}): shorten the examples, or give a greater max_tokens"
            )
        if len(chosen) < min(self.k, len(drawn)):
            _logger.info("%d of %d examples fit into %d tokens of the context", len(chosen), self.k, len(part.tokens))
        part.write(chosen)
        self._num_kept = len(chosen)
        others = [
            part for module in stack.manifest.current() for part in stack.parts(module, DemonstrationsPart).values()
        ]
        self._kept_before = sum(len(part.examples()) for part in others)

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return nothing."""
        return ()
