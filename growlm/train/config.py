"""The options of a phase, each written once: command line, recipes, help, records and checks are read from here."""

import ast
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from growlm.data.sources import is_own_data, name_of_data, skill_of_data
from growlm.errors import GrowlmError, check_at_least
from growlm.files import check_name
from growlm.manifest.recorded_skill import portable

NO_ROUTER = "none"
BASE_SKILL = "stories"
_FROM = {
    "batch_size": 1,
    "max_length": 2,
    "num_scored": 1,
    "validate_every": 0,
    "patience": 0,
    "checkpoint_every": 0,
    "checkpoint_seconds": 0,
}
_OWN_DATA = ("jsonl", "hub", "rows")
_BETWEEN = {
    "learning_rate": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "warmup": (0.0, 1.0),
    "curriculum": (0.0, 1.0),
}
# what a result is not a function of: where things are, and how often the state is saved
_NOT_RECORDED = (
    *("stack", "base", "tokenizer", "restart", "dry_run", "trust_data"),
    *("checkpoint_every", "checkpoint_seconds"),
)
# the group of an option in the help
_WHAT = {"group": "what is learned"}
_BASE = {"group": "what it is learned on"}
_HOW = {"group": "how"}
_TRAINING = {"group": "training"}
_VALIDATION = {"group": "validation"}
_SCORES = {"group": "scores and router"}


@dataclass(frozen=True)
class PhaseConfig:
    """The options of a phase.

    Raises:
        GrowlmError: for a value out of range.
    """

    skill: str = field(metadata=_WHAT)
    """Name of the skill, or data of your own: a file, a folder, a glob, or a data set's id on the hub."""
    skill_options: dict[str, Any] = field(default_factory=dict, metadata=_WHAT)
    """Options of the skill."""
    name: str | None = field(default=None, metadata=_WHAT)
    """Name of the new module (default: the skill's)."""
    stack: Path = field(default=Path("checkpoints/stack"), metadata=_BASE)
    """Folder of the stack; created if it does not exist."""
    base: str | None = field(default=None, metadata=_BASE)
    """Base of a new stack: name of a shipped one, a folder or a Hugging Face id (default: the shipped default base)."""
    tokenizer: str | None = field(default=None, metadata=_BASE)
    """Where the base's tokenizer is, a folder or a Hugging Face id, if not with the base."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = field(default=None, metadata=_BASE)
    """What the frozen base is held in (default: float32, or bfloat16 for a base in fewer bits)."""
    quantization: Literal["int8", "nf4"] | None = field(default=None, metadata=_BASE)
    """Hold the linears of the base in 8 or 4 bits: int8 needs torchao, nf4 bitsandbytes."""
    parents: str = field(default="all", metadata=_BASE)
    """Modules to grow on: all, none, or names joined by +."""
    method: str = field(default="grow", metadata=_HOW)
    """Continual-learning method."""
    method_options: dict[str, Any] = field(default_factory=dict, metadata=_HOW)
    """Options of the method."""
    strict: bool = field(default=False, metadata=_WHAT)
    """Refuse keys of your own data that nothing is made of, instead of listing them."""
    on_bad: Literal["error", "skip"] = field(default="error", metadata=_WHAT)
    """What to do with a bad row of your own data: refuse it, or leave it out and count it."""
    batch_size: int = field(default=16, metadata=_TRAINING)
    """Examples per batch."""
    max_length: int = field(default=512, metadata=_TRAINING)
    """Greatest number of tokens of an example; a longer text becomes several."""
    packing: bool = field(default=True, metadata=_TRAINING)
    """Let the examples of a batch share rows, where neither method nor module depends on rows."""
    compile: bool | Literal["auto"] = field(default="auto", metadata=_TRAINING)
    """Compile the decoder layers for packed rows on a CPU (auto: in a phase long enough for it)."""
    gradient_checkpointing: bool = field(default=False, metadata=_TRAINING)
    """Compute each decoder layer again for its gradients: less memory, a third more time."""
    cache_hidden_states: bool = field(default=False, metadata=_TRAINING)
    """Keep what the frozen layers below the module compute, in bf16, and read it back from the second epoch on."""
    epochs: float | None = field(default=None, metadata=_TRAINING)
    """Times that every training example is read, instead of a number of steps."""
    curriculum: float = field(default=0.0, metadata=_TRAINING)
    """How far the first epoch goes from short answers to long ones, from 0 (in random order) to 1 (sorted)."""
    dry_run: bool = field(default=False, metadata=_TRAINING)
    """Say what would be trained (examples, tokens, lengths, epochs), and write nothing."""
    validate_every: int = field(default=0, metadata=_VALIDATION)
    """Steps between two measurements of the loss on the skill's validation split; 0: none."""
    keep_best: bool = field(default=False, metadata=_VALIDATION)
    """Keep the module of the lowest validation loss instead of the last one."""
    patience: int = field(default=0, metadata=_VALIDATION)
    """Measurements in a row without a lower validation loss after which the training ends; 0: it never does."""
    learning_rate: float = field(default=2e-3, metadata=_TRAINING)
    """Highest learning rate of AdamW."""
    weight_decay: float = field(default=0.0, metadata=_TRAINING)
    """Weight decay of AdamW."""
    warmup: float = field(default=0.05, metadata=_TRAINING)
    """Share of the steps in which the learning rate rises, 0 to 1."""
    num_scored: int = field(default=100, metadata=_SCORES)
    """Test examples of each skill that are scored, before and after."""
    rescore: bool = field(default=True, metadata=_SCORES)
    """Score the older skills and the base's own text again when the phase is finished."""
    metric: str | None = field(default=None, metadata=_SCORES)
    """Score the skill by token_accuracy or loss, which generate no answers, instead of its own metric."""
    router: str = field(default="ridge", metadata=_SCORES)
    """Router that learns to choose the new module, or none to leave the stack's router as it is."""
    router_options: dict[str, Any] = field(default_factory=dict, metadata=_SCORES)
    """Options of the router."""
    stories: str | None = field(default=None, metadata=_SCORES)
    """Text file to measure the base's retention on, documents separated by <|endoftext|> (default: TinyWorld)."""
    seed: int = field(default=0, metadata=_HOW)
    """Seed of all randomness."""
    restart: bool = field(default=False, metadata=_TRAINING)
    """Discard an unfinished phase of this stack."""
    trust_data: bool = field(default=False, metadata=_WHAT)
    """Read the data files and hub ids that the records of a stranger's stack name."""
    checkpoint_every: int = field(default=50, metadata=_TRAINING)
    """Steps between two saves of the training state; 0: none."""
    checkpoint_seconds: float = field(default=60.0, metadata=_TRAINING)
    """Seconds after which the training state is saved in any case; 0: never."""

    def __post_init__(self) -> None:
        """Complete the names and check the values."""
        if is_own_data(self.skill):
            self._set("name", self.name or name_of_data(self.skill))
            skill, options = skill_of_data(self.skill)
            self._set("skill_options", {**options, **(self.skill_options or {})})
            self._set("skill", skill)
        if self.strict or self.on_bad != "error":
            if self.skill not in _OWN_DATA:
                raise GrowlmError(f"strict and on_bad are for data of your own, which {self.skill!r} does not read")
            self._set("skill_options", {**self.skill_options, "strict": self.strict, "on_bad": self.on_bad})
        self._set("name", check_name(self.name or self.skill, "module"))
        self._set("stack", Path(self.stack))
        self._set("router", self.router or "none")  # as null in a recipe
        for key in ("skill_options", "method_options", "router_options"):
            self._set(key, dict(getattr(self, key) or {}))
        if self.name == BASE_SKILL:
            raise GrowlmError(f"a module named {BASE_SKILL!r} would hide the base's own scores: give another --name")
        for key, smallest in _FROM.items():
            check_at_least(key, getattr(self, key), smallest)
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise GrowlmError(f"epochs {self.epochs} is not a number of times: give one above 0")
        if (self.keep_best or self.patience) and not self.validate_every:
            raise GrowlmError("keep_best and patience need the validation loss: give validate_every, in steps")
        for key, (least, most) in _BETWEEN.items():
            value = getattr(self, key)
            check_at_least(key, value, least)
            if not (math.isfinite(value) and value <= most):
                raise GrowlmError(f"{key} {value} is too large: give {'a finite number' if most > 1 else f'{most:g}'}")
        if not self.learning_rate * self.weight_decay < 1:
            raise GrowlmError(
                f"weight_decay {self.weight_decay} at learning_rate {self.learning_rate} would turn every weight's "
                "sign in one step: their product must be less than 1"
            )

    @property
    def module(self) -> str:
        """The new module's name."""
        assert self.name is not None
        return self.name

    def recorded(self) -> dict[str, Any]:
        """Return what the result is a function of, as the manifest keeps it: files by name, their content by digest."""
        return portable({key: value for key, value in asdict(self).items() if key not in _NOT_RECORDED})

    def _set(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value)


_OLD_NAMES = {"on": "parents"}
"""Options of version 0.1.0, and what they are called now."""
OLD_OPTIONS = {"trainer.checkpoint_every": "model.checkpoint_every", "model.on": "model.parents"}
"""Keys of the command line and of recipes of version 0.1.0, and where they are now."""


def option_names() -> list[str]:
    """List the options in order."""
    return [option.name for option in fields(PhaseConfig)]


@cache
def option_help() -> dict[str, str]:
    """Read what each option means from the line below its definition."""
    body: list[Any] = ast.parse(inspect.getsource(PhaseConfig)).body[0].body  # type: ignore[attr-defined]
    documented = [
        pair for pair in pairwise(body) if isinstance(pair[0], ast.AnnAssign) and isinstance(pair[1], ast.Expr)
    ]
    return {option.target.id: line.value.value for option, line in documented}


def current_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Rename options that were written under a name of version 0.1.0."""
    return {_OLD_NAMES.get(key, key): value for key, value in options.items()}


def difference(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which settings of a recorded phase differ from those of another; empty: none.

    Args:
        there: the recorded settings; what version 0.1.0 did not record is not compared.
        now: the settings of now.
    """
    there = portable(current_names(there))
    changed = sorted(key for key in there if there[key] != json.loads(json.dumps(now.get(key))))
    return ", ".join(f"{key} {there[key]!r}, now {now.get(key)!r}"[:120] for key in changed)
