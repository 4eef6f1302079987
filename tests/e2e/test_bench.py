"""A small benchmark from end to end: killed and resumed, in one process or in two, over a cluster's executor."""

import functools
import gc
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Child, Files, Outcome, complaints

Command = Callable[[Sequence[object]], Outcome]
Start = Callable[..., Child]

CELLS = 4
TIMED = ("seconds", "wall_seconds", "peak_bytes")


@pytest.fixture(scope="module")
def request_words(files: Files, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write a stream of two skills and a list of three methods; return the words of a benchmark of them."""
    folder = tmp_path_factory.mktemp("bench")
    skills = {
        name: {"skill": "jsonl", "options": {"train": file}}
        for name, file in (("words", files.words), ("talk", files.talk))
    }
    phase = {"steps": 3, "batch_size": 4, "num_scored": 3, "stories": files.stories, "router": "ridge"}
    phase["metric"] = "token_accuracy"  # nothing is generated
    orders = {"1": ["words", "talk"], "2": ["talk", "words"]}
    (folder / "pair.yaml").write_text(yaml.safe_dump({"skills": skills, "orders": orders, "phase": phase}))
    entries = {
        "lora": {"method": "grow", "options": {"module": {"lora": {"rank": 2}}}},
        "all-weights": {"method": "sequential", "phase": {"learning_rate": 0.01}},
        "pooled": {"method": "joint"},
    }
    (folder / "few.yaml").write_text(yaml.safe_dump(entries))
    words = f"bench --stream {folder / 'pair.yaml'} --entries {folder / 'few.yaml'} --base {files.base}"
    cells = "--seeds 0,1 --methods lora,all-weights --general_ability false"
    return f"{words} {cells} --threads 1 --accelerator cpu".split()


@pytest.fixture(scope="module")
def whole(request_words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a benchmark that was not disturbed, in one process; read them, do not change them."""
    from growlm.cli.main import main

    out = tmp_path_factory.mktemp("whole") / "results"
    assert main([*request_words, "--workers", "1", "--out", str(out)]) == 0
    return out


def measured(out: Path) -> dict[str, Any]:
    """Read all cells; what was timed is left out."""
    found: dict[str, Any] = {}
    for path in sorted(out.glob("cells/*/*/*/cell.json")):
        cell = json.loads(path.read_text())
        del cell["digest"]
        for cost in cell["costs"]:
            for key in TIMED:
                del cost[key]
        found[str(path.relative_to(out))] = cell
    return found


def test_cells_say_all_that_was_measured(whole: Path) -> None:
    cells = measured(whole)
    assert len(cells) == CELLS
    cell = cells["cells/all-weights/order-1/seed-1/cell.json"]
    assert cell["finished"]
    assert cell["mode"] == "all"
    assert cell["scores"]["skills"] == ["words", "talk"]
    assert set(cell["scores"]["modes"]) == {"oracle", "routed", "all"}
    base, first, last = cell["scores"]["modes"]["all"]
    assert None not in [*base, first[0], *last]
    assert first[1] is None
    assert [cost["name"] for cost in cell["costs"]] == ["words", "talk"]
    assert all(cost["tokens"] > 0 and cost["flops"] > cost["tokens"] and cost["losses"] for cost in cell["costs"])
    assert len(cell["stories"]["all"]) == 3
    assert cell["settings"]["phase"]["learning_rate"] == 0.01
    assert set(cell["data"]) == {"words", "talk"}
    assert {name: set(known) for name, known in cell["references"].items()} == {"words": {"blind"}, "talk": {"blind"}}
    assert all(0 < known["blind"] <= 1 for known in cell["references"].values())
    assert "torch" in cell["environment"]
    assert cell["general"] == {}


def test_skills_are_scored_in_the_middle_of_phases(
    request_words: list[str], whole: Path, command: Command, tmp_path: Path
) -> None:
    words = [*request_words, "--seeds", "0", "--curve", "2", "--workers", "1", "--out", tmp_path / "curve"]
    assert command(words).status == 0
    curved, plain = measured(tmp_path / "curve"), measured(whole)
    for name, cell in curved.items():
        assert cell["scores"] == plain[name]["scores"], "to measure changes nothing"
        skills = [{"words"}, {"words", "talk"} if "all-weights" in name else {"talk"}]
        for cost, scored in zip(cell["costs"], skills, strict=True):
            assert [point["step"] for point in cost["points"]] == [1, 2, 3]
            assert [set(point["scores"]) for point in cost["points"]] == [scored] * 3
            assert [cost["points"][-1][key] for key in ("tokens", "flops")] == [cost["tokens"], cost["flops"]]


def test_the_matrix_is_that_of_the_stack(whole: Path) -> None:
    folder = whole / "cells" / "lora" / "order-1" / "seed-0"
    assert json.loads((folder / "cell.json").read_text())["scores"] == json.loads(
        (folder / "stack" / "accuracy.json").read_text()
    )


def test_finished_cells_are_skipped(request_words: list[str], whole: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").rglob("cell.json")}
    done = command([*request_words, "--workers", "1", "--out", tmp_path / "again"])
    assert done.status == 0
    assert "4 cells, 4 of them finished already" in done.err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_two_processes_measure_the_same(
    request_words: list[str], whole: Path, command: Command, tmp_path: Path
) -> None:
    assert command([*request_words, "--workers", "2", "--out", tmp_path / "two"]).status == 0
    assert measured(tmp_path / "two") == measured(whole)


def die_at(moment: int) -> None:
    """Kill this process when a file is about to be moved into its place for the ``moment``-th time."""
    replace = os.replace
    count = 0

    @functools.wraps(replace)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return replace(*args, **kwargs)

    os.replace = counted


@pytest.mark.parametrize("moment", [5, 17, 34])
def test_killed_and_run_again(
    moment: int, request_words: list[str], whole: Path, start: Start, command: Command, tmp_path: Path
) -> None:
    words = [*request_words, "--workers", "1", "--out", str(tmp_path / "killed")]
    assert start(words, functools.partial(die_at, moment)).wait().status == -signal.SIGKILL
    unfinished = measured(tmp_path / "killed")
    assert len([cell for cell in unfinished.values() if cell["finished"]]) < CELLS
    done = command(words)
    assert done.status == 0, done.err
    assert measured(tmp_path / "killed") == measured(whole)


def test_other_settings_are_refused_before_anything_is_run(
    request_words: list[str], whole: Path, command: Command
) -> None:
    done = command([*request_words, "--steps", "4", "--workers", "1", "--out", whole])
    assert done.status == 2
    (complaint,) = complaints(done)
    assert "was measured with other settings (phase steps 3, now 4): give another --out" in complaint
    assert done.out == ""


def test_a_damaged_cell_is_refused(request_words: list[str], whole: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "damaged")
    path = tmp_path / "damaged" / "cells" / "lora" / "order-1" / "seed-0" / "cell.json"
    path.write_text(path.read_text().replace('"finished": true', '"finished": false'))
    for words in ([*request_words, "--out", tmp_path / "damaged"], ["report", tmp_path / "damaged"]):
        done = command(words)
        assert done.status == 2
        (complaint,) = complaints(done)
        assert "was edited or damaged" in complaint


def test_a_cell_that_fails_does_not_stop_the_others(
    request_words: list[str], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import growlm.bench.run.run_cell as run_cell

    grow = run_cell._grow

    def failing(plan: Any, stack: Path, *rest: Any) -> Any:
        if "seed-0" in str(stack):
            raise RuntimeError("out of luck")
        return grow(plan, stack, *rest)

    monkeypatch.setattr(run_cell, "_grow", failing)
    words = [*request_words, "--methods", "lora", "--workers", "1", "--out", tmp_path / "failing"]
    done = command(words)
    assert done.status == 2
    (complaint,) = complaints(done)
    assert "1 of 2 cells failed, first lora, order 1, seed 0: RuntimeError, see " in complaint
    folder = tmp_path / "failing" / "cells" / "lora" / "order-1"
    assert "out of luck" in (folder / "seed-0" / "error.txt").read_text()
    assert json.loads((folder / "seed-1" / "cell.json").read_text())["finished"]


def test_all_skills_at_once_future_skills_and_no_stacks(
    request_words: list[str], command: Command, tmp_path: Path
) -> None:
    cells = ["--methods", "pooled,lora", "--seeds", "3", "--orders", "2", "--workers", "1"]
    more = [*cells, "--matrix", "full", "--discard_stacks", "--out", tmp_path / "more"]
    assert command([*request_words, *more]).status == 0
    cells = measured(tmp_path / "more")
    pooled = cells["cells/pooled/order-any/seed-3/cell.json"]
    matrix = pooled["scores"]["modes"]["all"]
    assert matrix[1] == [None, None]
    assert None not in [*matrix[0], *matrix[2]]
    assert [cost["steps"] for cost in pooled["costs"]] == [6]
    lora = cells["cells/lora/order-2/seed-3/cell.json"]
    assert lora["scores"]["skills"] == ["talk", "words"]
    assert None not in [score for row in lora["scores"]["modes"]["oracle"] for score in row]
    assert not list((tmp_path / "more").rglob("stack.json"))
    done = command(["report", tmp_path / "more"])
    assert done.status == 0, done.err
    assert "FWT" in (tmp_path / "more" / "report.html").read_text()


def test_each_skill_after_its_own_phase_and_after_the_last(
    request_words: list[str], whole: Path, command: Command, tmp_path: Path
) -> None:
    words = [*request_words, "--methods", "lora", "--seeds", "0", "--matrix", "last", "--out", tmp_path / "last"]
    assert command(words).status == 0
    found = measured(tmp_path / "last")["cells/lora/order-1/seed-0/cell.json"]["scores"]["modes"]["oracle"]
    expected = measured(whole)["cells/lora/order-1/seed-0/cell.json"]["scores"]["modes"]["oracle"]
    assert found == expected, "of two skills the last row is the only one that has an older skill"
    other = command([*words, "--matrix", "lower"])
    assert other.status == 2
    (complaint,) = complaints(other)
    assert "matrix 'last', now 'lower'" in complaint


def test_general_ability_is_measured_where_it_is_asked_for(
    request_words: list[str], command: Command, tmp_path: Path
) -> None:
    words = [*request_words, "--methods", "lora", "--seeds", "0", "--general_ability", "true", "--matrix", "last"]
    assert command([*words, "--out", tmp_path / "results"]).status == 0
    found = measured(tmp_path / "results")["cells/lora/order-1/seed-0/cell.json"]["general"]
    assert set(found) == {"divergence", "consistency", "ended", "distinct_3"}
    assert all(set(values) == {"base", "oracle", "routed", "all"} for values in found.values())
    assert found["divergence"]["all"] > found["divergence"]["oracle"] == 0.0


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # submitit's debug executor leaves its logs open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_submitit_runs_the_same_cells(request_words: list[str], whole: Path, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    words = [*request_words, "--engine", "submitit", "--cluster", '{"cluster": "debug"}', "--workers", "2"]
    done = command([*words, "--out", tmp_path / "jobs"])
    gc.collect()
    assert done.status == 0, done.err
    assert measured(tmp_path / "jobs") == measured(whole)
    done = command([*words, "--cluster", '{"cluster": "nowhere"}', "--out", tmp_path / "none"])
    assert done.status == 2
    (complaint,) = complaints(done)
    assert "submitit does not take" in complaint


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", "lroa"], "unknown method of this benchmark 'lroa': did you mean 'lora'"),
        (["--stream", "five-skill"], "did you mean 'five-skills'"),
        (["--orders", "3"], "unknown order of stream 'pair' '3'"),
        (["--seeds", "one"], "--seeds 'one' are not seeds"),
        (["--steps", "0"], "steps is 0"),
        (["--phase", '{"batch": 3}'], "did you mean 'batch_size'"),
        (["--workers", "0"], "--workers 0 is too small"),
        (
            ["--skill_options", '{"trian": 3}'],
            "unknown option of any skill of the stream 'trian': did you mean 'train'",
        ),
        (["--without", "song"], "'song'"),
        (["--entries", "nothing"], "unknown recipe in 'bench' 'nothing'"),
    ],
)
def test_wrong_words(more: list[str], said: str, request_words: list[str], command: Command, tmp_path: Path) -> None:
    done = command([*request_words, "--out", tmp_path / "wrong", *more])
    assert done.status == 2
    (complaint,) = complaints(done)
    assert said in complaint
    assert not (tmp_path / "wrong").exists()


def test_report_of_a_benchmark_and_of_a_stack(
    whole: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlm.bench.report.report.write_png", lambda plots, path: None)  # the page has them, too
    done = command(["report", whole, "--out", tmp_path / "page"])
    assert done.status == 0, done.err
    assert (tmp_path / "page" / "report.html").exists()
    assert "negative means forgotten" in " ".join(done.out.split())
    stack = whole / "cells" / "lora" / "order-1" / "seed-0" / "stack"
    done = command(["report", "--from", stack / "accuracy.json", "--json"])
    assert done.status == 0, done.err
    (rows,) = json.loads(done.out)
    assert [row["mode"] for row in rows] == ["oracle", "routed", "all"]
    assert float(rows[0]["BWT ↑"]) == 0, "a path that is kept computes what it did"
    old = tmp_path / "old.json"
    old.write_text('{"format_version": 1, "skills": []}')
    for words, said in (
        (["report"], "give either a folder of results"),
        (["report", "--from", old], "scores of format version 1"),
        (["report", tmp_path], "holds no results of growlm bench"),
    ):
        done = command(words)
        assert done.status == 2
        (complaint,) = complaints(done)
        assert said in complaint


def test_answers_are_kept_and_scored_by_another_metric(
    request_words: list[str], command: Command, tmp_path: Path
) -> None:
    options = ["--phase", '{"metric": null}', "--skill_options", '{"metric": "exact_match"}']
    options += ["--exclude", "talk", "--workers", "1"]
    out = tmp_path / "asked"
    done = command([*request_words, *options, "--methods", "lora,all-weights", "--seeds", "0", "--out", out])
    assert done.status == 0, done.err
    from growlm.bench.run.result import read_cell

    cells = [read_cell(path) for path in sorted(out.glob("cells/*/*/*/cell.json"))]
    assert len(cells) == 2
    for cell in cells:
        for mode, answers in cell.answers["words"].items():
            mean = sum(answer.score for answer in answers) / len(answers)
            assert mean == pytest.approx(cell.scores.modes[mode][-1][0])
        assert set(cell.answers["words"]) == {"oracle", "routed", "all"}
    done = command(["report", out, "--metric", "edit_similarity", "--out", tmp_path / "again"])
    assert done.status == 0, done.err
    numbers = json.loads((tmp_path / "again" / "results.json").read_text())
    assert any(entry["metrics"][entry["mode"]]["ap"]["mean"] > 0 for entry in numbers["entries"])
    assert numbers["entries"][0]["comparison"]["unit"] == "question"
    done = command(["report", out, "--metric", "edit_similarity"])
    assert complaints(done) == [
        "growlm: --metric edit_similarity makes another report: give a folder of results, and another with --out"
    ]


def test_choices_are_made_on_other_rows_in_another_order_and_then_tested(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from growlm.cli.main import main

    skills = {
        name: {"skill": "jsonl", "options": {"train": file}}
        for name, file in (("words", files.words), ("talk", files.talk))
    }
    phase = {"steps": 2, "batch_size": 4, "num_scored": 3, "stories": files.stories, "router": "none"}
    stream = {"skills": skills, "orders": {"1": ["words", "talk"]}, "tuning_order": ["talk", "words"], "phase": phase}
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(stream))
    entry = {"method": "sequential", "phase": {"learning_rate": 0.01}}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({"all-weights": entry}))
    out = tmp_path / "results"
    words = f"bench --stream {tmp_path / 'pair.yaml'} --entries {tmp_path / 'few.yaml'} --base {files.base} --seeds 0"
    command = [*words.split(), *f"--workers 1 --threads 1 --accelerator cpu --out {out} --discard_stacks true".split()]
    command += ["--fresh", "arithmetic", "--trial_steps", "1"]
    shorter = ["--tune_phase", '{"steps": 1}']
    assert main([*command, "--tune", "true", "--tune_factors", "0.001,1", *shorter]) == 0
    choices = json.loads((out / "choices.json").read_text())
    assert choices["protocol"]["phase"] == {"steps": 1}
    assert choices["protocol"]["order"] == ["talk", "words"]
    tried = choices["choices"]["all-weights"]["tried"]
    assert [point["learning_rate"] for point in tried] == [1e-5, 0.01]
    chosen = choices["choices"]["all-weights"]["chosen"]
    assert chosen["ap"] == max(point["ap"] for point in tried)

    tuned = json.loads((out / "tune/cells/all-weights-0_001/order-tune/seed-1000/cell.json").read_text())
    tested = json.loads((out / "cells/all-weights/order-1/seed-0/cell.json").read_text())
    assert tested["settings"]["phase"]["learning_rate"] == chosen["learning_rate"]
    assert tuned["settings"]["split"] == "validation"
    assert (tuned["settings"]["phase"]["steps"], tested["settings"]["phase"]["steps"]) == (1, 2)
    assert "split" not in tested["settings"]
    assert tuned["data"]["words"]["train"] == tested["data"]["words"]["train"]
    assert tuned["data"]["words"]["test"] != tested["data"]["words"]["test"]

    assert [trial["after"] for trial in tested["fresh"]] == [0, 1, 2]
    assert tested["fresh"][0]["loss"] != tested["fresh"][2]["loss"]
    assert tested["recovery"].keys() == {"value", "loss"}
    assert tuned["fresh"] == []

    before = {path: path.stat().st_mtime_ns for path in out.glob("**/cell.json")}
    assert main([*command, "--tune", "true", "--tune_factors", "0.001,1", *shorter]) == 0
    assert main([*command, "--choices", str(out / "choices.json")]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("**/cell.json")} == before, "nothing ran again"
    assert main([*command, "--tune", "true", "--seeds", "1000"]) == 2
