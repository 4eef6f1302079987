"""Which keyword arguments a pass of a stack takes.

A model of transformers accepts every argument and passes on those that it does not know: one with a typing error would
have no effect, and nothing would say so.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from inspect import Parameter, signature
from typing import Any, get_args

from transformers import PreTrainedModel
from transformers.utils.generic import TransformersKwargs

SHARED = TransformersKwargs.__optional_keys__ | {"return_dict", "shift_labels", "ignore_index", "token_type_ids"}
"""Arguments of every model of transformers that its signature need not name: its loss has two, tokenizers give one."""


def known_arguments(forward: Callable[..., Any], model: PreTrainedModel) -> frozenset[str]:
    """Return the arguments that a pass takes.

    Args:
        forward: that of the stack, whose own arguments these are.
        model: the base, or the base without its output embedding, to which the others are passed on. What an
            encoder-decoder takes besides, such as ``decoder_input_ids``, is not among them: a stack parts prompt and
            answer itself.
    """
    return _known((forward,) if model.config.is_encoder_decoder else (forward, type(model).forward))


def check_arguments(given: Iterable[str], known: Collection[str], called: str) -> None:
    """Refuse an argument that has no effect.

    Args:
        given: names of the arguments that a pass is given.
        known: those that it takes.
        called: what the pass is called, such as ``ModuleStack.forward``.

    Raises:
        TypeError: for the first one that it does not take, as Python says it, with the nearest that it does.
    """
    for name in given:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{called}() got an unexpected keyword argument {name!r}{hint}")


@cache
def _known(passes: tuple[Callable[..., Any], ...]) -> frozenset[str]:
    return SHARED.union(*map(_named, passes))


def _named(forward: Callable[..., Any]) -> Iterator[str]:
    """Yield the arguments that a signature names, and those of the typed dict in ``**kwargs: Unpack[...]``."""
    _, *parameters = signature(forward).parameters.values()  # self is no argument
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_KEYWORD:
            for typed in get_args(parameter.annotation):
                yield from getattr(typed, "__annotations__", ())
        else:
            yield parameter.name
