"""An adapter as a module of a stack: kinds that fit it, and the values of their tensors.

Every linear that the adapter changes gets a change of the same rank, the greatest one, and the same scale. Where the
adapter's own rank is smaller, or it has no change at a linear that the kind covers, B is zero: nothing is added there.
What PEFT saves of an embedding (a low-rank change, some rows, or all of it) is the product of a matrix with a row for
each token and one of hidden width: the ``embedding`` kind.

Shapes: R rank, I input dim, O output dim, V vocabulary, D hidden, N changed tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from growlm.base.architecture import Architecture
from growlm.errors import GrowlmError
from growlm.imports.adapter import Adapter, LowRank
from growlm.modules.embedding import Embedding
from growlm.modules.kind import ModuleKind
from growlm.modules.lora import Lora


@dataclass(frozen=True)
class ImportedModule:
    """Kinds of a module, and where its tensors are not what they are at first.

    Args:
        kinds: the kinds by name.
        values: by the tensor's name in the module, the values of its first rows and columns; the rest stays as it is.
    """

    kinds: dict[str, ModuleKind]
    values: dict[str, Tensor]


@dataclass(frozen=True)
class _Rows:
    """A change A B of a matrix with a row for each token.

    Args:
        A: [V, R].
        B: [R, D].
    """

    A: Tensor
    B: Tensor


def adapter_module(adapter: Adapter, architecture: Architecture) -> ImportedModule:
    """Build the module that changes a base as an adapter does.

    Args:
        adapter: the adapter.
        architecture: the base's.

    Returns:
        The module.

    Raises:
        GrowlmError: if the adapter changes a layer that the base does not have, has another shape, or changes what no
            module can.
    """
    embeddings = architecture.embeddings()
    linears = {path: change for path, change in adapter.low_rank.items() if path not in embeddings}
    kinds: dict[str, ModuleKind] = {}
    values: dict[str, Tensor] = {}
    if linears:
        kinds["lora"], own = _lora(linears, architecture)
        values |= {f"lora.{name}": value for name, value in own.items()}
    inputs, outputs = (_token_changes(adapter, path, architecture) for path in embeddings)
    if inputs is not None or outputs is not None:
        kinds["embedding"], own = _embedding(inputs, outputs, architecture)
        values |= {f"embedding.{name}": value for name, value in own.items()}
    others = sorted({*adapter.whole, *adapter.tokens} - set(embeddings))
    if others:
        raise GrowlmError(f"the adapter holds {others[0]} as a whole, which no module can: only embeddings can be")
    if not kinds:
        raise GrowlmError("the adapter changes nothing of this base")
    return ImportedModule(kinds, values)


def _lora(changes: Mapping[str, LowRank], architecture: Architecture) -> tuple[Lora, dict[str, Tensor]]:
    known = architecture.linear_sites(None, range(architecture.num_layers))
    for path, change in changes.items():
        if path not in known:
            raise GrowlmError(f"the adapter changes {path}, and this base has no such linear: it is of another base")
        out_features, in_features = architecture.linear_shape(path)
        _check_shape(path, (change.B.shape[0], change.A.shape[1]), (out_features, in_features))
    rank = max(change.rank for change in changes.values())
    alike = {(change.rank, change.scale) for change in changes.values()}
    scale = next(iter(alike))[1] if len(alike) == 1 else 1.0  # else each B takes its own scale in
    kind = Lora(
        rank=rank,
        alpha=scale * rank,
        target_modules=sorted({path.rpartition(".")[2] for path in changes}),
        layers=sorted({layer for path in changes if (layer := architecture.layer_of(path)) is not None}),
    )
    values: dict[str, Tensor] = {}
    for path, change in changes.items():
        values[f"{path}.A"] = change.A
        values[f"{path}.B"] = change.B if len(alike) == 1 else change.scale * change.B
    return kind, values


def _embedding(
    inputs: _Rows | None, outputs: _Rows | None, architecture: Architecture
) -> tuple[Embedding, dict[str, Tensor]]:
    paths = architecture.embeddings()
    tied = architecture.tied_embeddings() is not None
    if tied and outputs is not None and not (inputs is not None and _same(inputs, outputs)):
        raise GrowlmError(
            "the adapter changes the output embedding, which this base shares with its token embedding, in another way "
            "than that: no module can hold this"
        )
    found = {path: rows for path, rows in zip(paths, (inputs, outputs), strict=True) if rows is not None}
    rank = max(rows.A.shape[1] for rows in found.values())
    kind = Embedding(rank=rank, alpha=rank, outputs=outputs is not None)
    if tied:
        found.pop(paths[1], None)
    return kind, {f"{path}.{name}": getattr(rows, name) for path, rows in found.items() for name in ("A", "B")}


def _token_changes(adapter: Adapter, path: str, architecture: Architecture) -> _Rows | None:
    """Return the sum of what an adapter changes in one embedding; None if that is nothing."""
    weight_VD = cast(nn.Parameter, architecture.resolve(path).weight).detach().float().cpu()
    shape = tuple(weight_VD.shape)
    found: list[_Rows] = []
    tied = architecture.tied_embeddings()
    if path in adapter.low_rank:
        change = adapter.low_rank[path]
        # PEFT holds that of a token embedding transposed
        A_VR, B_RD = (change.A.T, change.B.T) if path == architecture.embeddings()[0] else (change.B, change.A)
        _check_shape(path, (A_VR.shape[0], B_RD.shape[1]), shape)
        found.append(_Rows(A_VR, change.scale * B_RD))
    if path in adapter.whole:
        _check_shape(path, tuple(adapter.whole[path].shape), shape)
        found += _difference(adapter.whole[path] - weight_VD)
    trained = adapter.tokens.get(tied[0] if tied else path)  # PEFT changes both of two embeddings that are one
    if trained is not None:
        _check_shape(path, (shape[0], *trained.rows.shape[1:]), shape)
        if not all(0 <= token < shape[0] for token in trained.tokens):
            raise GrowlmError(f"the adapter has rows for tokens beyond the {shape[0]} of this base's vocabulary")
        difference_VD = torch.zeros_like(weight_VD)
        difference_VD[list(trained.tokens)] = trained.rows - weight_VD[list(trained.tokens)]
        found += _difference(difference_VD)
    if not found:
        return None
    return _Rows(torch.cat([rows.A for rows in found], dim=1), torch.cat([rows.B for rows in found]))


def _difference(difference_VD: Tensor) -> Iterable[_Rows]:
    """Factor a difference exactly: by its changed rows if they are few, else with the identity."""
    changed_N = difference_VD.abs().sum(dim=1).nonzero().flatten()
    if not len(changed_N):
        return []
    num_tokens, width = difference_VD.shape
    if len(changed_N) >= width:
        return [_Rows(difference_VD, torch.eye(width))]
    return [_Rows(nn.functional.one_hot(changed_N, num_tokens).T.float(), difference_VD[changed_N])]


def _same(one: _Rows, other: _Rows) -> bool:
    return one.A.shape == other.A.shape and torch.equal(one.A, other.A) and torch.equal(one.B, other.B)


def _check_shape(path: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise GrowlmError(
            f"the adapter's change of {path} is {list(found)}, and this base has {list(expected)} there: it is of "
            "another base, or of one whose vocabulary was resized"
        )
