"""Running cells on a cluster, through submitit.

Cells are independent, take from seconds to hours, write all results into one folder and resume. A queue of jobs on a
shared file system is enough for that: Slurm, through submitit (https://github.com/facebookincubator/submitit), which
needs no server and no open ports, requeues preempted jobs, and runs the same jobs without a cluster (``local``,
``debug``). submitit passes the jobs' arguments as pickles of its own in ``<out>/jobs``; results are read only from the
cells' JSON files.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from growlm.bench.plan.cell import CELL_FILE, Cell
from growlm.bench.run.result import read_cell
from growlm.bench.run.run_cell import Bench
from growlm.bench.run.workers import Failure, Workers, run_here
from growlm.errors import GrowlmError, needs_extra, one_line
from growlm.progress import log_to_stderr, track

JOBS = "jobs"
_logger = logging.getLogger(__name__)


class CellJob:
    """A job: some of the cells, one after the other.

    Args:
        cells: the cells.
        bench: where and how.
        threads: CPU threads.
    """

    def __init__(self, cells: Sequence[Cell], bench: Bench, threads: int) -> None:
        self.cells = cells
        self.bench = bench
        self.threads = threads

    def __call__(self) -> list[str]:
        """Run the cells.

        Returns:
            What failed, a line each.
        """
        log_to_stderr()
        with track(sum(len(list(cell.phases())) for cell in self.cells), "phases") as advance:
            failures = run_here(self.cells, self.bench, self.threads, advance)
        return [f"{failure.cell.name}: {failure.reason}" for failure in failures]

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Put the job back into the queue when it is preempted; finished cells are skipped then."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def run_submitit(cells: Sequence[Cell], bench: Bench, workers: Workers, cluster: Mapping[str, Any]) -> list[Failure]:
    """Run cells as jobs and wait for them.

    Args:
        cells: the cells.
        bench: where and how.
        workers: how many jobs, and CPU threads of each.
        cluster: ``cluster`` (``slurm``, ``local`` or ``debug``; left out: Slurm if there is one, else this machine) and
            what ``submitit.AutoExecutor.update_parameters`` takes, such as ``slurm_partition`` or ``timeout_min``.

    Returns:
        What failed.

    Raises:
        GrowlmError: if submitit is not installed or does not know a parameter.
    """
    try:
        import submitit
    except ImportError:
        raise needs_extra("--engine submitit", "submitit", "cluster") from None
    parameters = {"cpus_per_task": workers.threads, "timeout_min": 24 * 60, **cluster}
    kind = parameters.pop("cluster", None)
    folder = bench.out / JOBS
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=kind)
        executor.update_parameters(**parameters)
    except (ValueError, NameError, TypeError, AssertionError, RuntimeError) as error:
        raise GrowlmError(f"submitit does not take {dict(cluster)!r}: {one_line(str(error))}") from None
    shares = [cells[number :: workers.count] for number in range(min(workers.count, len(cells)))]
    with executor.batch():
        jobs = [executor.submit(CellJob(share, bench, workers.threads)) for share in shares]
    ids = ", ".join(str(job.job_id) for job in jobs)
    _logger.info("%d jobs with %d cells: %s; logs in %s", len(jobs), len(cells), ids, folder)
    failures: list[Failure] = []
    for share, job in zip(shares, jobs, strict=True):
        job.wait()
        unfinished = [cell for cell in share if not _is_finished(cell, bench)]
        reason = "not finished; see the job's log"
        failures += [Failure(cell, f"{reason} {job.paths.stdout}") for cell in unfinished]
        _logger.info("job %s: %d of %d cells finished", job.job_id, len(share) - len(unfinished), len(share))
    return failures


def _is_finished(cell: Cell, bench: Bench) -> bool:
    path = cell.folder(bench.out) / CELL_FILE
    return path.exists() and read_cell(path).finished
