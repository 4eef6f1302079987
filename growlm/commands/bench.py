"""``growlm bench``."""

from pathlib import Path
from typing import Any, Literal

RENAMED = {"without": "exclude", "rate_factor": "lr_scale"}


def bench(
    stream: str = "five-skills",
    base: str = "nano",
    methods: str = "all",
    seeds: str = "0,1,2",
    orders: str | None = None,
    data: Path | None = None,
    exclude: str | None = None,
    entries: str = "methods",
    steps: int | None = None,
    lr_scale: float = 1.0,
    tune: bool = False,
    tune_factors: str = "0.1,0.3,1",
    tune_phase: dict[str, Any] | None = None,
    choices: Path | None = None,
    phase: dict[str, Any] | None = None,
    skill_options: dict[str, Any] | None = None,
    matrix: Literal["lower", "full", "last"] = "lower",
    blimp: Path | None = None,
    general_ability: bool = True,
    fresh: str | None = None,
    trial_steps: int = 10,
    curve: int = 0,
    few: str | None = None,
    few_phase: dict[str, Any] | None = None,
    out: Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    accelerator: str = "auto",
    discard_stacks: bool = False,
    engine: Literal["local", "submitit"] = "local",
    cluster: dict[str, Any] | None = None,
) -> None:
    """Compare methods on a stream of skills: every method, order and seed is a cell that runs on its own.

    The same command continues an interrupted benchmark; finished cells are skipped.
    `growlm report` makes a page of the results.

    Args:
        stream: a stream (growlm ls recipes), or a YAML file of your own.
        base: a shipped base, a folder or a Hugging Face model id.
        methods: entries of the list, joined by commas, or ``all``.
        seeds: whole numbers joined by commas.
        orders: orders of the stream, joined by commas, or ``all``; by default the first.
        data: folder of the stream's tasks, if it reads some.
        exclude: skills to leave out, joined by commas.
        entries: the list of methods: a recipe in recipes/bench, or a YAML file of your own.
        steps: training steps of each phase, instead of the stream's.
        lr_scale: factor of every entry's learning rates; those of recipes/bench were chosen on nano, and on mini half
            of them does better.
        tune: first choose the learning rate of every entry, and its strength where the list names one, on the
            validation split and in the stream's tuning order, with a seed of its own; then test what was chosen. The
            choices are written to choices.json beside the results.
        tune_factors: factors of every entry's learning rate that --tune tries, joined by commas.
        tune_phase: settings of the phases that --tune trains where they differ from those of the test, as JSON, such as
            {"steps": 20, "num_scored": 50}.
        choices: use the choices in this file, the choices.json of an earlier benchmark, instead of tuning.
        phase: further settings of every phase as JSON, such as {"batch_size": 8, "num_scored": 20}.
        skill_options: options of every skill that has them as JSON, such as {"num_train": 100, "max_prompt": 128}.
        matrix: which cells of the accuracy matrix: after each phase every skill learned so far (lower), or all (full,
            which forward transfer needs); or each after its own phase and after the last one (last, the cheapest).
        blimp: the folder of BLiMP's 67 files, to measure grammar before and after.
        general_ability: measure at the end of each cell what is left of general ability: KL to the bare base, story
            consistency, sampled stories. Of small cells it takes more than half of the time.
        fresh: a skill of no phase that every model is tried on: it is learned for a few steps from the bare base and
            after each phase, and the first skill again at the end, to see whether a method still learns and recovers.
        trial_steps: steps of each trial.
        curve: how often skills are scored in the middle of each phase, on a quarter of the examples, to compare methods
            at equal tokens, FLOPs and seconds; for metrics of tokens only.
        few: numbers of training examples joined by commas, such as 50,200: everything is run once more with as many of
            every skill, to see what is kept of the one that the bare base is worst at.
        few_phase: settings of these phases where they differ from the others, as JSON, such as {"epochs": 4}.
        out: folder of the results; by default results/<stream>-<base>, and the list's name if it is another.
        workers: processes side by side (with submitit: jobs); by default one for each GPU, else for each core.
        threads: CPU threads of each; by default an equal share of the cores.
        accelerator: Lightning's accelerator, such as cpu or gpu.
        discard_stacks: remove the stack of a finished cell and keep only its results.
        engine: what runs the cells: this machine, or a cluster through submitit.
        cluster: parameters of submitit as JSON, such as {"slurm_partition": "gpu", "gpus_per_node": 1}.
    """
    import shlex
    import sys
    from dataclasses import replace

    from growlm.bench.plan.cell import Measured, check_fresh, parse_seeds, plan_cells
    from growlm.bench.plan.entries import choose_entries, read_entries
    from growlm.bench.plan.few import few_folder, few_stream, read_counts
    from growlm.bench.plan.stream import check_phase, read_stream
    from growlm.bench.plan.tuning import apply_choices, read_factors
    from growlm.bench.run.run_cell import Bench
    from growlm.bench.run.runner import Runs, default_out, run_bench
    from growlm.bench.run.tune import tune as tune_entries
    from growlm.bench.run.workers import machine_workers
    from growlm.errors import GrowlmError, check_at_least
    from growlm.terminal import counted

    if tune and choices is not None:
        raise GrowlmError("--tune chooses anew and --choices takes earlier choices: give one of them")
    chosen = [entry.scale_lr(lr_scale) for entry in choose_entries(methods, read_entries(entries))]
    source = read_stream(stream, data, exclude.split(",") if exclude else (), skill_options)
    settings = check_phase({**(phase or {}), **({"steps": steps} if steps is not None else {})}, "--phase and --steps")
    named = list(source.orders)[:1] if orders is None else list(source.orders) if orders == "all" else orders.split(",")
    tried = check_fresh(fresh, source)
    measured = Measured(
        matrix,
        str(blimp) if blimp else None,
        general=general_ability,
        fresh=tried,
        trial_steps=trial_steps,
        curve=curve,
    )
    place = Bench(out or default_out(source.name, base, entries), accelerator, keep_stacks=not discard_stacks)
    runs = Runs(machine_workers(workers, threads), engine, cluster or {}, shlex.join(["growlm", *sys.argv[1:]]))
    check_at_least("--curve", curve, 0)
    small = settings | check_phase(few_phase or {}, "--few_phase")
    scarcer = [(count, few_stream(source, count)) for count in read_counts(few)] if few else []
    tested = parse_seeds(seeds)
    if tune:
        tuning = settings | check_phase(tune_phase or {}, "--tune_phase")
        chosen = tune_entries(source, chosen, read_factors(tune_factors), base, tuning, tested, place, runs)
    elif choices is not None:
        chosen = apply_choices(chosen, choices, source)
    done = run_bench(plan_cells(source, chosen, named, tested, base, settings, measured), place, runs)
    for count, scarce in scarcer:
        cells = plan_cells(scarce, chosen, named, tested, base, small, Measured("last", base_text=False))
        run_bench(cells, replace(place, out=few_folder(place.out, count), keep_stacks=False), runs)
    print(
        f"{counted(done.cells, 'cell')} in {done.out}, {done.cells - done.skipped} run now in "
        f"{done.seconds / 60:.1f} min"
    )
    print(f"a page of them: growlm report {done.out}")
