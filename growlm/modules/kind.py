"""What a kind of module is: options, and a rule that builds its parts."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from growlm.base.architecture import Architecture
from growlm.base.quantize import Quantization
from growlm.errors import GrowlmError
from growlm.modules.site import Part
from growlm.registry import module_kinds


class ModuleKind(ABC):
    """One kind of module; a subclass is a frozen dataclass whose fields are the kind's options.

    Attributes:
        any_weights: it need not know the weights of the base's linears, so that these can be held in fewer bits.
        per_token: its parts act on each token by itself, so that examples can share rows.
        per_layer: no part needs what a part of another layer computes, so that a layer can be computed again alone.
        holds_examples: its parts hold examples, or what was computed of them, and no weights.
        adds_tokens: the stack puts tokens that its parts hold before those that it is given.
        encoder_decoder: its parts fit the layers of an encoder-decoder, too.
    """

    any_weights: ClassVar[bool] = False
    per_token: ClassVar[bool] = False
    per_layer: ClassVar[bool] = False
    holds_examples: ClassVar[bool] = False
    adds_tokens: ClassVar[bool] = False
    encoder_decoder: ClassVar[bool] = False

    @abstractmethod
    def build(self, architecture: Architecture, num_blocks: int, generator: torch.Generator | None) -> dict[str, Part]:
        """Build the parts of a new module.

        Args:
            architecture: the base's attach points.
            num_blocks: how many slots in the key-value cache earlier modules have, one for each decoder layer that they
                have inserted, mostly (new ones take those after them).
            generator: source of the initial values; None when they are about to be read from a file.

        Returns:
            For each site, by its stock path in the base, the part to attach there; each leaves the site's output
            unchanged bit for bit.

        Raises:
            GrowlmError: if the options do not fit this base.
        """

    def options(self) -> dict[str, Any]:
        """Return the options as JSON holds them; building from them again gives the same parts."""
        assert is_dataclass(self)
        return {
            key: list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value
            for key, value in asdict(cast(Any, self)).items()
        }


def check_quantized(kinds: Mapping[str, ModuleKind], how: Quantization | None) -> None:
    """Refuse kinds that have to know the weights of a base that is held in fewer bits.

    Args:
        kinds: the kinds, by name.
        how: how the base is held; None: as it is stored.

    Raises:
        GrowlmError: naming them, and the kinds that can be used.
    """
    others = [name for name, kind in kinds.items() if not kind.any_weights]
    if how is not None and others:
        usable = [name for name in module_kinds if module_kinds.get(name).any_weights]
        raise GrowlmError(
            f"{', '.join(others)} needs the weights of the base, which is held in {how}: use {', '.join(usable)}"
        )


def check_encoder_decoder(kinds: Mapping[str, ModuleKind], architecture: Architecture) -> None:
    """Refuse kinds that do not fit an encoder-decoder, if the base is one.

    Args:
        kinds: the kinds, by name.
        architecture: the base's attach points.

    Raises:
        GrowlmError: naming them, and the kinds that can be used.
    """
    others = [name for name, kind in kinds.items() if not kind.encoder_decoder]
    if architecture.has_encoder and others:
        usable = [name for name in module_kinds if module_kinds.get(name).encoder_decoder]
        raise GrowlmError(f"{', '.join(others)} cannot be attached to an encoder-decoder: use {', '.join(usable)}")


def uniform(rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    """Draw a matrix as ``torch.nn.Linear`` does, uniformly up to 1 / sqrt(columns).

    Args:
        rows: size of what is computed.
        columns: size of the input.
        generator: source of the values.

    Returns:
        The matrix, [rows, columns]; on the meta device, where every operation takes its time, sizes alone.
    """
    drawn_RC = torch.rand(rows, columns, generator=generator)
    return drawn_RC if drawn_RC.is_meta else (drawn_RC * 2 - 1) * (1 / math.sqrt(columns))
