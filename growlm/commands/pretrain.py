"""``growlm pretrain``: train a base from a recipe."""

from growlm.pretrain.config import PretrainData, PretrainRun


def pretrain(
    name: str,
    data: PretrainData,
    run: PretrainRun = PretrainRun(),  # noqa: B008  # frozen
    size: str = "mini",
    seed: int = 0,
    expand: str | None = None,
    out: str = "checkpoints",
    work: str = "runs",
    overwrite: bool = False,
) -> None:
    """Train a base; the same command resumes a killed one.

    Args:
        name: name of the base, which is written to the folder ``<out>/<name>``.
        data: what it learns from.
        run: how it learns.
        size: ``nano``, ``mini`` or ``50m``; or width, layers, heads and inner width, such as ``256x8x4x640``.
        seed: seed of initialisation, order and dropout.
        expand: a smaller base, by name or folder, to begin with: it is expanded to the size so that it computes the
            same; left out: begin at random.
        out: the folder in which the base's folder is made.
        work: the folder for the state of unfinished runs.
        overwrite: replace a base of that name.
    """
    from pathlib import Path

    from growlm.pretrain.run import pretrain_base

    pretrain_base(name, size, data, run, seed, Path(out), Path(work), overwrite, expand)
