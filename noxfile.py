"""The one place that knows how to check growlm: ``nox``, or ``nox --no-venv`` in an environment that has ``.[dev]``."""

import os
import shlex
import tempfile
import zipfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "fast", "docs"]
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
FAST = "not (slow or exhaustive or e2e or contract or golden or model)"


def install(session: nox.Session) -> None:
    """Install growlm with the tested versions, unless the session runs in an environment that already has it."""
    if session.virtualenv.is_sandboxed:
        constraints = os.environ.get("GROWLM_CONSTRAINTS", "constraints.txt")
        session.install(*(["-c", constraints] if constraints else []), "-e", ".[dev]")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and wording."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "scripts/check_words.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly."""
    install(session)
    session.run("mypy")
    session.run("mypy", "benchmarks")


@nox.session
def fast(session: nox.Session) -> None:
    """Run the unit and architecture tests that need no model: under a minute."""
    install(session)
    session.run("python", "-m", "pytest", "-n", "2", "-m", FAST, *session.posargs)


def readme_tests() -> list[str]:
    """Return the README's command that runs the tests with coverage, as words."""
    lines = Path("README.md").read_text(encoding="utf-8").splitlines()
    return shlex.split(next(line for line in lines if "-m slipcover" in line))


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test with coverage; ``nox -s tests -- tests/unit`` runs some of them without."""
    install(session)
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs)
    else:
        session.run(*readme_tests(), "-m", "")


@nox.session(python=PYTHONS, default=False)
def tests_all(session: nox.Session) -> None:
    """Run every test with each supported Python that is installed."""
    tests.func(session)


@nox.session
def torture(session: nox.Session) -> None:
    """Fail every file operation of every command, and damage every file that is read; takes minutes."""
    install(session)
    if session.virtualenv.is_sandboxed:
        session.install("atheris", success_codes=[0, 1])  # not every system and Python has a wheel of it
    files = sorted(str(path) for path in Path("tests/torture").glob("torture_*.py"))
    session.run("python", "-m", "pytest", "-n", "2", "-rP", "-m", "", *files, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site; a broken link or a page outside the navigation is an error. It opens without a network."""
    install(session)
    session.run("python", "docs/drawings.py", "--check")
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def notebooks(session: nox.Session) -> None:
    """Execute every notebook, and compare the pictures it draws with those that are stored."""
    install(session)
    session.run("python", "scripts/run_notebooks.py", *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session
def audit(session: nox.Session) -> None:
    """Look up the pinned versions in the database of known vulnerabilities; needs a network."""
    session.install("pip-audit")
    session.run("pip-audit", "--no-deps", "--disable-pip", "-r", "constraints.txt")


@nox.session
def build(session: nox.Session) -> None:
    """Build both wheels and check that they hold everything a program or a type checker needs."""
    install(session)
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
        with session.chdir("packages/growlm-bases"):
            session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
        wheels = [zipfile.ZipFile(wheel) for wheel in sorted(Path(folder).glob("*.whl"))]
        names = [name for wheel in wheels for name in wheel.namelist()]
    recipes = [path.relative_to("recipes").as_posix() for path in Path("recipes").rglob("*.yaml")]
    bases = {
        f"growlm_bases/{base}/{file}" for base in ("mini", "nano") for file in ("config.json", "model.safetensors")
    }
    missing = {"growlm/py.typed", *bases, *(f"growlm/recipes_data/{recipe}" for recipe in recipes)} - set(names)
    if missing:
        session.error(f"the wheel lacks {', '.join(sorted(missing))}")
    session.log(f"wheels: {len(names)} files, {len(recipes)} recipes")
