"""``growlm check``: a gate for scripts."""

import json as json_format
import math
import sys
from dataclasses import asdict
from pathlib import Path

POSITIONAL = ("stack",)
WORSE = 1


def check(
    stack: Path = Path("checkpoints/stack"), limit: float = 0.05, mode: str | None = None, json: bool = False
) -> int:
    """Check whether later phases made an earlier skill, or the base's own text, worse; exit with status 1 if so.

    Compares the scores that were recorded when modules were grown, so it takes no time and needs no data.

    Args:
        stack: the stack's folder.
        limit: greatest loss that passes: for a score from 0 to 1 the difference, for bits per byte and loss the rise as
            a share.
        mode: oracle, routed or all; left out: routed if the stack has a router, else all.
        json: print JSON instead of a table.

    Returns:
        1 if anything got worse by more than the limit, else 0.
    """
    from growlm.errors import check_at_least
    from growlm.manifest.changes import changes
    from growlm.manifest.manifest import read_manifest

    check_at_least("--limit", limit, 0)
    found = changes(read_manifest(stack), mode)
    worse = [change for change in found if change.loss > limit]
    if json:
        entries = [asdict(change) | {"loss": None if math.isnan(change.loss) else change.loss} for change in found]
        print(json_format.dumps({"passed": not worse, "limit": limit, "skills": entries}, indent=2, ensure_ascii=False))
        return WORSE if worse else 0
    from rich.console import Console
    from rich.table import Table

    table = Table("skill", "metric", "before", "now", "worse by", "verdict", box=None, pad_edge=False)
    for change in found:
        if change.after is None:
            table.add_row(change.skill, change.metric, f"{change.before:.4f}", "", "", "not measured again")
            continue
        verdict = "worse" if change in worse else "kept"
        table.add_row(
            change.skill,
            change.metric,
            f"{change.before:.4f}",
            f"{change.after:.4f}",
            f"{change.loss:+.4f}",
            verdict,
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(f"{len(worse)} of {len(found)} got worse by more than {limit}")
    return WORSE if worse else 0
