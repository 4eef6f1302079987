"""Rows of a batch on paths that the stack's router chose."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from growlm.errors import GrowlmError
from growlm.manifest.path import Path

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def choose_paths(stack: "ModuleStack", prompts: Sequence[Sequence[int]]) -> list[Path]:
    """Choose with a stack's router the path of each prompt.

    Args:
        stack: the stack.
        prompts: the prompts' tokens, each exactly as the model gets it.

    Returns:
        A path for each.

    Raises:
        GrowlmError: if the stack has no router.
    """
    if stack.router is None:
        raise GrowlmError("the stack has no router: name a path, or grow a skill with --router ridge")
    return stack.router.choose(stack, prompts)


@contextmanager
def routed_rows(stack: "ModuleStack", inputs: Tensor | None, settings: Mapping[str, Any]) -> Iterator[list[Path]]:
    """Activate for every row of a batch the path that the router chooses, for a ``with`` block.

    Args:
        stack: the stack.
        inputs: tokens of the prompts, [B, T]; None: ``input_ids`` of ``settings``.
        settings: what ``generate`` is called with: of it ``attention_mask`` tells tokens from padding, and beams and
            several answers to a prompt make more rows of one.

    Yields:
        The path of each prompt.

    Raises:
        GrowlmError: if the stack has no router, or there are no tokens.
    """
    input_ids_BT = settings.get("input_ids") if inputs is None else inputs
    if input_ids_BT is None:
        raise GrowlmError("rows can be routed by their tokens only: give input_ids")
    mask_BT = settings.get("attention_mask")
    prompts = [
        (row if mask_BT is None else row[mask_BT[number].bool()]).tolist() for number, row in enumerate(input_ids_BT)
    ]
    paths = choose_paths(stack, prompts)
    config = settings.get("generation_config") or stack.generation_config
    asked = (settings.get(key, getattr(config, key, None)) for key in ("num_beams", "num_return_sequences"))
    copies = max(number or 1 for number in asked)
    with stack.active_rows([path for path in paths for _ in range(copies)]):
        yield paths
