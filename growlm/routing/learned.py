"""The router that progressive experts have learned inside the stack, looked at from outside.

After PMoE (arXiv 2407.21571; see ``growlm/modules/experts.py``): a linear router between shallow and deep layers, with
a gate for each module and one, always 0, for the bare base. In the stack it weighs the experts of every token; here
the module whose gate has the greatest mean logit over a prompt's tokens answers the prompt, and the bare base where
none is above 0. So ``routing_accuracy`` says how well the learned router tells skills apart, and the mode ``routed``
what one expert's own path makes of it, while in the mode ``all`` the router itself mixes the experts. The gates are
the modules' own tensors; nothing else is learned, and no data is looked at.

What a gate reads are the shallow layers with the modules that were there when it was trained: later modules do not
change a choice. Cost: the shallow layers for a prompt, once for every different set of such modules.
Proved by tests/unit/routing/test_learned.py. Shapes: B batch, T tokens, N prompts, K gates.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.manifest.path import BASE, Path
from growlm.routing._features import prompt_batches, within_context
from growlm.routing.gates import gates, run_shallow_layers, shallow_modules
from growlm.routing.router import DrawPrompts, Prompts, Router

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_KNOWN = "known"


class Learned(Router):
    """The gates that progressive experts have learned: the module with the greatest one answers the prompt."""

    name = "learned"

    def __init__(self) -> None:
        self._known: set[str] = set()

    def options(self) -> dict[str, Any]:
        """Return the options: none; see ``Router.options``."""
        return {}

    def known(self) -> tuple[str, ...]:
        """Return the modules whose gates are compared, and ``base``."""
        return tuple(sorted({BASE, *self._known}))

    def check(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Refuse a module without a gate."""
        if name != BASE and name not in gates(stack):
            raise GrowlmError(
                f"module {name!r} has no experts, so router 'learned' has no gate for it: use --router ridge, or "
                "grow it with --method pmoe"
            )

    def learn(self, stack: "ModuleStack", name: str, draw: DrawPrompts) -> None:
        """Compare a module's gate from now on; the prompts are not drawn."""
        self.check(stack, name, draw)
        if name != BASE:
            self._known.add(name)

    def forget(self, name: str) -> None:
        """Leave a module's gate out from now on."""
        self._known.discard(name)

    @torch.no_grad()
    def choose(self, stack: "ModuleStack", prompts: Prompts) -> list[Path]:
        """Choose the path of each prompt; see ``Router.choose``."""
        names = [name for name in stack.parents() if name in self._known]
        paths: list[Path] = [()] * len(prompts)
        if not names or not prompts:
            return paths
        best_N, index_N = self.mean_logits(stack, prompts, names).max(1)
        for row, (best, index) in enumerate(zip(best_N.tolist(), index_N.tolist(), strict=True)):
            if best > 0:
                paths[row] = stack.path_of(names[index])
        return paths

    @torch.no_grad()
    def mean_logits(self, stack: "ModuleStack", prompts: Prompts, names: list[str]) -> Tensor:
        """Compute the mean logit of gates over the tokens of each prompt.

        Args:
            stack: the stack; its active path is left as it was.
            prompts: N prompts.
            names: the modules whose gates are looked at.

        Returns:
            The means, [N, K], on the CPU; the bare base's is 0.
        """
        groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        parts = gates(stack)
        for name in names:
            boundary = parts[name].spec.boundary
            shallow = shallow_modules(stack, (*stack.parents()[name], name), boundary)
            groups.setdefault((boundary, shallow), []).append(name)
        means_NK = torch.zeros(len(prompts), len(names))
        prompts = within_context(stack, prompts)
        for (boundary, shallow), members in groups.items():
            with stack.active(*shallow, *members, closed=False):
                for rows, input_ids_BT in prompt_batches(stack, prompts):
                    run_shallow_layers(stack, input_ids_BT, boundary)
                    lengths_B = torch.tensor([len(prompts[row]) for row in rows], device=stack.device)
                    for name in members:
                        means_NK[rows, names.index(name)] = parts[name].mean_logits(lengths_B).cpu()
        return means_NK

    def state_dict(self) -> dict[str, Tensor]:
        """Return a flag for each known module: the gates are the modules' own tensors."""
        return {f"{_KNOWN}/{name}": torch.ones(1, dtype=torch.uint8) for name in sorted(self._known)}

    def load_state_dict(self, state: Mapping[str, Tensor], architecture: Architecture) -> None:
        """Restore what ``state_dict`` returned; see ``Router.load_state_dict``."""
        for key, tensor in state.items():
            kind, _, name = key.partition("/")
            if kind != _KNOWN or not name or tensor.dtype != torch.uint8 or tensor.shape != (1,):
                raise GrowlmError(f"tensor {key!r} does not fit router 'learned' on this base")
        self._known = {key.partition("/")[2] for key in state}
