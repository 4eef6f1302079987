"""Options that are values: parsing them never imports or builds what they name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def plain_values() -> Iterator[None]:
    """Keep the values of ``dict`` and ``Any`` options as they are while jsonargparse parses, for a ``with`` block.

    Without it jsonargparse imports, and later builds, whatever such a value names under ``class_path``.
    """
    import jsonargparse._typehints

    module: Any = jsonargparse._typehints  # no public setting stops the import
    resolve = module.adapt_classes_any
    module.adapt_classes_any = lambda value, *_arguments, **_options: value
    try:
        yield
    finally:
        module.adapt_classes_any = resolve
