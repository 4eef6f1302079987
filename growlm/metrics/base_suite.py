"""What a bare base is worth: bits per byte, BLiMP, and whether its stories are consistent."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlm.data.text import read_documents
from growlm.files import file_digest
from growlm.metrics.bits_per_byte import bits_per_byte
from growlm.metrics.blimp import Blimp, blimp
from growlm.metrics.consistency import Consistency, consistency
from growlm.terminal import counted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIRST = 120
"""How many stories the quick measurement of bits per byte takes."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class StoryBits:
    """Bits per byte on a file of stories.

    Args:
        file: the file's name.
        sha256: its digest.
        stories: how many it holds.
        bits_per_byte: over all of them.
        bits_per_byte_first: over the first ``FIRST``.
    """

    file: str
    sha256: str
    stories: int
    bits_per_byte: float
    bits_per_byte_first: float


@dataclass(frozen=True)
class BaseSuite:
    """What one model measured; what there was no data for is None.

    Args:
        stories: bits per byte.
        blimp: grammatical minimal pairs.
        consistency: TinyWorld's story probes.
    """

    stories: StoryBits | None
    blimp: Blimp | None
    consistency: Consistency

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON holds them."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """List metrics and their values, as a table prints them."""
        rows: list[tuple[str, str]] = []
        if self.stories is not None:
            first = min(FIRST, self.stories.stories)
            read = counted(self.stories.stories, "story", "stories")
            rows.append((f"bits per byte ↓, {read}", f"{self.stories.bits_per_byte:.4f}"))
            rows.append((f"bits per byte ↓, first {first}", f"{self.stories.bits_per_byte_first:.4f}"))
        if self.blimp is not None:
            rows.append((f"BLiMP ↑, {counted(len(self.blimp.files), 'file')}", f"{self.blimp.accuracy:.1%}"))
            rows += [(f"  {name}", f"{share:.1%}") for name, share in self.blimp.phenomena.items()]
        probes = counted(self.consistency.probes, "probe")
        rows.append((f"story consistency ↑, {probes}", f"{self.consistency.accuracy:.1%}"))
        rows += [(f"  {name}", f"{share:.1%}") for name, share in self.consistency.sorts.items()]
        return rows


def base_suite(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    stories: Path | None = None,
    blimp_folder: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> BaseSuite:
    """Measure a causal language model; the same inputs give the same digits.

    Args:
        model: any causal language model whose output has ``logits``.
        tokenizer: its tokenizer.
        stories: text with ``<|endoftext|>`` lines between the stories, never trained on; None: left out.
        blimp_folder: BLiMP's files; None: left out.
        limit: greatest number of stories, from the first on, pairs of each file, and probes of each sort.
        progress: called with what is being measured and the share of it that is done.

    Returns:
        The scores.

    Raises:
        GrowlmError: if a file is missing, empty or malformed.
    """

    def tell(what: str) -> Callable[[float], None] | None:
        return None if progress is None else lambda share: progress(what, share)

    bits = None if stories is None else _story_bits(model, tokenizer, stories, limit, tell("bits per byte"))
    pairs = None
    if blimp_folder is not None:
        pairs = blimp(model, tokenizer, blimp_folder, limit=limit, progress=tell("BLiMP"))
    probes = {} if limit is None else {"per_sort": limit}
    return BaseSuite(bits, pairs, consistency(model, tokenizer, progress=tell("story consistency"), **probes))


def _story_bits(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    file: Path,
    limit: int | None,
    progress: Callable[[float], None] | None,
) -> StoryBits:
    texts = list(islice(read_documents(file), limit))
    everything = bits_per_byte(model, tokenizer, texts, progress=progress)
    first = everything if len(texts) <= FIRST else bits_per_byte(model, tokenizer, texts[:FIRST])
    return StoryBits(file.name, file_digest(file), len(texts), everything, first)
