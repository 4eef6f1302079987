"""General ability beside bits per byte: how far a model has moved from the bare base, and what its stories look like.

Measured after the last phase, in the mode that the method's authors intend; see ``growlm.bench.run.general``.
"""

import math

from growlm.bench.report.cell_metric import CellMetric, MetricGroup
from growlm.bench.run.general import BASE, MAX_TOKENS, PROBES, SAMPLES
from growlm.bench.run.result import CellResult


def _change(key: str, cell: CellResult) -> float:
    measured = cell.general.get(key, {})
    return measured.get(cell.mode, math.nan) - measured.get(BASE, math.nan)


DIVERGENCE = CellMetric(
    "divergence",
    "KL from base, nats ↓",
    "KL divergence of the next token's distribution from the bare base's, KL(base ‖ model), mean over the tokens of "
    "stories that no skill trains (the phases' option stories): 0 says that the model still writes as the base does.",
    lambda cell: _change("divergence", cell),
    reason="needs a text no skill trains: --phase stories",
)
GENERAL = MetricGroup(
    "general",
    "General ability: changes from the bare base, in each method's own mode",
    (
        DIVERGENCE,
        CellMetric(
            "consistency",
            "story consistency, points ↑",
            f"Change of the share of TinyWorld's story probes ({PROBES} of each sort) of which the ending that agrees "
            "with the story is likelier than the one that contradicts it; chance is 50 %. The probes are made of words "
            "that the skills memory and chat train, too: a rise may be theirs.",
            lambda cell: _change("consistency", cell),
            1,
            100,
        ),
        CellMetric(
            "distinct_3",
            "distinct 3-grams, points",
            f"Change of the mean share of distinct word 3-grams in {SAMPLES} stories of at most {MAX_TOKENS} tokens, "
            "sampled from the start token (temperature 0.8, one seed for all cells). Below 0: it repeats itself; above "
            "0: its stories are shorter or less of a piece than the base's.",
            lambda cell: _change("distinct_3", cell),
            1,
            100,
        ),
        CellMetric(
            "ended",
            "ended stories, points",
            "Change of the share of these stories that the model ends by itself; neither side is better, far from 0 is "
            "another habit than the base's.",
            lambda cell: _change("ended", cell),
            0,
            100,
        ),
    ),
    "Of few samples per cell: a change of 3-grams or ended stories is to be read over all cells of an entry.",
)
