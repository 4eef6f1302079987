"""GAIN: one set of gains on what the sublayers write, which every skill trains further.

After arXiv 2604.04516: with the attention's and the feed-forward part's outputs multiplied by trained factors that
begin at 1, a model learns by turning up and down what it has, which bounds both what it can forget and what it can
learn. A baseline that is cheap and sobering: 2 numbers for each dim and layer. As sequential fine-tuning, it does
nothing else against forgetting. What a gain is: growlm/modules/gain.py.

Cost per step: forward through the path, backward down to the lowest site. Proved by tests/golden/test_gain.py and
tests/contracts/test_every_method.py.
"""

from typing import Literal

from growlm.methods.method import VersionedMethod
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds


class GainMethod(VersionedMethod):
    """Continues training the gains of the sublayers' outputs, skill after skill.

    Args:
        behind: ``both`` sublayers, or the ``feed_forward`` part only.
    """

    def __init__(self, behind: Literal["both", "feed_forward"] = "both") -> None:
        self.behind = behind

    def kinds(self) -> dict[str, ModuleKind]:
        """Return gains."""
        return {"gain": module_kinds.build("gain", {"behind": self.behind})}
