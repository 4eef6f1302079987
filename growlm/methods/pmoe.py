"""Progressive mixture of experts: each skill adds an expert to the deep layers and a gate to the router before them.

After Jung and Kim 2024, "PMoE: Progressive Mixture of Experts with Asymmetric Transformer for Continual Learning"
(arXiv 2407.21571): after its abstract, for the full text was not to be had. From there: shallow layers keep general
knowledge, low-rank experts are added one by one in the deep layers, and a router beside those sends each input to the
fitting ones with the weights of a softmax (``mixture: softmax``; ``gated`` is growlm's own, with weights of exactly
zero for what is not preferred to the bare base). growlm's own choices, all of them options: the boundary at 3/4 of the
depth; what the experts change and whether tokens or sequences are routed (``growlm/modules/experts.py`` has the
equations); how many columns the router has from the beginning; and what teaches the router:

    loss = task + λ / C sum_c mean over the tokens of skill c of -log softmax(0, l_1, ..., l_K)_c

with the task's loss of the new examples, and the logits l of all gates for the C skills there are, each known by
its own examples: the new skill's batch; a share ``replay`` of each old one's, kept as token ids in its module's folder
(nothing is said of them but whose they are; the answers count too, as their tokens are routed like any other); and, for
the bare base, texts that it is let write itself when a phase begins. Only the new expert and the new gate are
trained. The first phase also trains a low-rank change of the shallow layers (kind ``lora``), which stays as it is from
then on: so all older gates read the same states from then on. At inference all modules are active and the router inside
chooses.

Cost per step: forward through all experts, backward down to the boundary; with λ > 0, the shallow layers once more for
half a batch of old examples and the base's texts. Kept: those examples, 5 bytes per token.
Proved by tests/golden/test_pmoe.py and tests/contracts/test_every_method.py.

Shapes: B batch, T tokens, K gates.
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from growlm.data.batches import IGNORED, Batch, StepBatches, collate
from growlm.data.encode import Encoded
from growlm.errors import GrowlmError, check_at_least
from growlm.manifest.path import BASE, Path
from growlm.methods._replay_buffer import ReplayBuffer
from growlm.methods._sampling import sample_texts
from growlm.methods.method import Method
from growlm.modules.experts import GatePart, num_shallow_layers
from growlm.modules.kind import ModuleKind
from growlm.registry import module_kinds
from growlm.routing.gates import gates, run_shallow_layers
from growlm.skills.skill import Skill
from growlm.terminal import counted

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack

_OWN = "examples/"


def identity_loss(logits: Sequence[Tensor], is_token_BT: Tensor, targets_B: Tensor) -> Tensor:
    """Compute the mean cross-entropy of classifying each token's skill, in nats.

    Args:
        logits: each gate's logits, each [B, T]; zeros for the bare base are put before them.
        is_token_BT: which of them count, Bool[B, T].
        targets_B: the gate that is right for each row, counted from 0, -1 for the bare base, [B].

    Returns:
        The mean over the skills there are of the mean over their tokens, a scalar.
    """
    logits_BTK = torch.stack([torch.zeros_like(logits[0]), *logits], -1)
    targets_BT = (1 + targets_B)[:, None].expand_as(is_token_BT)
    losses_N = nn.functional.cross_entropy(logits_BTK[is_token_BT], targets_BT[is_token_BT], reduction="none")
    skills_N = targets_BT[is_token_BT]
    return torch.stack([losses_N[skills_N == skill].mean() for skill in skills_N.unique()]).mean()


class Pmoe(Method):
    """Adds one low-rank expert to the deep layers and one gate to the router before them, and trains only these.

    Args:
        rank: rank of the experts, and of the first phase's change of the shallow layers.
        boundary: share of the layers that are shallow.
        per: whether a ``token``'s weights come from that token, or from all of the ``sequence`` up to it.
        attention: let experts change the attention's linears too, not the feed-forward part's only.
        general: train a change of the shallow layers in the first phase.
        top_k: once trained, run only this many experts for a token; None: all that have any weight.
        identity: λ, how much telling the skills apart counts beside the task; 0: the task alone teaches the router.
        replay: share of each skill's examples that is kept for telling skills apart.
        base_texts: how many texts the bare base writes to be distinguished from the skills; 0: none.
        mixture: how the router's logits become weights: PMoE's ``softmax``, or ``gated``.
        num_experts: columns that a softmax has from the beginning: the modules there is room for, and one more.
    """

    inference = "all"

    def __init__(
        self,
        rank: int = 8,
        boundary: float = 0.75,
        per: Literal["token", "sequence"] = "sequence",
        attention: bool = False,
        general: bool = True,
        top_k: int | None = None,
        identity: float = 1.0,
        replay: float = 0.01,
        base_texts: int = 32,
        mixture: Literal["softmax", "gated"] = "softmax",
        num_experts: int = 16,
    ) -> None:
        check_at_least("pmoe identity", identity, 0)
        if not 0 <= replay <= 1:
            raise GrowlmError(f"pmoe replay {replay} is not a share: give one from 0 to 1, such as 0.01")
        check_at_least("pmoe base_texts", base_texts, 0)
        self.options: dict[str, Any] = {
            "rank": rank,
            "boundary": boundary,
            "per": per,
            "attention": attention,
            "top_k": top_k,
            "mixture": mixture,
            "num_experts": num_experts,
        }
        self.general = general
        self.identity = identity
        self.replay = replay
        self.base_texts = base_texts
        self._on: Path = ()
        self._name = ""
        self._pad_id = 0
        self._gates: dict[str, GatePart] = {}
        self._memory: dict[str, tuple[Encoded, ...]] = {}
        self._old_rows = 0
        self._kept_rows = 0
        self._rows_beside = 0

    @property
    def replayed_rows(self) -> int:
        """How many rows of older skills the skills were distinguished by; what the base itself wrote is none."""
        return self._old_rows

    @property
    def extra_forward_rows(self) -> int:
        """How many rows were looked at to tell skills apart."""
        return self._rows_beside

    @property
    def generated_rows(self) -> int:
        """How many texts the bare base has written."""
        return len(self._memory.get(BASE, ()))

    @property
    def kept_rows(self) -> int:
        """How many examples of all skills are kept for telling them apart."""
        return self._kept_rows

    def grow_on(self, stack: "ModuleStack", on: Path) -> Path:
        """Return the path that was asked for; see ``Method.grow_on``."""
        self._on = on
        return on

    def build(self, stack: "ModuleStack", skill: Skill) -> dict[str, ModuleKind]:
        """Build an expert and its gate, in the first phase a change of the shallow layers too.

        Raises:
            GrowlmError: if the path's experts are weighed otherwise, or their router has no room left.
        """
        self._check_room(stack)
        kinds: dict[str, ModuleKind] = {"experts": module_kinds.build("experts", self.options)}
        if self.general and not any(name in gates(stack) for name in self._on):
            shallow = list(range(num_shallow_layers(stack.architecture.num_layers, self.options["boundary"])))
            kinds["lora"] = module_kinds.build("lora", {"rank": self.options["rank"], "layers": shallow})
        return kinds

    def _check_room(self, stack: "ModuleStack") -> None:
        mixture, room = self.options["mixture"], self.options["num_experts"]
        found = gates(stack)
        specs = [found[name].spec for name in self._on if name in found]
        for spec in specs:
            if spec.weighting != mixture or (mixture == "softmax" and spec.num_experts != room):
                size = f" and num_experts {spec.num_experts}" if spec.weighting == "softmax" else ""
                raise GrowlmError(
                    f"the path's experts were grown with mixture {spec.weighting!r}{size}, and this phase asks for "
                    f"{mixture!r} and num_experts {room}: give the same in method_options"
                )
        if mixture == "softmax" and len(specs) + 2 > room:
            raise GrowlmError(
                f"the router has room for {counted(room - 1, 'expert')}, and the path has {len(specs)}: grow on "
                "fewer, or begin with a larger num_experts"
            )

    def begin(self, stack: "ModuleStack", name: str, batches: StepBatches) -> None:
        """Read the examples that were kept of the older skills, and let the bare base write."""
        self._name = name
        self._pad_id = batches.pad_id
        found = gates(stack)
        self._gates = {
            member: found[member] for member in stack.path if member in found and found[member].spec == found[name].spec
        }
        keepers = [
            record.name
            for record in stack.manifest.modules
            if record.name in self._gates and any(key.startswith(_OWN) for key in record.method_tensors)
        ]
        if self.identity == 0:
            return
        memory = {keeper: ReplayBuffer.kept_by(stack, keeper, _OWN).examples for keeper in keepers}
        memory[BASE] = sample_texts(stack, (), self.base_texts, f"pmoe/{batches.seed}/{name}")
        self._memory = {owner: examples for owner, examples in memory.items() if examples}

    def loss(self, stack: "ModuleStack", batch: Batch) -> Tensor:
        """Add telling the skills apart to the loss of plain training; see ``Method.loss``."""
        loss = super().loss(stack, batch)
        if self.identity == 0:
            return loss
        ends_B = ((batch.labels != IGNORED) * torch.arange(1, 1 + batch.labels.shape[1], device=loss.device)).amax(1)
        new = self._identity_loss(ends_B, [self._name] * len(ends_B))
        if not self._memory:
            return loss + self.identity * new
        drawn = self._drawn(max(1, len(ends_B) // 2))
        self._rows_beside += len(drawn)
        self._old_rows += sum(owner != BASE for owner, _ in drawn)
        old = collate([example for _, example in drawn], self._pad_id).to(loss.device)
        run_shallow_layers(stack, old.input_ids, self._gates[self._name].spec.boundary)
        ends_B = torch.tensor([len(example.input_ids) for _, example in drawn], device=loss.device)
        owners = [owner for owner, _ in drawn]
        num_old = len({*owners})
        return loss + self.identity * (new + num_old * self._identity_loss(ends_B, owners)) / (1 + num_old)

    def _identity_loss(self, ends_B: Tensor, owners: Sequence[str]) -> Tensor:
        """Compute how badly the gates classify the skills of the last pass."""
        logits = [gate.logits() for gate in self._gates.values()]
        places_T = torch.arange(logits[0].shape[1], device=ends_B.device)
        numbers = {BASE: -1} | {name: number for number, name in enumerate(self._gates)}
        targets_B = torch.tensor([numbers[owner] for owner in owners], device=ends_B.device)
        return identity_loss(logits, places_T < ends_B[:, None], targets_B)

    def _drawn(self, count: int) -> list[tuple[str, Encoded]]:
        """Draw examples, of the base and every old skill with the same probability, with their modules."""
        owners = list(self._memory)
        drawn = [owners[index] for index in torch.randint(len(owners), (count,)).tolist()]
        return [(owner, self._memory[owner][int(torch.randint(len(self._memory[owner]), ()))]) for owner in drawn]

    def end(self, stack: "ModuleStack", batches: StepBatches) -> dict[str, Tensor]:
        """Keep some of this phase's examples."""
        if self.replay == 0:
            return {}
        generator = random.Random(f"pmoe/{batches.seed}/{self._name}")
        before = sum(len(examples) for owner, examples in self._memory.items() if owner != BASE)
        kept = ReplayBuffer().after(batches.examples, "reservoir", self.replay, None, generator)
        self._kept_rows = before + len(kept.examples)
        return {_OWN + key: value for key, value in kept.to_tensors().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        return {"replayed_rows": self._old_rows, "extra_forward_rows": self._rows_beside}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._old_rows, self._rows_beside = state["replayed_rows"], state["extra_forward_rows"]
