"""Arrow: prototypes from the modules' weights alone; no data is looked at.

Ostapenko et al. 2024, "Towards Modular LLMs by Building and Reusing a Library of LoRAs" (arXiv 2405.11157), section
3.2: the top right singular vector v of a module's change of a weight is the direction of inputs that the change
stretches most, so a module whose |vᵀ x| is large is likely to have been trained on inputs like x. There, every layer
mixes the modules of every token; here one path is chosen for a whole prompt: the module with the greatest mean of
|cos(v, x)| over the linears that it changes and the prompt's tokens, x being what reaches the linear in the bare base.
Scores of modules that change different linears are compared as they are. Cost: one forward pass of the bare base for a
prompt. Proved by tests/unit/routing/test_arrow.py. Shapes: B batch, T tokens, I input dim, O output dim, K modules.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.manifest.path import BASE, Path
from growlm.modules.site import Part, part_owner
from growlm.routing._features import last_turns, prompt_batches
from growlm.routing.router import DrawPrompts, Prompts, Router
from growlm.stack.sites import capture_inputs

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_RANK, _ITERATIONS = 8, 8


class Arrow(Router):
    """Prototypes from the modules' weights alone, without data; for modules that change weights, such as lora.

    Args:
        threshold: least mean of |cos(v, x)| of a module; below it the bare base answers. What is small depends on the
            base, and without data nothing can tell; at 0 a module always answers.
    """

    name = "arrow"

    def __init__(self, threshold: float = 0.0) -> None:
        if not 0 <= threshold < 1:
            raise GrowlmError(f"threshold of router 'arrow' is {threshold}: give a number from 0 to below 1")
        self.threshold = threshold
        self._prototypes: dict[str, dict[str, Tensor]] = {}

    def options(self) -> dict[str, Any]:
        """Return the options; see ``Router.options``."""
        return {"threshold": self.threshold}

    def known(self) -> tuple[str, ...]:
        """Return the modules with prototypes, and ``base``."""
        return tuple(sorted({BASE, *self._prototypes}))

    def check(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Refuse a module that changes no weight, and so has no prototype."""
        if name != BASE and not _changes(stack, name):
            raise GrowlmError(
                f"module {name!r} changes no weight, so router 'arrow' has no prototype of it: use --router ridge, or "
                "add a kind such as lora"
            )

    @torch.no_grad()
    def learn(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Compute a module's prototypes from its weights; the prompts are not drawn."""
        if name == BASE:
            return
        self.check(stack, name, draw)
        self._prototypes[name] = {path: top_direction(part.delta_weight()) for path, part in _changes(stack, name)}

    def forget(self, name: str) -> None:
        """Drop a module's prototypes."""
        self._prototypes.pop(name, None)

    @torch.no_grad()
    def choose(self, stack: "ModuleStack", prompts: Prompts) -> list[Path]:
        """Choose the path of each prompt; see ``Router.choose``."""
        names = sorted(self._prototypes)
        paths: list[Path] = [()] * len(prompts)
        if not names:
            return paths
        sites = {path: stack.architecture.resolve(path) for name in names for path in self._prototypes[name]}
        prompts = last_turns(stack, prompts)
        for rows, input_ids_BT in prompt_batches(stack, prompts):
            inputs = self._inputs(stack, sites, input_ids_BT)
            lengths_B = torch.tensor([len(prompts[row]) for row in rows], device=stack.device)
            scores_BK = torch.stack([self._score(name, sites, inputs, lengths_B) for name in names], 1)
            for row, (score, best) in zip(rows, zip(*scores_BK.max(1), strict=True), strict=True):
                if score >= self.threshold:
                    paths[row] = stack.path_of(names[int(best)])
        return paths

    def state_dict(self) -> dict[str, Tensor]:
        """Return the prototypes by ``<module>/<stock path of the linear>``."""
        return {
            f"{name}/{path}": direction
            for name, prototypes in self._prototypes.items()
            for path, direction in prototypes.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor], architecture: Architecture) -> None:
        """Restore what ``state_dict`` returned; see ``Router.load_state_dict``."""
        self._prototypes = {}
        for key, direction in state.items():
            name, _, path = key.partition("/")
            if direction.dtype != torch.float32 or direction.shape != self._shape(architecture, path):
                raise GrowlmError(f"tensor {key!r} does not fit router 'arrow' on this base")
            self._prototypes.setdefault(name, {})[path] = direction.clone()

    # -- inside ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _inputs(stack: "ModuleStack", sites: Mapping[str, nn.Module], input_ids_BT: Tensor) -> dict[nn.Module, Tensor]:
        """Run the bare base and return what reaches each linear, [B, T, I]."""
        inputs: dict[nn.Module, Tensor] = {}

        def see(linear: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[linear] = arguments[0]

        with stack.active(), capture_inputs(list(sites.values()), see):
            stack.hidden_states(input_ids_BT)
        return inputs

    def _score(
        self, name: str, sites: Mapping[str, nn.Module], inputs: Mapping[nn.Module, Tensor], lengths_B: Tensor
    ) -> Tensor:
        """Compute the mean of |cos(v, x)| over the linears of a module and the tokens of each prompt, [B]."""
        scores = []
        for path, direction_I in self._prototypes[name].items():
            rows_BTI = inputs[sites[path]].float().view(len(lengths_B), -1, len(direction_I))  # one row in some bases
            inputs_BTI = nn.functional.normalize(rows_BTI, dim=2)
            cosine_BT = (inputs_BTI @ direction_I.to(inputs_BTI.device)).abs()
            is_token_BT = torch.arange(cosine_BT.shape[1], device=lengths_B.device) < lengths_B[:, None]
            scores.append((cosine_BT * is_token_BT).sum(1) / lengths_B)
        return torch.stack(scores).mean(0)

    @staticmethod
    def _shape(architecture: Architecture, path: str) -> tuple[int, ...]:
        return (architecture.linear_shape(path)[1],) if path in _linears(architecture) else ()


def top_direction(delta_OI: Tensor) -> Tensor:
    """Compute the right singular vector of the greatest singular value.

    Args:
        delta_OI: the change of a weight.

    Returns:
        The vector, Float[I], of length 1, its greatest element positive.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        delta_OI = delta_OI.detach().cpu().double()
        _, _, right_IR = torch.svd_lowrank(delta_OI, min(_RANK, *delta_OI.shape), _ITERATIONS)
    direction_I = right_IR[:, 0]
    return (direction_I * direction_I[direction_I.abs().argmax()].sign()).float()


def _changes(stack: "ModuleStack", name: str) -> list[tuple[str, Part]]:
    """List the layers' linears whose weight a module changes, with the part that does."""
    linears = _linears(stack.architecture)
    return [
        (path, part)
        for path, site in stack.sites().items()
        for key, part in site.parts.items()
        if path in linears
        and part_owner(key) == name
        and isinstance(part, Part)
        and type(part).delta_weight is not Part.delta_weight
    ]


def _linears(architecture: Architecture) -> set[str]:
    return set(architecture.linear_sites(None, range(architecture.num_layers)))
