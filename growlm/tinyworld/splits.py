"""Which split a combination belongs to, decided by the combination itself and nothing else."""

from hashlib import blake2b

from growlm.data.example import Split

_TRAIN: tuple[Split, ...] = ("train",)
_TENTHS: tuple[Split, ...] = ("validation", "test", *(_TRAIN * 8))


def owner(*parts: str) -> Split:
    """Gives the one split in which a combination may occur: eight tenths train, a tenth each for the others.

    Args:
        parts: the combination, such as ``("ball", "garden")``.

    Returns:
        Its split; the same on every machine.
    """
    return _TENTHS[blake2b("\n".join(parts).encode(), digest_size=2).digest()[0] % 10]
