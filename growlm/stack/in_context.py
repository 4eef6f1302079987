"""Examples before the tokens of a pass, where a module on the active path holds some (kind ``demonstrations``).

The base reads them as if they were in the prompt; what a pass returns is of the given tokens alone. In a pass with an
empty key-value cache they are read once and stay in the cache; those that follow know it by the cache. Every row has
the examples of its own path, as many as leave room for what it is to hold in the end, the newest last: the oldest are
left out first. A row without any is computed as if nothing were there, up to rounding.

Shapes: B rows, T given tokens, N tokens before them, S tokens up to now, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache

from growlm.data.batches import IGNORED, padded
from growlm.errors import GrowlmError
from growlm.modules.context import ActivePath
from growlm.modules.demonstrations import DemonstrationsPart
from growlm.modules.site import Site

_MASK = "demonstrations_mask"
"""Attribute of a cache: which of the tokens before the given ones are read, Bool[B, N]."""


@dataclass(frozen=True)
class Given:
    """What a pass is given, as the base takes it.

    Args:
        input_ids: tokens, [B, T], or None with ``inputs_embeds``.
        attention_mask: 1 for tokens and 0 for padding on the left, [B, S]; None: no padding.
        position_ids: positions, [B, T]; None: the base counts them.
        past_key_values: the cache, if one is used.
        inputs_embeds: embeddings of the tokens, [B, T, D].
        logits_to_keep: of how many of the last tokens, or of which, logits are computed; 0: of all.
        labels: tokens to be predicted, [B, T].
        num_before: N of this pass.
    """

    input_ids: Tensor | None
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None
    past_key_values: DynamicCache | None = None
    inputs_embeds: Tensor | None = None
    logits_to_keep: int | Tensor = 0
    labels: Tensor | None = None
    num_before: int = 0

    @property
    def inputs(self) -> Tensor | None:
        """The tokens, or their embeddings."""
        return self.inputs_embeds if self.input_ids is None else self.input_ids

    @property
    def num_rows(self) -> int:
        """B."""
        return 0 if self.inputs is None else len(self.inputs)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the base's ``forward``."""
        return {**self.hidden_arguments(), "logits_to_keep": self.logits_to_keep, "labels": self.labels}

    def hidden_arguments(self) -> dict[str, Any]:
        """Return those that the base without its output embedding takes."""
        names = ("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds")
        return {name: getattr(self, name) for name in names}

    def own(self, output: Any) -> Any:
        """Leave out of what the base returns what is not of the given tokens."""
        if not self.num_before:
            return output
        every = isinstance(self.logits_to_keep, int) and self.logits_to_keep == 0
        for name in ("logits", "last_hidden_state") if every else ():
            if output.get(name) is not None:
                output[name] = output[name][:, self.num_before :]
        if output.get("hidden_states") is not None:
            output["hidden_states"] = tuple(states_BSD[:, self.num_before :] for states_BSD in output["hidden_states"])
        return output


def with_demonstrations(given: Given, site: Site, path: ActivePath, context_length: int) -> Given:
    """Put the examples of the active path before what a pass is given.

    Args:
        given: what it is given.
        site: the site at the token embedding.
        path: the active path.
        context_length: how many tokens the base can read at once.

    Returns:
        What the base is given instead: the same, if there are no examples.

    Raises:
        GrowlmError: for a mask that is not one of tokens.
    """
    cache, inputs = given.past_key_values, given.inputs
    if inputs is None:
        return given
    if cache is not None and cache.get_seq_length():
        mask_BN = getattr(cache, _MASK, None)
        return given if mask_BN is None else _continued(given, _for_rows(mask_BN, len(inputs)))
    held = [part for part in site.parts.values() if isinstance(part, DemonstrationsPart)]
    parts = [part for part in held if part.owner in path.modules]
    room = context_length - max(inputs.shape[1], path.num_tokens)
    rows = _rows(parts, path.rows, len(inputs), room)
    if not any(rows):
        return given
    tokens_BN, mask_BN = (tensor.to(inputs.device) for tensor in padded(rows, 0, left=True))
    if cache is not None:
        setattr(cache, _MASK, mask_BN.bool())
    num_before = tokens_BN.shape[1]
    continued = _continued(given, mask_BN.bool(), first=True)
    positions_BT = continued.position_ids
    if positions_BT is not None:
        before_BN = (mask_BN.cumsum(1) - 1).clamp_min(0)
        positions_BT = torch.cat([before_BN, positions_BT.expand(len(inputs), -1)], 1)
    if given.input_ids is None:
        embeds = torch.cat([site(tokens_BN).to(inputs.dtype), inputs], 1)
        continued = replace(continued, inputs_embeds=embeds)
    else:
        continued = replace(continued, input_ids=torch.cat([tokens_BN, given.input_ids], 1))
    if given.labels is not None:
        ignored_BN = torch.full_like(tokens_BN, IGNORED)
        continued = replace(continued, labels=torch.cat([ignored_BN, given.labels], 1))
    if isinstance(given.logits_to_keep, Tensor):
        continued = replace(continued, logits_to_keep=given.logits_to_keep + num_before)
    return replace(continued, position_ids=positions_BT, num_before=num_before)


def _rows(parts: list[DemonstrationsPart], masks: Mapping[str, Tensor], num_rows: int, room: int) -> list[list[int]]:
    """List the tokens of every row's examples, as many examples as there is room for."""
    found = {part.owner: part.examples() for part in parts}
    if not any(owner in masks for owner in found):
        return [_fitting([example for examples in found.values() for example in examples], room)] * num_rows
    return [
        _fitting(
            [example for owner, own in found.items() if owner not in masks or masks[owner][row] for example in own],
            room,
        )
        for row in range(num_rows)
    ]


def _fitting(examples: list[list[int]], room: int) -> list[int]:
    """Join the last ones that fit."""
    kept: list[list[int]] = []
    for example in reversed(examples):
        room -= len(example)
        if room < 0:
            break
        kept.insert(0, example)
    return [token for example in kept for token in example]


def _for_rows(mask_BN: Tensor, num_rows: int) -> Tensor:
    """Return the mask for the rows that there are now: of one path, others may have replaced them."""
    return mask_BN if len(mask_BN) == num_rows else mask_BN[:1].expand(num_rows, -1)


def _continued(given: Given, mask_BN: Tensor, first: bool = False) -> Given:
    """Shift the positions that are given, and extend the mask, where tokens come before."""
    inputs, mask_BS, positions_BT = cast(Tensor, given.inputs), given.attention_mask, given.position_ids
    num_rows, length = inputs.shape[:2]
    if mask_BS is not None and mask_BS.dim() != 2:
        raise GrowlmError(
            f"a mask of {mask_BS.dim()} dimensions cannot be extended by the examples that the path puts before the "
            "tokens: give one of rows and tokens"
        )
    past = 0 if first else cast(DynamicCache, given.past_key_values).get_seq_length() - mask_BN.shape[1]
    if not mask_BN.all():  # rows of different paths: nothing can be left to the base
        if mask_BS is None:
            mask_BS = torch.ones(num_rows, past + length, dtype=torch.long, device=inputs.device)
        if positions_BT is None:
            positions_BT = (mask_BS.cumsum(1) - 1).clamp_min(0)[:, -length:]
    if mask_BS is not None:
        mask_BS = torch.cat([mask_BN.to(mask_BS), mask_BS], 1)
    if positions_BT is not None:
        positions_BT = positions_BT + mask_BN.sum(1)[:, None]
    return replace(given, attention_mask=mask_BS, position_ids=positions_BT)
