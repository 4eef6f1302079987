"""Gradient projection memory: full fine-tuning that leaves alone what the linears make of earlier skills' inputs.

Saha et al. 2021 (arXiv 2103.09762), eqs. 5 to 9. After a phase, with R [I, n] the inputs of a linear on the phase's
examples and M its basis so far, the leading left singular vectors U_k of R̂ = R - M Mᵀ R are appended to M, k being the
least with

    ‖M Mᵀ R‖² + ‖R̂_k‖² ≥ ε ‖R‖²,

R̂_k the best approximation of rank k. In later phases a weight changes by ΔW with ΔW M = 0 only, so that W x stays what
it was for every x in the span of M: the data-driven sister of OSFT. The first phase is plain fine-tuning.

What differs: the authors project the gradient, ``g - g M Mᵀ``, and train with SGD. With AdamW that is not enough, so
the change since the phase began is projected as well, after every step (``_projected_weight.py`` says why). Singular
values come from the eigenvalues of R Rᵀ in fp64, which sums over any number of tokens in [I, I] numbers. ε rises by
``increase`` per phase, as in the authors' code. Weights of linears are trained alone, without biases or norms.

Cost per step: that of ``sequential`` on the linears and four products with M for every linear; at the end of a phase
``num_samples`` forward passes and one eigendecomposition per linear. Kept: [I, k] numbers per linear.
Proved by tests/golden/test_gpm.py and tests/contracts/test_every_method.py.

Shapes: O output dim, I input dim, K basis vectors, B batch, T tokens.
"""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from growlm.data.batches import StepBatches, collate
from growlm.errors import GrowlmError, check_at_least
from growlm.methods._projected_weight import ProjectedWeight
from growlm.methods.method import VersionedMethod
from growlm.modules.dense import DensePart
from growlm.modules.kind import ModuleKind
from growlm.modules.site import part_key
from growlm.registry import module_kinds
from growlm.stack.sites import capture_inputs

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_BASIS = "basis/"


def extended_basis(basis_IK: Tensor, gram_II: Tensor, threshold: float) -> Tensor:
    """Append the directions of new inputs to a basis until it holds enough of their energy.

    Args:
        basis_IK: M, orthonormal, fp64, [I, K]; K may be 0.
        gram_II: R Rᵀ of the inputs, fp64, [I, I].
        threshold: ε, the share of ‖R‖² that the new basis is to hold.

    Returns:
        The new basis, orthonormal, [I, K + k].
    """
    rest_II = torch.eye(len(gram_II), dtype=gram_II.dtype) - basis_IK @ basis_IK.T
    values_I, vectors_II = torch.linalg.eigh(rest_II @ gram_II @ rest_II)
    values_I, vectors_II = values_I.flip(0).clamp_min(0), vectors_II.flip(1)
    total = gram_II.trace()
    missing = threshold * total - (total - values_I.sum())
    # the energies before each direction: as many are taken as begin below what is missing
    before_I = values_I.cumsum(0) - values_I
    count = min(int((before_I < missing).sum()), len(gram_II) - basis_IK.shape[1]) if missing > 0 else 0
    return torch.cat([basis_IK, vectors_II[:, :count]], 1)


def without_span(change_OI: Tensor, basis_IK: Tensor) -> Tensor:
    """Remove from a change of a weight what acts on the span of a basis, ΔW - ΔW M Mᵀ."""
    return change_OI - (change_OI @ basis_IK) @ basis_IK.T


class Gpm(VersionedMethod):
    """Continues fine-tuning the linears without changing what they make of earlier skills' inputs.

    Args:
        threshold: ε, the share of the inputs' energy that is protected after the first phase.
        increase: by how much ε rises with every further phase.
        num_samples: examples of a phase whose tokens are looked at.
    """

    encoder_decoder = True

    def __init__(self, threshold: float = 0.97, increase: float = 0.003, num_samples: int = 64) -> None:
        if not 0 < threshold <= 1:
            raise GrowlmError(f"gpm threshold {threshold} is not above 0 and at most 1")
        check_at_least("gpm increase", increase, 0)
        check_at_least("gpm num_samples", num_samples, 1)
        self.threshold = threshold
        self.increase = increase
        self.num_samples = num_samples
        self._sites: list[str] = []
        self._phase = 0
        self._bases: dict[str, Tensor] = {}
        self._projected: list[ProjectedWeight] = []

    def kinds(self) -> dict[str, ModuleKind]:
        """Return a full difference of the linears."""
        return {"dense": module_kinds.build("dense", {"weights": "linears"})}

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the bases that the earlier phases left, if there were any.

        Raises:
            GrowlmError: if the last version keeps none that fit.
        """
        architecture = stack.architecture
        self._sites = architecture.linear_sites(None, range(architecture.num_layers))
        last = self.continues(stack)
        if last is None:
            return
        self._phase = sum(self._made(record) for record in stack.manifest.modules)
        kept, sites = stack.method_tensors(last), stack.sites()
        for site in self._sites:
            basis_IK = kept.get(_BASIS + site)
            if basis_IK is None or basis_IK.shape[0] != architecture.linear_shape(site)[1]:
                raise GrowlmError(
                    f"module {last!r} keeps no basis of the inputs of {site!r} that fits: undo the module and grow it "
                    "again"
                )
            self._bases[site] = basis_IK
            part = cast(DensePart, sites[site].parts[part_key(name, "dense")])
            self._projected.append(ProjectedWeight(part, without_span, basis_IK))

    def parameters(self, stack: "ModuleStack", name: str) -> Iterable[nn.Parameter]:
        """Return the weights of the linears, without biases."""
        own = stack.module_parameters(name)
        return [own[f"dense.{site}.layer.weight"] for site in self._sites]

    def after_backward(self) -> None:
        """Project the gradients."""
        for weight in self._projected:
            weight.project_gradient()

    def after_step(self) -> None:
        """Project what has changed since the phase began."""
        for weight in self._projected:
            weight.project_change()

    @torch.no_grad()
    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Extend the bases by the inputs of the phase's examples."""
        grams = self._input_grams(stack, batches)
        threshold = min(1.0, self.threshold + self._phase * self.increase)
        return {
            _BASIS + site: extended_basis(self._basis(site, gram_II), gram_II, threshold).float().contiguous()
            for site, gram_II in grams.items()
        }

    def _basis(self, site: str, gram_II: Tensor) -> Tensor:
        return self._bases.get(site, gram_II.new_zeros(len(gram_II), 0)).to(gram_II)

    def _input_grams(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Sum x xᵀ over the inputs of every linear, fp64 on the CPU, which every machine has; [I, I] each."""
        examples = list(batches.examples)
        random.Random(f"gpm/{batches.seed}").shuffle(examples)
        linears = {stack.base.get_submodule(site): site for site in self._sites}
        grams: dict[str, Tensor] = {}

        def add(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            rows_NI = inputs[0].flatten(0, 1).cpu().double()
            site = linears[module]
            grams[site] = grams.get(site, 0) + rows_NI.T @ rows_NI

        with capture_inputs(list(linears), add):
            for example in examples[: self.num_samples]:
                stack.hidden_states(collate([example], batches.pad_id).to(stack.device).input_ids)
        return grams
