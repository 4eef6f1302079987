"""The one place that knows how to check growlm: ``nox``, or ``nox --no-venv`` in an environment that has ``.[dev]``."""

import tempfile
import zipfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "notebooks", "build"]
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
MIN_COVERAGE = 90


def install(session: nox.Session) -> None:
    """Installs growlm with the tested versions, unless the session runs in an environment that already has it."""
    if session.virtualenv.is_sandboxed:
        session.install("-c", "constraints.txt", "-e", ".[dev]")


def run_tests(session: nox.Session) -> None:
    """Runs the test suite and fails below the coverage that is asked for."""
    coverage = ["--cov", f"--cov-fail-under={MIN_COVERAGE}"]
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2", *coverage]))


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style and format."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Checks types strictly."""
    install(session)
    session.run("mypy")
    session.run("mypy", "benchmarks")


@nox.session
def tests(session: nox.Session) -> None:
    """Runs the tests with the Python at hand; ``nox -s tests -- tests/unit`` runs some of them."""
    install(session)
    run_tests(session)


@nox.session(python=PYTHONS, default=False)
def tests_all(session: nox.Session) -> None:
    """Runs the tests with every supported Python that is installed."""
    install(session)
    run_tests(session)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Executes every notebook from the repository's root and throws the outputs away."""
    install(session)
    execute = (
        "import nbformat, sys; from nbclient import NotebookClient; "
        "NotebookClient(nbformat.read(sys.argv[1], 4), timeout=900, resources={'metadata': {'path': '.'}}).execute()"
    )
    for path in sorted(Path("notebooks").glob("*.ipynb")):
        session.run("python", "-c", execute, str(path), env={"MPLBACKEND": "agg", "HF_HUB_OFFLINE": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """Builds the wheel and looks whether it holds everything that a program or a type checker needs."""
    install(session)
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
        names = zipfile.ZipFile(next(Path(folder).glob("*.whl"))).namelist()
    recipes = [path.relative_to("recipes").as_posix() for path in Path("recipes").rglob("*.yaml")]
    missing = {"growlm/py.typed", *(f"growlm/recipes_data/{recipe}" for recipe in recipes)} - set(names)
    if missing:
        session.error(f"the wheel lacks {', '.join(sorted(missing))}")
    session.log(f"wheel: {len(names)} files, {len(recipes)} recipes")
