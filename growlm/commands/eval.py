"""``growlm eval``."""

from pathlib import Path
from typing import Any


def eval(
    stack: str = "checkpoints/stack",
    skill: str | None = None,
    suite: str | None = None,
    path: str | None = None,
    split: str = "test",
    limit: int | None = None,
    stories: str | None = None,
    blimp: Path | None = None,
    base: str | None = None,
    json: bool = False,
    fuse: bool = False,
    trust_data: bool = False,
) -> None:
    """Score skills on held-out examples: on the bare base, on their own path, routed, and with all modules on.

    Args:
        stack: the stack's folder, or the name of a shipped base.
        skill: only this one: a module's name, a skill, or a .jsonl file; left out: the base's stories and every
            module's skill.
        suite: instead of skills, a fixed battery: ``base`` measures general ability (bits per byte on --stories,
            BLiMP, story consistency) on the bare base, or on --path.
        path: score on this path only: ``base``, a module's name, or names joined by ``+``.
        split: which split: train, validation or test.
        limit: greatest number of examples, from the first on of each skill or part.
        stories: a text file, stories apart by ``<|endoftext|>`` lines, in place of TinyWorld's stories.
        blimp: the folder of BLiMP's 67 files, for --suite base.
        base: where the base is now, if not where the manifest says.
        json: print JSON instead of a table.
        fuse: let the modules of --path run as one change of weights, right for the inputs of each one's own skill,
            instead of adding up what they change.
        trust_data: read the data files and hub ids that the records of a stranger's stack name.
    """
    import json as json_format
    from dataclasses import asdict

    from growlm.manifest.path import format_path
    from growlm.show.evaluation import evaluate, evaluation_table
    from growlm.show.talk import open_stack

    content: Any
    bare = "base" if suite is not None and not fuse else None  # what the battery measures if no path is asked for
    opened = open_stack(Path(stack), base, path or bare, fuse)
    if suite is not None:
        from growlm.show.suite import run_suite, suite_table

        measured = run_suite(opened, suite, Path(stories) if stories else None, blimp, limit)
        content, table = {"base": opened.manifest.base.source, **measured.to_json()}, suite_table(measured)
    else:
        asked = None if path is None else format_path(opened.path)
        results = evaluate(opened, skill, asked, split, limit, stories, trust_data)
        content, table = [asdict(result) for result in results], evaluation_table(results)
    if json:
        print(json_format.dumps(content, indent=2, ensure_ascii=False))
    else:
        from growlm.terminal import safe_console

        safe_console().print(table)
