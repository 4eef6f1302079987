"""General ability beside bits per byte, at the end of a cell: what has changed of what the bare base could do.

Three measurements, each by inference mode and each about the base's own business, for which the path is the bare base's
where the skill is named (``oracle``):

- ``divergence``: KL(bare base ‖ model) of a token in nats, on the first half of the stories that retention is measured
  on (the phases' option ``stories``).
- ``consistency``: share of TinyWorld's story probes of which the right ending is the likelier one, ``PROBES`` of each
  sort, the mean over sorts; see ``growlm.metrics.consistency``.
- ``ended`` and ``distinct_3``: of ``SAMPLES`` stories, sampled from the start token with temperature 0.8 and one seed
  for all, the share that the model ends within ``MAX_TOKENS`` tokens, and the mean share of distinct word 3-grams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from growlm.data.encode import prompt_frame
from growlm.manifest.path import Path
from growlm.metrics.consistency import decisions
from growlm.metrics.divergence import text_divergence
from growlm.metrics.samples import sample_shape, sample_stories
from growlm.skills.skill import Skill
from growlm.stack.stack import ModuleStack
from growlm.tinyworld.consistency import Probe, consistency_probes
from growlm.train.score_cache import ScoreCache

PROBES = 30
SAMPLES = 8
MAX_TOKENS = 200
_SEED = 0
BASE = "base"
General = dict[str, dict[str, float]]
"""By measurement, its value on the bare base (``base``) and by mode."""


def general_ability(stack: ModuleStack, memory: ScoreCache, stories: Skill | None, limit: int, routed: bool) -> General:
    """Measure general ability.

    Args:
        stack: the stack, with all its modules frozen.
        memory: what the cells of this process share.
        stories: the base's own text, if no skill trains its like; None: the divergence is not measured.
        limit: how many stories.
        routed: let the stack's router choose, too.

    Returns:
        The measurements.
    """
    found = {"consistency": _consistency(stack, memory, routed), **_samples(stack, memory, routed)}
    return found if stories is None else {"divergence": _divergence(stack, memory, stories, limit, routed), **found}


def _mode_paths(stack: ModuleStack, prompts: Sequence[Sequence[int]], routed: bool) -> dict[str, list[Path]]:
    """Return the path of each prompt about the base's own business, by mode."""
    fixed: dict[str, Path] = {BASE: (), "oracle": (), "all": stack.manifest.current()}
    paths = {mode: [path] * len(prompts) for mode, path in fixed.items()}
    return paths | ({"routed": stack.choose_paths(prompts)} if routed else {})


def _divergence(stack: ModuleStack, memory: ScoreCache, stories: Skill, limit: int, routed: bool) -> dict[str, float]:
    texts = [example.text or "" for example in islice(stories.examples("test"), limit)]
    paths = _mode_paths(stack, memory.turns(stack, stories, limit).prompts, routed)
    return {mode: text_divergence(stack, texts, chosen) for mode, chosen in paths.items()}


def _consistency(stack: ModuleStack, memory: ScoreCache, routed: bool) -> dict[str, float]:
    probes = list(consistency_probes(PROBES))
    paths = _mode_paths(stack, [_started(stack, probe.context) for probe in probes], routed)
    decided: dict[Path, list[bool]] = {}
    for path in {path for chosen in paths.values() for path in chosen}:
        with stack.active(*path):
            decided[path] = _on_path(
                stack, memory, path, "consistency", lambda: decisions(stack, stack.tokenizer, probes)
            )
    return {
        mode: _mean_over_sorts(probes, [decided[path][number] for number, path in enumerate(chosen)])
        for mode, chosen in paths.items()
    }


def _mean_over_sorts(probes: Sequence[Probe], decided: Sequence[bool]) -> float:
    by_sort: dict[str, list[bool]] = {}
    for probe, right in zip(probes, decided, strict=True):
        by_sort.setdefault(probe.sort, []).append(right)
    return sum(sum(found) / len(found) for found in by_sort.values()) / len(by_sort)


def _samples(stack: ModuleStack, memory: ScoreCache, routed: bool) -> General:
    shapes: dict[Path, dict[str, float]] = {}
    paths = {mode: chosen[0] for mode, chosen in _mode_paths(stack, [_started(stack, "")], routed).items()}
    for path in dict.fromkeys(paths.values()):
        with stack.active(*path):
            shapes[path] = _on_path(stack, memory, path, "samples", lambda: _shape(stack))
    return {key: {mode: shapes[path][key] for mode, path in paths.items()} for key in shapes[()]}


def _shape(stack: ModuleStack) -> dict[str, float]:
    samples = sample_stories(stack, stack.tokenizer, SAMPLES, _SEED, MAX_TOKENS)
    return asdict(sample_shape(samples, str(stack.tokenizer.eos_token)))


def _on_path(stack: ModuleStack, memory: ScoreCache, path: Path, what: str, compute: Any) -> Any:
    """Compute what is measured on a path; on the bare base once for all stacks on it."""
    if path:
        return compute()
    return memory.get_or_compute((what, stack.manifest.base.digest, str(stack.device), str(stack.dtype)), compute)


def _started(stack: ModuleStack, text: str) -> list[int]:
    before, after = prompt_frame(stack.tokenizer)
    encoded: Mapping[str, Any] = stack.tokenizer(text, add_special_tokens=False)
    return [*before, *encoded["input_ids"], *after]
