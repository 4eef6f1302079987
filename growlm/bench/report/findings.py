"""What was found, in three sentences: the best entry, what was forgotten, and how far it is from the references."""

import math

from growlm.bench.report.reference_lines import references
from growlm.bench.report.statistics import Row, Spread
from growlm.bench.report.tables import Summary
from growlm.terminal import counted


def findings(summary: Summary) -> list[str]:
    """Write three sentences about a benchmark, each from its metrics alone.

    Args:
        summary: what the report says.

    Returns:
        The sentences.
    """
    return [_best(summary), _forgetting(summary), _references(summary)]


def _best(summary: Summary) -> str:
    best = summary.sequential[0]
    which = "" if best is summary.rows[0] else " of those that learn one skill after another in one model"
    score = f"{best.label} (mode {best.mode}) has the highest average performance{which}, {_ap(summary, best)}"
    found = summary.comparison(best)
    if found is None:
        return f"{score}; it is the only entry."
    ahead = f"{score}, {summary.score(Spread.of([found.difference]))} above {found.other}"
    if found.reason:
        return f"{ahead}; whether that is chance is not known ({found.reason})."
    verdict = "significant" if found.p_value < 0.05 else "not significant"
    return f"{ahead}, which is {verdict} (p = {found.p_value:.2g}, {counted(found.pairs, found.unit)})."


def _forgetting(summary: Summary) -> str:
    known = [(row, row.metric(row.mode, "bwt")) for row in summary.rows]
    known = [(row, change) for row, change in known if not math.isnan(change.mean)]
    if not known:
        return "Forgetting is undefined: no entry has scores of a skill both after its own phase and at the end."
    kept = [row.label for row, change in known if change.mean >= -1e-9]
    worst, change = min(known, key=lambda pair: pair[1].mean)
    none = f"{_listed(kept)} forgot nothing" if kept else "Every entry forgot something"
    if change.mean >= -1e-9:
        return f"{none} of {len(known)} with a known change."
    return f"{none}; {worst.label} forgot most: its scores changed by {summary.score(change)} after learning."


def _references(summary: Summary) -> str:
    best, joint = summary.sequential[0], summary.joint
    skills = summary.rows[0].cells[0].skills
    known = [(r.title, Spread.of([r.mean(skills)])) for r in references(summary.rows)]
    without_model = [f"a {title} {summary.score(s)}" for title, s in known[1:] if not math.isnan(s.mean)]
    text = ", ".join([f"The bare base scores {summary.score(known[0][1])}", *without_model])
    if joint is None:
        return f"{text}; training on all skills at once was not run."
    top = joint.metric(joint.mode, "ap")
    text += f" and training on all skills at once {summary.score(top)}"
    share = summary.share(best)
    if best is not joint and not math.isnan(share):
        text += f", so {best.label} reaches {100 * share:.0f} % of the usable range"
    elif summary.no_range:
        text += ", below a score that needs no model: these phases are too short to compare what methods can learn"
    composite = best.composites(best.mode)
    if not math.isnan(composite.mean):
        text += f"; on composite skills it scores {summary.score(composite)}"
    return f"{text}."


def _ap(summary: Summary, row: Row) -> str:
    return f"{summary.score(row.metric(row.mode, 'ap'))} over {counted(row.independent_cells, 'cell')}"


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
