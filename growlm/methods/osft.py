"""OSFT: full fine-tuning that leaves the large singular directions of the weights alone.

Nayak et al. 2025, "Sculpting Subspaces" (arXiv 2504.07097; ICLR 2026 as OSFT). Each phase decomposes every linear's
effective weight anew, W = U Σ Vᵀ, preserves a share r of its directions, U_h and V_h, and changes W by a ΔW with

    factor:  U_hᵀ ΔW = 0 and ΔW V_h = 0      a share (1 - r)² of a square weight's dimensions is free
    block:   U_hᵀ ΔW V_h = 0                 a share 1 - r² is free

``block`` is the paper's constraint, G - U_h U_hᵀ G V_h V_hᵀ; ``factor`` that of the maintained code (mini_trainer,
PEFT), and the default: W x stays what it was for every x in the span of V_h, which ``block`` does not give.

What differs from the authors' code:

- They project the gradient, which is not enough (``_projected_weight.py`` says why). ``factor`` trains M in
  ΔW = s Q_u M Q_vᵀ (kind ``subspace``), where nothing can leak; ``block`` trains a full difference (kind ``dense``) and
  projects the gradient before the step and the weight's change since the phase began after it.
- The decomposition is exact and in fp64; ``modules/directions.py`` says what fp32 and randomised ones lose.
- ``adaptive`` ranks are the paper's (mrr 0.1, trr 0.8), which no maintained code has; shares are clamped to mrr and to
  all directions but one, with a warning. Importance is measured at the end of each phase on its own examples and kept
  with the module, so that a later phase needs no old data; it takes the mean of the earlier ones. Before the first,
  everything preserves trr.
- ``schedule`` preserves i / n in the phase that i others of the method come before, of n: the first is free. (The
  authors' script lets the share rise linearly too, and PEFT advises it.) Where n is not known it is i / (i + 1), as if
  every phase were the last.
- In the ``factor`` form every phase is a new module on the path, and the changes add up to the weight that the next one
  decomposes. In the ``block`` form each phase's module supersedes the last, as in ``sequential``.
- Targets are the linears of the layers, never the embeddings, tied or not. Biases and norms are frozen. A linear all of
  whose directions are preserved is not trained. The null space of a rectangular weight's longer side is free in the
  ``block`` form, and in the ``factor`` form if asked for.

``preserve_ratio`` is PEFT's ``effective_rank`` as a fraction, and 1 - mini_trainer's ``unfreeze_rank_ratio``. With 0,
``block`` is ``sequential`` on the linears (bit for bit where they have no biases) and ``factor`` with ``null_space``
trains the same functions; with 1 there is nothing to train, which is an error.

Cost per step: ``factor`` products with [I, F] and [F, O] for every linear, F of the directions being free (on few
tokens twice, and with [F, F]), and no gradient of any [O, I]; ``block`` that of ``sequential`` and eight products with
U_h or V_h for every linear. Each phase begins with one decomposition of every linear.
Proved by tests/golden/test_osft.py and tests/contracts/test_every_method.py.

Shapes: O output dim, I input dim, k preserved directions.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from growlm.data.batches import StepBatches
from growlm.errors import GrowlmError, check_at_least
from growlm.manifest.path import Path
from growlm.merging.merge import effective_weight
from growlm.methods._preserved_ranks import adaptive_ratios, linear_importance, some_examples
from growlm.methods._projected_weight import ProjectedWeight
from growlm.methods.method import VersionedMethod
from growlm.modules.dense import DensePart
from growlm.modules.directions import free_directions, num_free, num_preserved, preserved_directions, without_block
from growlm.modules.kind import ModuleKind
from growlm.modules.site import part_key
from growlm.modules.subspace import SubspacePart
from growlm.registry import module_kinds
from growlm.skills.skill import Skill

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_IMPORTANCE = "importance."


class Osft(VersionedMethod):
    """Fine-tunes the linears without touching their large singular directions.

    Args:
        constraint: ``factor``: nothing in a preserved direction of either side changes; ``block``, the paper's: nothing
            from a preserved input direction to a preserved output direction does.
        ranks: how many directions are preserved: ``uniform``, ``adaptive`` to the linears' importance, or by a
            ``schedule`` over the stream.
        preserve_ratio: share of the singular directions that uniform ranks preserve.
        mrr: least share that adaptive ranks preserve of a linear.
        trr: share that adaptive ranks preserve of a linear of mean importance.
        num_samples: examples of each phase on which adaptive ranks measure importance.
        num_phases: n, how many phases a schedule has; None: that is not known.
        null_space: free the null space of rectangular weights' longer side in the ``factor`` form too.
        target_modules: names of the linears, such as q_proj; None: all linears of the layers.
    """

    encoder_decoder = True

    def __init__(
        self,
        constraint: Literal["factor", "block"] = "factor",
        ranks: Literal["uniform", "adaptive", "schedule"] = "uniform",
        preserve_ratio: float = 0.75,
        mrr: float = 0.1,
        trr: float = 0.8,
        num_samples: int = 64,
        num_phases: int | None = None,
        null_space: bool = False,
        target_modules: list[str] | None = None,
    ) -> None:
        if not 0 <= preserve_ratio <= 1:
            raise GrowlmError(f"osft preserve_ratio {preserve_ratio} is not between 0 and 1")
        if not 0 <= mrr <= trr <= 1:
            raise GrowlmError(f"osft mrr {mrr} and trr {trr} are not shares with mrr <= trr")
        check_at_least("osft num_samples", num_samples, 1)
        if num_phases is not None and (ranks != "schedule" or num_phases < 1):
            raise GrowlmError(
                f"osft num_phases {num_phases} does not fit ranks {ranks!r}: a schedule has 1 or more, others have none"
            )
        self.constraint = constraint
        self.ranks = ranks
        self.preserve_ratio = preserve_ratio
        self.mrr = mrr
        self.trr = trr
        self.num_samples = num_samples
        self.num_phases = num_phases
        self.null_space = null_space
        self.target_modules = target_modules
        self._counts: dict[str, int] = {}
        self._subspaces: dict[str, SubspacePart] = {}
        self._projected: list[ProjectedWeight] = []
        self._directions: dict[str, Tensor] = {}

    # -- what is attached ----------------------------------------------------------------------------------------------

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the linears, for the ``block`` form."""
        return {"dense": module_kinds.build("dense", {"weights": "linears"})}

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Decide how many directions of every linear are preserved, and builds what changes the others.

        Raises:
            GrowlmError: if that is all of them, or a schedule is over.
        """
        architecture = stack.architecture
        shapes = {site: architecture.linear_shape(site) for site in self._sites(stack)}
        ratios = self._ratios(stack, list(shapes))
        counts = {site: num_preserved(shape, ratios[site]) for site, shape in shapes.items()}
        self._counts = {
            site: count for site, count in counts.items() if num_free(shapes[site], count, self.null_space) != (0, 0)
        }
        if not self._counts:
            raise GrowlmError(
                f"osft with {self.ranks} ranks preserves every direction of every linear, so nothing is left to train: "
                "preserve less"
            )
        if self.constraint == "block":
            return super().build(stack, skill)
        options = {"preserved": self._counts, "null_space": self.null_space, "directions": "method"}
        return {"subspace": module_kinds.build("subspace", options)}

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the path that was asked for; in the ``block`` form, the parents of the last version."""
        return super().grow_on(stack, on) if self.constraint == "block" else on

    def continues(self, stack: "ModuleStack") -> str | None:
        """Return the last version, in the ``block`` form."""
        return super().continues(stack) if self.constraint == "block" else None

    def _sites(self, stack: "ModuleStack") -> list[str]:
        return stack.architecture.linear_sites(self.target_modules, range(stack.architecture.num_layers))

    def _ratios(self, stack: "ModuleStack", sites: list[str]) -> dict[str, float]:
        if self.ranks == "uniform":
            return dict.fromkeys(sites, self.preserve_ratio)
        earlier = [record.name for record in stack.manifest.modules if self._made(record)]
        if self.ranks == "adaptive":
            num_directions = {site: min(stack.architecture.linear_shape(site)) for site in sites}
            return adaptive_ratios(self._kept_importance(stack, earlier, sites), num_directions, self.mrr, self.trr)
        num_phases = self.num_phases or len(earlier) + 1
        if len(earlier) >= num_phases:
            raise GrowlmError(
                f"the schedule of {num_phases} osft phases is over, the stack has {len(earlier)}: give a larger "
                "num_phases"
            )
        return dict.fromkeys(sites, len(earlier) / num_phases)

    def _kept_importance(self, stack: "ModuleStack", earlier: list[str], sites: list[str]) -> dict[str, float]:
        kept = [stack.method_tensors(name) for name in earlier]
        measured = [tensors for tensors in kept if all(_IMPORTANCE + site in tensors for site in sites)]
        if not measured:
            return dict.fromkeys(sites, 1.0)
        importance: dict[str, float] = {}
        for site in sites:
            values = torch.stack([tensors[_IMPORTANCE + site].float().reshape(-1).mean() for tensors in measured])
            if not (torch.isfinite(values).all() and values.abs().max() <= 1.001):
                raise GrowlmError(
                    f"the importance of {site!r} that earlier modules keep is not a cosine: grow them again"
                )
            importance[site] = values.mean().item()
        return importance

    # -- training ------------------------------------------------------------------------------------------------------

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Decompose the effective weights of the path that the phase grows on, of its last version included."""
        sites = stack.sites()
        for site, preserved in self._counts.items():
            weight_OI = effective_weight(
                stack, site, stack.path
            )  # the new module adds nothing yet but the last version
            if self.constraint == "factor":
                part = cast(SubspacePart, sites[site].parts[part_key(name, "subspace")])
                part.set_directions(*free_directions(weight_OI, preserved, self.null_space))
                self._subspaces[site] = part
            elif preserved > 0:
                dense = cast(DensePart, sites[site].parts[part_key(name, "dense")])
                directions = preserved_directions(weight_OI, preserved)
                self._projected.append(ProjectedWeight(dense, without_block, *directions))

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return the coordinates in the free directions; in the ``block`` form, weights that are not all preserved."""
        own = stack.module_parameters(name)
        if self.constraint == "factor":
            return own.values()
        return [own[f"dense.{site}.layer.weight"] for site in self._counts]

    def after_backward(self) -> None:
        """Project the gradients, in the ``block`` form."""
        for weight in self._projected:
            weight.project_gradient()

    def after_step(self) -> None:
        """Project the changes, in the ``block`` form."""
        for weight in self._projected:
            weight.project_change()

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Measure the linears' importance on the phase's examples, if ranks are adaptive."""
        if self.ranks != "adaptive":
            return {}
        linears = {site: stack.base.get_submodule(site) for site in self._sites(stack)}
        examples = some_examples(batches, self.num_samples)
        importance = linear_importance(linears, stack, examples, batches.pad_id)
        return {_IMPORTANCE + site: torch.tensor(value) for site, value in importance.items()}

    # -- resuming ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the directions in which M counts: another machine might decompose into others."""
        own = {
            f"{site}.{side}": directions
            for site, part in self._subspaces.items()
            for side, directions in (("Q_u", part.Q_u), ("Q_v", part.Q_v))
        }
        return {"directions": own or self._directions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the directions."""
        self._directions = dict(state["directions"])
        for site, part in self._subspaces.items():
            part.set_directions(self._directions[f"{site}.Q_u"], self._directions[f"{site}.Q_v"])
