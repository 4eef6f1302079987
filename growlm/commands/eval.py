"""``growlm eval``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from growlm.stack.stack import ModuleStack


def eval(
    stack: str = "checkpoints/stack",
    skill: str | None = None,
    suite: str | None = None,
    tasks: str | None = None,
    path: str | None = None,
    split: str = "test",
    limit: int | None = None,
    stories: str | None = None,
    blimp: Path | None = None,
    base: str | None = None,
    json: bool = False,
    fuse: bool = False,
    trust_data: bool = False,
    task_folder: Path | None = None,
    task_options: dict[str, Any] | None = None,
) -> None:
    """Score skills on held-out examples: on the bare base, on their own path, routed, and with all modules on.

    Args:
        stack: the stack's folder, or the name of a shipped base.
        skill: only this one: a module's name, a skill, or data of your own; left out: the base's stories and every
            module's skill.
        suite: instead of skills, a fixed battery: ``base`` measures general ability (bits per byte on --stories,
            BLiMP, story consistency) on the bare base, or on --path.
        tasks: instead of skills, tasks of lm-evaluation-harness, joined by ``,``: names such as ``arc_easy``, or
            .yaml files; with the router if there is one, or on --path.
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
        task_folder: folder of the tasks that --tasks names, in place of the harness's own.
        task_options: for --tasks, options of the harness as JSON, such as ``{"num_fewshot": 2, "batch_size": 16}``.
    """
    from growlm.manifest.path import format_path
    from growlm.show.talk import open_stack

    bare = "base" if suite is not None and not fuse else None  # what the battery measures if no path is asked for
    opened = open_stack(Path(stack), base, path or bare, fuse)
    asked = None if path is None else format_path(opened.path)
    if tasks is not None:
        content, table = _tasks(opened, tasks.split(","), asked, limit, task_folder, task_options or {})
    elif suite is not None:
        content, table = _suite(opened, suite, stories, blimp, limit)
    else:
        content, table = _skills(opened, skill, asked, split, limit, stories, trust_data)
    _print(content if json else table)


def _tasks(
    stack: "ModuleStack",
    tasks: list[str],
    path: str | None,
    limit: int | None,
    folder: Path | None,
    options: dict[str, Any],
) -> Any:
    from growlm.harness.tasks import evaluate_tasks, task_table

    results = evaluate_tasks(stack, tasks, path, limit, folder, **options)
    return results, task_table(results)


def _suite(stack: "ModuleStack", suite: str, stories: str | None, blimp: Path | None, limit: int | None) -> Any:
    from growlm.show.suite import run_suite, suite_table

    measured = run_suite(stack, suite, Path(stories) if stories else None, blimp, limit)
    return {"base": stack.manifest.base.source, **measured.to_json()}, suite_table(measured)


def _skills(stack: "ModuleStack", *asked: Any) -> Any:
    from dataclasses import asdict

    from growlm.show.evaluation import evaluate, evaluation_table

    results = evaluate(stack, *asked)
    return [asdict(result) for result in results], evaluation_table(results)


def _print(content: Any) -> None:
    import json

    from rich.table import Table

    from growlm.terminal import safe_console

    if isinstance(content, Table):
        safe_console().print(content)
    else:
        print(json.dumps(content, indent=2, ensure_ascii=False))
