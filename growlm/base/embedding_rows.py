"""Rows of an embedding that can be distinguished, also those of tokens that the training text never held.

A tied embedding learns of a token that never occurs only that it is never next, so the rows of all such tokens are
drawn to one vector. As inputs they are then the same, and no module on a frozen head can say one rather than another.
``separate_rows`` moves such rows apart where it costs next to nothing: along the directions in which the final hidden
states have the least energy, so that the logits on the text that the base knows hardly change.

Shapes: V vocabulary, D hidden, N chosen tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from growlm.terminal import counted

SAME = 0.98
"""Cosine above which two rows count as one."""
_AIM = 0.975  # what is written in bf16 stays below SAME
_STEP = 0.25  # of a row's length
_MAX_ROUNDS = 20
_CHUNK = 1_024


def rows_with_a_twin(weight_VD: Tensor, cosine: float = SAME) -> Tensor:
    """Find the rows that point in the same direction as another one.

    Args:
        weight_VD: the embedding.
        cosine: cosine above which two rows are twins.

    Returns:
        Whether each row has a twin, bool, [V].
    """
    unit_VD = torch.nn.functional.normalize(weight_VD.float(), dim=1)
    found_V = torch.zeros(len(unit_VD), dtype=torch.bool)
    for begin in range(0, len(unit_VD), _CHUNK):
        cosine_CV = unit_VD[begin : begin + _CHUNK] @ unit_VD.T
        cosine_CV.diagonal(begin).fill_(0)
        found_V[begin : begin + _CHUNK] = (cosine_CV > cosine).any(1).cpu()
    return found_V


def groups_of_twins(weight_VD: Tensor, token_ids: Sequence[int], cosine: float = SAME) -> list[list[int]]:
    """Group chosen tokens whose rows point in the same direction.

    Args:
        weight_VD: the output embedding.
        token_ids: the tokens that have to be distinguished.
        cosine: cosine above which two rows are twins.

    Returns:
        The groups of two tokens and more, chains of twins joined, the largest first.
    """
    rows_ND = torch.nn.functional.normalize(weight_VD[list(token_ids)].float(), dim=1)
    twins_NN = (rows_ND @ rows_ND.T > cosine).cpu()
    left = set(range(len(token_ids)))
    groups: list[list[int]] = []
    while left:
        group, reached = set[int](), {min(left)}
        while reached:
            group |= reached
            reached = {int(i) for i in twins_NN[sorted(reached)].any(0).nonzero()} - group
        left -= group
        if len(group) > 1:
            groups.append([token_ids[i] for i in sorted(group)])
    return sorted(groups, key=len, reverse=True)


def describe_twins(tokenizer: Any, groups: Sequence[Sequence[int]], limit: int = 8) -> str:
    """Name tokens that cannot be distinguished in one line.

    Args:
        tokenizer: the base's tokenizer.
        groups: see ``groups_of_twins``.
        limit: how many tokens of a group, and how many groups, are named.

    Returns:
        Such as ``'=' '#' '{' (and 9 more); '+' '*'``.
    """

    def named(group: Sequence[int]) -> str:
        more = f" (and {len(group) - limit} more)" if len(group) > limit else ""
        return " ".join(repr(str(tokenizer.decode([token]))) for token in group[:limit]) + more

    more = f"; and {counted(len(groups) - limit, 'more group')}" if len(groups) > limit else ""
    return "; ".join(named(group) for group in groups[:limit]) + more


@torch.inference_mode()
def final_states_moment(base: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]]) -> Tensor:
    """Add up the outer products of a base's final hidden states.

    Args:
        base: the model.
        batches: arguments of the model's forward pass, such as ``input_ids``.

    Returns:
        The sum, fp64, [D, D].
    """
    decoder: Any = base.get_decoder()
    embedding: Any = base.get_input_embeddings()
    width = int(embedding.weight.shape[1])
    total_DD = torch.zeros(width, width, dtype=torch.float64)
    training = base.training
    base.eval()
    for batch in batches:
        states_ND = decoder(**batch, use_cache=False).last_hidden_state.flatten(0, -2).double().cpu()
        total_DD += states_ND.T @ states_ND
    base.train(training)
    return total_DD


@torch.no_grad()
def separate_rows(base: PreTrainedModel, moment_DD: Tensor, seed: int) -> int:
    """Move the rows of an embedding that have a twin apart, in place.

    Every such row is moved by a quarter of its length in a random direction within the half of the directions that have
    the least energy, again and again until no row has a twin.

    Args:
        base: a model with tied embeddings.
        moment_DD: second moment of its final hidden states, see ``final_states_moment``.
        seed: seed of the directions.

    Returns:
        How many rows were moved.
    """
    weight_VD = cast(Tensor, base.get_input_embeddings().weight)
    _, directions_DD = torch.linalg.eigh(moment_DD)  # the least energy first
    quiet_DH = directions_DD[:, : len(moment_DD) // 2].float()
    generator = torch.Generator().manual_seed(seed)
    moved_V = torch.zeros(len(weight_VD), dtype=torch.bool)
    for _ in range(_MAX_ROUNDS):
        twins_V = rows_with_a_twin(weight_VD, _AIM)
        if not twins_V.any():
            break
        moved_V |= twins_V
        rows_ND = weight_VD[twins_V.to(weight_VD.device)]
        steps_ND = torch.randn(len(rows_ND), quiet_DH.shape[1], generator=generator) @ quiet_DH.T
        steps_ND *= _STEP * rows_ND.float().cpu().norm(dim=1, keepdim=True) / steps_ND.norm(dim=1, keepdim=True)
        weight_VD[twins_V.to(weight_VD.device)] += steps_ND.to(weight_VD)
    return int(moved_V.sum())
