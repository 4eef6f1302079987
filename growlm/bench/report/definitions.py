"""What the heads of a report's columns mean, each written once; metrics with a home of their own bring their own."""

from collections.abc import Iterable, Mapping, Sequence

from growlm.bench.report.cell_metric import MetricGroup
from growlm.bench.report.desiderata import BLIMP, DESIDERATA
from growlm.bench.report.efficiency import PEAK, STORED
from growlm.bench.report.general import DIVERGENCE
from growlm.bench.report.plasticity import DEFINITIONS as PLASTICITY
from growlm.bench.report.reference_lines import RANGE
from growlm.bench.report.table import Table

TITLES = {
    "ap": "AP ↑",
    "bwt": "BWT ↑",
    "forgetting": "forgetting ↓",
    "learning_accuracy": "learning accuracy ↑",
    "fwt": "FWT ↑",
}
DEFINED = {
    "ap": "mean score over all skills after the last phase.",
    "learning_accuracy": "mean score of each skill right after its own phase.",
    "bwt": "mean change of a skill's score from right after its own phase to the end; negative means forgotten.",
    "forgetting": "mean fall from a skill's best score to its last one; never negative, lower is better.",
    "fwt": "mean gain over the bare base on a skill before its own phase, from the phases before it; positive means "
    "they helped.",
}
"""What the keys of ``TITLES`` mean."""
MODE_TITLES = {
    "oracle": "oracle (the skill is given)",
    "routed": "routed (the router chooses)",
    "all": "all (all modules are active)",
}
COMPOSITES, ROUTING, SHARE = "composites ↑", "routing accuracy ↑", "share of range, %"
COMPOSITES_DEFINED = "mean score on tasks that need several skills and that nothing was trained on."
SECONDS, CELLS = "training, s", "cells"
ARROWS = "Arrows point to the better side."
SPREAD = (
    "± is the standard deviation (n - 1) over seeds and orders, or over seeds alone where the order changes nothing."
)
COMMON = {
    "method": "An entry of the benchmark: a method with its settings.",
    "mode": f"How it answers, as the method's authors intend: {'; '.join(MODE_TITLES.values())}.",
    CELLS: "Finished runs of the entry: one for each seed and order, or for each seed where the order does not change "
    "the last scores.",
    COMPOSITES: COMPOSITES_DEFINED,
    ROUTING: "share of a skill's test prompts that the router sends to the skill's own path after the last phase, mean "
    "over skills, in percent. Known where the router chooses.",
    SHARE: RANGE,
    BLIMP: "change of the accuracy on BLiMP's pairs of a right and a wrong sentence, from the bare base to all modules "
    "together.",
}
_TEST = {
    "95 % interval": "Of AP, by bootstrap over cells and over test questions.",
    "best other": "The entry of highest AP beside this one, of those that learn one skill after another in one model: "
    "joint training and a model for each skill bound what these can reach. Both are compared in their own mode.",
    "difference": "This entry's AP minus that of the best other one.",
    "p": "Exact two-sided sign-flip test of the paired differences.",
    "pairs": "How many pairs the test had, and of what: test questions (scores averaged over common seeds and orders) "
    "where the cells keep their answers; else cells of the same seed and order; else seeds, where an entry's last "
    "scores are the same in every order, or it has none: such cells are copies of one sample, averaged first.",
    "remark": "Why there is no p.",
}
COST = {
    "trained, M": "Million parameters that a phase trains, the greatest.",
    "active, M": "Million parameters of the base and of the last path.",
    "stored, MB": STORED,
    "tokens, k": "Thousand tokens that were trained on, without padding.",
    "old rows, %": "Share of all rows trained on that are of skills of earlier phases, read again.",
    SECONDS: "Seconds of training, mean over the cells.",
    "all, s": "Seconds of all phases from attaching to saving, with scoring.",
    "TFLOPs": "Of training, an estimate: 2 FLOPs for each acting parameter and token forward, 2 for the activations' "
    "gradient, 2 for each trained parameter; rows that a loss looks at besides, such as a teacher's, forward only.",
    "peak, MB": PEAK,
}
_OF_NAMES = ("per-skill", "per-seed", "composites")
"""Tables whose columns are skills or cells: their captions say what their numbers are."""


def _bare(title: str) -> str:
    return title.rstrip(" ↑↓")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def named(title: str, text: str) -> str:
    """Write a definition as a sentence that begins with what it defines."""
    return f"{_capital(_bare(title))}: {text}"


DEFINITIONS = " ".join([*(named(TITLES[key], text) for key, text in DEFINED.items()), ARROWS, SPREAD])


def definitions(tables: Sequence[Table], groups: Iterable[MetricGroup]) -> dict[str, str]:
    """Collect the definitions of the heads of some tables' columns, without arrows, in the order of the tables.

    Args:
        tables: the tables, with the columns that are undefined.
        groups: the metrics that have tables of their own.
    """
    known: Mapping[str, str] = {
        **COMMON,
        **{TITLES[key]: text for key, text in DEFINED.items()},
        **_TEST,
        **{wanted.title: wanted.definition for wanted in DESIDERATA.values()},
        DIVERGENCE.title: DIVERGENCE.definition,
        **{metric.title: metric.definition for group in groups for metric in group.metrics},
        **PLASTICITY,
        **COST,
    }
    by_name = {_bare(title): _capital(text) for title, text in known.items()}
    heads = dict.fromkeys(_bare(head) for table in tables if table.name not in _OF_NAMES for head in table.columns)
    return {head: by_name[head] for head in heads if head in by_name} | {"arrows": ARROWS, "±": SPREAD}
