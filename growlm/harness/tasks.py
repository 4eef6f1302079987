"""Tasks of lm-evaluation-harness scored on a stack, as ``growlm eval --tasks`` prints them."""

import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from growlm.base.load import no_progress_bar
from growlm.errors import GrowlmError, needs_extra, unknown_name
from growlm.stack.stack import ModuleStack

_SURROUNDINGS = ("get_git_commit_hash", "add_env_info")
"""What the harness calls to describe the repository and the machine that it runs on."""


def evaluate_tasks(
    stack: ModuleStack,
    tasks: Sequence[str],
    path: str | None = None,
    limit: int | None = None,
    task_folder: Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Score tasks of lm-evaluation-harness.

    Args:
        stack: the stack, the path that is asked for active.
        tasks: names of tasks or groups, or files ``.yaml`` that define one.
        path: what was asked for: a path, ``auto`` for the router; None: the router if there is one.
        limit: greatest number of examples of each task.
        task_folder: folder with further tasks as YAML; the harness's own are then left out.
        **options: of the harness's ``simple_evaluate``, such as ``num_fewshot``, ``apply_chat_template`` and
            ``batch_size`` (8 if left out).

    Returns:
        The harness's ``results``: by task, metrics by name.

    Raises:
        GrowlmError: for a task that is not known or cannot be loaded, an unknown option, or if the package is missing.
    """
    try:
        from lm_eval import simple_evaluate  # type: ignore[import-untyped, import-not-found, unused-ignore]
        from lm_eval.tasks import TaskManager  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise needs_extra("--tasks", error.name, "eval") from None
    from growlm.harness.model import GrowlmLM

    manager = _task_manager(TaskManager, tasks, task_folder)
    known = inspect.signature(simple_evaluate).parameters
    for option in options:
        if option not in known:
            raise unknown_name("option of lm-evaluation-harness", option, known)
    with no_progress_bar(), _without_notices():
        model = GrowlmLM(stack, path, batch_size=options.pop("batch_size", 8))
        try:
            found = simple_evaluate(
                model,
                tasks=list(tasks),
                limit=limit,
                task_manager=manager,
                **{"log_samples": False, "bootstrap_iters": 0, **options},
            )
        except (OSError, ValueError, KeyError, ConnectionError) as error:
            reason = " ".join(str(error).split())[:300]
            raise GrowlmError(f"tasks {', '.join(tasks)} cannot be scored: {reason}") from error
    return dict(found["results"])


@contextmanager
def _without_notices() -> Iterator[None]:
    """Let the harness print nothing but errors and its progress.

    For its log it asks git and the whole system what they are: that takes seconds, prints git's errors, and is not
    among the results.
    """
    from lm_eval import evaluator  # type: ignore[import-untyped, import-not-found, unused-ignore]

    logger = logging.getLogger("lm_eval")
    level, asked = logger.level, {name: getattr(evaluator, name) for name in _SURROUNDINGS if hasattr(evaluator, name)}
    logger.setLevel(logging.ERROR)
    for name in asked:
        setattr(evaluator, name, lambda *_: None)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, function in asked.items():
            setattr(evaluator, name, function)


def task_table(results: dict[str, Any]) -> Table:
    """Tabulate results, a row for each metric of each task."""
    table = Table("task", "filter", "metric", "value", "scored")
    for task, metrics in results.items():
        for key, value in metrics.items():
            name, _, filtered = key.partition(",")
            if isinstance(value, int | float) and filtered and not name.endswith("_stderr"):
                table.add_row(task, filtered, name, f"{value:.4f}", str(metrics.get("sample_len", "")))
    return table


def _task_manager(manager_class: Any, tasks: Sequence[str], task_folder: Path | None) -> Any:
    """Build what knows the tasks, and refuse those that it does not know."""
    files = [task for task in tasks if task.endswith((".yaml", ".yml"))]
    for file in files:
        if not Path(file).is_file():
            raise GrowlmError(f"{file}: there is no such file of a task")
    # the index of the harness's own tasks takes seconds to build
    own = task_folder is None and len(files) < len(tasks)
    manager = manager_class(include_path=str(task_folder) if task_folder else None, include_defaults=own)
    for task in tasks:
        if task not in files and task not in manager.task_index:
            raise unknown_name("task", task, manager.all_tasks)
    return manager
