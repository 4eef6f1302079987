"""Sequential exposure: what a method keeps of the past and sees again, in rows and bytes."""

import math

from growlm.bench.report.cell_metric import CellMetric, MetricGroup
from growlm.bench.run.result import CellResult

_AT_ONCE = "all skills are there at once"


def _sum(key: str, cell: CellResult) -> float:
    """Add up a cost over the phases; NaN where one has not recorded it, or there is one phase of all skills."""
    values = [phase.get(key) for phase in cell.costs]
    return math.nan if cell.at_once or None in values else float(sum(value for value in values if value is not None))


def _last(key: str, cell: CellResult) -> float:
    """Return a cost as it is after the last phase; NaN likewise."""
    value = cell.costs[-1].get(key)
    return math.nan if cell.at_once or value is None else float(value)


EXPOSURE = MetricGroup(
    "exposure",
    "Sequential exposure",
    (
        CellMetric(
            "kept_rows",
            "kept rows ↓",
            "Examples that lie in the stack after the last phase, as token ids or as hidden states.",
            lambda cell: _last("kept_rows", cell),
            0,
            at_once=_AT_ONCE,
        ),
        CellMetric(
            "reread_rows",
            "re-read rows ↓",
            "Rows of earlier skills' examples that all phases trained on, each as often as it was drawn. What is read "
            "with every prompt after training (k_shot, knn_lm) is not among them: it is kept.",
            lambda cell: _sum("replayed_rows", cell),
            0,
            at_once=_AT_ONCE,
        ),
        CellMetric(
            "generated_rows",
            "generated rows",
            "Rows that a model wrote to be learned from: texts of the model before, own answers, or those of a group. "
            "No old example is needed for them; they cost time.",
            lambda cell: _sum("generated_rows", cell),
            0,
            at_once=_AT_ONCE,
        ),
        CellMetric(
            "kept_bytes",
            "kept, kB ↓",
            "Files of what the method keeps for later phases beside weights (examples, importance, directions), and of "
            "modules that are examples themselves, in thousand bytes after the last phase.",
            lambda cell: _last("kept_bytes", cell),
            1,
            1e-3,
            at_once=_AT_ONCE,
        ),
    ),
    "The desideratum is the share of own rows; these are the amounts.",
)
