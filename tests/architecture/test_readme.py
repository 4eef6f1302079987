"""README and the other pages keep what they promise: blocks that run, commands, options and files that exist."""

import contextlib
import io
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from benchmarks.answers import mean_share
from growlm.cli.main import command_names, main
from growlm.registry import methods, module_kinds

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def quick_start() -> str:
    return README.split("## Quick start\n", 1)[1].split("\n## ", 1)[0]


def test_the_front_door_is_short():
    assert len(README.splitlines()) <= 150
    assert all(len(PAGES[page].splitlines()) <= 50 for page in ("CONTRIBUTING.md", "REPRODUCIBILITY.md"))


def test_quick_start_begins_with_the_main_job_and_the_tests():
    main_job, tests = blocks(quick_start(), "bash")[:2]
    assert "growlm grow" in main_job
    assert "-m pytest" in tests
    assert all("pip install -c constraints.txt" in block for block in (main_job, tests))


@pytest.mark.slow
def test_the_example_grows_and_uses_a_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (example,) = blocks(quick_start(), "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r"steps=\d+", "steps=2", example), {})
    out = capsys.readouterr().out
    assert re.search(r"^\(\) .+^\('chat',\) .+^\d{3} tensors unchanged$", out, re.MULTILINE | re.DOTALL)


def test_shell_blocks_are_scripts():
    wrong = []
    for name, page in PAGES.items():
        for block in blocks(page, "bash"):
            done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
            if done.returncode or re.search(r"^\s*\$ ", block, re.MULTILINE):
                wrong.append(f"{name}: {block}{done.stderr}")
    assert wrong == []


def test_python_blocks_compile():
    for name, page in PAGES.items():
        for block in blocks(page, "python"):
            compile(block, name, "exec")


@cache
def options(command: str) -> set[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"--([a-z_]+)", out.getvalue()))


def test_every_command_and_option_that_is_named_exists():
    unknown = []
    for name, text in PAGES.items():
        if name == "CHANGELOG.md":
            continue
        # what a report generates quotes the command that was run, perhaps by an earlier version
        page = re.sub(r"<!-- generated.*?: begin -->.*?<!-- generated.*?: end -->", "", text, flags=re.DOTALL)
        prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
        code = "\n".join([*blocks(page, "bash"), *re.findall(r"`(growlm [^`]+)`", prose)]).replace("\\\n", " ")
        for command, rest in re.findall(r"(?:^|[|;&(] ?)growlm ([a-z_]+)\b([^\n|;]*)", code, re.MULTILINE):
            if command not in command_names():
                unknown.append(f"{name}: growlm {command}")
            elif command != "fit":
                named = re.findall(r"--([a-z_.]+)", re.sub(r"'[^']*'|#.*", "", rest))
                known = {"help", "config", *options(command)}
                unknown += [
                    f"{name}: growlm {command} --{option}"
                    for option in named
                    if option not in known and not (command == "grow" and option.startswith(("model.", "trainer.")))
                ]
    assert unknown == []


def test_members_are_counted_and_listed_as_they_are():
    assert f"| adapter kinds | {len(module_kinds.names())} |" in README
    assert f"| continual-learning methods | {len(methods.names())} |" in README
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGES["docs/concepts.md"], re.MULTILINE)) == module_kinds.names()


def test_scores_are_those_of_the_results():
    skills = json.loads((ROOT / "results/skills-mini/answers.json").read_text(encoding="utf-8"))["skills"]
    known = [next(iter(by_seed.values()))["references"] for by_seed in skills.values()]
    guesses = [max(value for value in references.values() if value is not None) for references in known]
    rows = {
        "% right": [f"`{name}`" for name in skills],
        "own path": [f"{100 * mean_share(by_seed)[0]:.1f}" for by_seed in skills.values()],
        "best guess": [f"{100 * guess:.1f}" for guess in guesses],
    }
    for title, cells in rows.items():
        assert f"| {title} | {' | '.join(cells)} |" in README


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{name}: {target}"
        for name, page in PAGES.items()
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
        if not (ROOT / name).parent.joinpath(target).exists() and "reference/" not in target
    ]
    assert broken == []


def test_numbers_of_the_comparison_are_those_of_the_results():
    entries = json.loads((ROOT / "results/robot-commands-nano/results.json").read_text(encoding="utf-8"))["entries"]
    (sentence,) = re.findall(r"Three skills learned one after another.*?fine-tuning [\d.]+;", README, re.DOTALL)
    found = re.findall(r"(?<= )\d\d\.\d", sentence)
    scores = [f"{100 * entry['metrics'][entry['mode']]['ap']['mean']:.1f}" for entry in entries]
    assert found == list(dict.fromkeys(scores)), "two entries with one score share it"


def test_comments_in_the_shell_blocks_of_the_site_fit_a_phone():
    """The site wraps long lines, and the second line of a comment would look like a command."""
    long = [
        f"{name}: {line}"
        for name, page in PAGES.items()
        for block in blocks(page, "bash")
        for line in block.splitlines()
        if name.startswith("docs/") and re.search(r"(^|\s)# ", line) and len(line) > 39
    ]
    assert long == []
