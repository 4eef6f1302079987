"""Entries, and which cells a request has."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from growlm.bench.plan.cell import ANY_ORDER, Measured, check_fresh, parse_seeds, plan_cells
from growlm.bench.plan.entries import Entry, choose_entries, read_entries
from growlm.bench.plan.stream import Stream, StreamSkill, read_stream
from growlm.bench.run.runner import default_out
from growlm.errors import GrowlmError
from growlm.recipes import recipe_names
from growlm.registry import methods
from growlm.train.config import PhaseConfig

STREAM = Stream(
    "two",
    {"chat": StreamSkill("chat", {"num_train": 5}), "sums": StreamSkill("arithmetic", {})},
    {"1": ("chat", "sums"), "2": ("sums", "chat")},
    {"steps": 3, "batch_size": 4, "learning_rate": 1e-3},
    {"chat_arithmetic": ("chat", "sums")},
)
GROW = Entry("grow", "grow", {"module": {"lora": {}}}, {"learning_rate": 0.5, "batch_size": 2})
JOINT = Entry("joint", "joint", {}, {})


def test_every_method_stands_in_the_list_and_every_entry_can_be_built():
    entries = read_entries()
    compresses_a_stack = {"distill"}  # and so learns no skill that the stack has not learned before
    assert {entry.method for entry in entries.values()} == set(methods) - compresses_a_stack
    assert choose_entries("all", entries) == list(entries.values())


@pytest.mark.parametrize("name", recipe_names("bench"))
def test_every_list_can_be_built(name: str):
    entries = read_entries(name)
    assert len(entries) > 1
    same = {str((entry.method, entry.options, entry.phase, entry.per_skill)) for entry in entries.values()}
    assert len(same) == len(entries), "two entries are the same under two labels"


@pytest.mark.parametrize(
    ("entries", "folder"),
    [("methods", "five-skills-nano"), ("fusion", "five-skills-nano-fusion"), ("a/My.yaml", "five-skills-nano-my")],
)
def test_another_list_has_another_folder(entries: str, folder: str):
    assert default_out("five-skills", "checkpoints/Nano", entries) == Path("results") / folder


def test_entries_are_chosen_by_label_once_and_in_the_order_of_the_list():
    entries = {"grow": GROW, "joint": JOINT}
    assert choose_entries("joint, grow,joint", entries) == [GROW, JOINT]
    with pytest.raises(GrowlmError, match=r"unknown method of this benchmark 'jiont': did you mean 'joint'"):
        choose_entries("grow,jiont", entries)
    with pytest.raises(GrowlmError, match="no method is given"):
        choose_entries(" ,", entries)


def test_another_base_multiplies_the_learning_rate_of_an_entry_and_nothing_else():
    assert GROW.scale_lr(0.5) == Entry("grow", "grow", GROW.options, {"learning_rate": 0.25, "batch_size": 2})
    assert GROW.scale_lr(1) is GROW
    for factor in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(GrowlmError, match=r"--lr_scale .*: expected a number above 0"):
            GROW.scale_lr(factor)
    with pytest.raises(GrowlmError, match="entry 'joint' names no learning rate to multiply"):
        JOINT.scale_lr(0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "lists nothing to compare"),
        ({"mine": {"method": "gorw"}}, r"entry 'mine': unknown method 'gorw': did you mean 'grow'"),
        ({"mine": {}}, r"entry 'mine': unknown method 'mine'"),
        ({"grow": {"option": {}}}, r"unknown key of entry 'grow' .*did you mean 'options'"),
        ({"grow": {"options": {"modul": {}}}}, r"entry 'grow': unknown option of method 'grow' 'modul'"),
        ({"grow": {"phase": {"learning_rat": 1.0}}}, r"unknown key of phase .*did you mean 'learning_rate'"),
        ({"grow": {"phase": {"learning_rate": "fast"}}}, r"learning_rate is 'fast', expected float"),
        ({"grow": {"per_skill": {"sums": 3}}}, r"'per_skill' has to be \{SKILL: \{OPTION: VALUE\}\}"),
        ({"grow": {"per_skill": {3: {}}}}, r"'per_skill' has to be \{SKILL: \{OPTION: VALUE\}\}"),
        ({"grow": {"per_skill": {"sums": {"modul": {}}}}}, r"entry 'grow', skill 'sums': unknown option .* 'modul'"),
        ({"grow": {"per_skill": {"sums": {"learning_rate": "fast"}}}}, r"skill 'sums': phase: learning_rate is 'fast'"),
        ({"joint": {"per_skill": {"chat": {}}}}, "learns all skills at once; leave 'per_skill' out"),
        ({"grow": ["lora"]}, r"entry 'grow' is \['lora'\]; write"),
        ({"../grow": {"method": "grow"}}, "cannot be a name"),
    ],
)
def test_wrong_entries_are_refused(tmp_path: Path, content: object, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(GrowlmError, match=message):
        read_entries(str(path))


def test_cells_are_entries_orders_and_seeds_crossed():
    cells = plan_cells(STREAM, [GROW, JOINT], ["1", "2"], [0, 7], "nano", {"steps": 9}, Measured())
    assert [cell.name for cell in cells] == [
        "grow, order 1, seed 0",
        "joint, order any, seed 0",
        "grow, order 2, seed 0",
        "grow, order 1, seed 7",
        "joint, order any, seed 7",
        "grow, order 2, seed 7",
    ]
    assert len({cell.folder(Path("out")) for cell in cells}) == len(cells)
    assert cells[0].phase == {"num_scored": PhaseConfig.num_scored, "steps": 9, "batch_size": 2, "learning_rate": 0.5}
    assert cells[2].skills == ("sums", "chat")


def test_phases_of_a_cell():
    grow, joint = plan_cells(STREAM, [GROW, JOINT], ["2"], [7], "nano", {}, Measured())
    first, second = grow.phases()
    assert (first.name, first.steps, first.arguments["skill"]) == ("sums", 3, "arithmetic")
    assert second.arguments["skill_options"] == {"num_train": 5}
    assert second.arguments["seed"] == 7
    assert second.arguments["method_options"] == {"module": {"lora": {}}}
    assert "steps" not in second.arguments
    (pooled,) = joint.phases()
    assert joint.order == ANY_ORDER
    assert pooled.steps == 6, "as many as one by one"
    assert pooled.arguments["skill_options"]["skills"]["sums"] == {"skill": "arithmetic", "options": {}}


def test_a_skill_can_have_options_of_its_own():
    entry = replace(GROW, per_skill={"sums": {"module": {"block": {}}}, "code": {"module": {"dense": {}}}})
    cell, plain = plan_cells(STREAM, [entry, GROW], ["1"], [0], "nano", {}, Measured())
    assert [phase.arguments["method_options"]["module"] for phase in cell.phases()] == [{"lora": {}}, {"block": {}}]
    assert cell.settings() == {**plain.settings(), "per_skill": entry.per_skill}
    wrong = replace(GROW, per_skill={"sum": {}})
    with pytest.raises(GrowlmError, match=r"unknown skill in 'per_skill' of entry 'grow' 'sum': did you mean 'sums'"):
        plan_cells(STREAM, [wrong], ["1"], [0], "nano", {}, Measured())


def test_a_skill_can_have_a_rate_of_its_own():
    entry = replace(GROW, per_skill={"sums": {"module": {"block": {}}, "learning_rate": 0.25}})
    assert entry.scale_lr(0.5).per_skill == {"sums": {"module": {"block": {}}, "learning_rate": 0.125}}
    (cell,) = plan_cells(STREAM, [entry], ["1"], [0], "nano", {}, Measured())
    phases = {phase.name: phase.arguments for phase in cell.phases()}
    assert phases.keys() == {"sums", "chat"}
    assert phases["sums"]["method_options"] == {"module": {"block": {}}}
    assert phases["sums"]["learning_rate"] == 0.25
    assert phases["chat"]["learning_rate"] == GROW.phase["learning_rate"]
    (asked,) = plan_cells(STREAM, [entry], ["1"], [0], "nano", {"learning_rate": 0.75}, Measured())
    assert {phase.arguments["learning_rate"] for phase in asked.phases()} == {0.75}
    assert asked.settings()["per_skill"] == {"sums": {"module": {"block": {}}}}


def test_older_skills_are_scored_at_the_end_alone_if_asked_for():
    for matrix, rescored in (("lower", [True, True]), ("full", [True, True]), ("last", [False, True])):
        (grow,) = plan_cells(STREAM, [GROW], ["2"], [7], "nano", {}, Measured(matrix))
        assert [phase.arguments["rescore"] for phase in grow.phases()] == rescored
        assert grow.settings()["matrix"] == matrix


def test_a_trial_is_a_short_phase_of_the_entry():
    measured = Measured("last", fresh="reasoning", trial_steps=3)
    (grow,) = plan_cells(STREAM, [GROW], ["2"], [7], "nano", {"num_scored": 2}, measured)
    trial = grow.trial("reasoning", {"num_train": 4})
    assert (trial.name, trial.steps) == ("again", 3)
    wanted = {"skill": "reasoning", "skill_options": {"num_train": 4}, "method": "grow", "seed": 7, "num_scored": 2}
    assert trial.arguments.items() >= {**wanted, "rescore": False, "router": "none"}.items()
    assert (grow.settings()["fresh"], grow.settings()["trial_steps"]) == ("reasoning", 3)
    (plain,) = plan_cells(STREAM, [GROW], ["2"], [7], "nano", {}, Measured())
    assert not plain.has_trials
    assert not {"fresh", "trial_steps"} & plain.settings().keys()


def test_what_a_trial_learns_is_in_no_phase():
    assert check_fresh(None, STREAM) is None
    assert check_fresh("reasoning", STREAM) == "reasoning"
    with pytest.raises(GrowlmError, match=r"unknown skill of --fresh 'reasonin': did you mean 'reasoning'"):
        check_fresh("reasonin", STREAM)
    with pytest.raises(GrowlmError, match="--fresh chat is a skill of stream 'two': give one that no phase learns"):
        check_fresh("chat", STREAM)


def test_the_base_text_is_left_out_if_asked_for():
    (grow,) = plan_cells(STREAM, [GROW], ["2"], [7], "nano", {}, Measured("last", base_text=False))
    assert [phase.arguments["rescore"] for phase in grow.phases()] == [False, False]
    assert [grow.scores_all_after(phase.name) for phase in grow.phases()] == [False, True]
    assert grow.settings()["base_text"] is False
    assert "base_text" not in plan_cells(STREAM, [GROW], ["2"], [7], "nano", {}, Measured("last"))[0].settings()


def test_general_ability_is_left_out_if_asked_for():
    (grow,) = plan_cells(STREAM, [GROW], ["2"], [7], "nano", {}, Measured(general=False))
    assert grow.settings()["general"] is False
    assert "general" not in plan_cells(STREAM, [GROW], ["2"], [7], "nano", {}, Measured())[0].settings()


def test_unknown_orders_are_refused():
    with pytest.raises(GrowlmError, match=r"unknown order of stream 'two' '3'"):
        plan_cells(STREAM, [GROW], ["3"], [0], "nano", {}, Measured())


def test_seeds():
    assert parse_seeds("0,1, 12") == [0, 1, 12]
    for words, message in (
        ("0,a", "are not seeds"),
        ("", "are not seeds"),
        ("1,1", "each seed once"),
        ("-1", "from 0 up"),
    ):
        with pytest.raises(GrowlmError, match=message):
            parse_seeds(words)


def test_the_stream_of_the_small_world_has_composites_of_its_skills():
    stream = read_stream("five-skills")
    assert all(set(needs) <= set(stream.skills) for needs in stream.composites.values())
    assert len(stream.orders) >= 2


def test_lists_of_older_versions_are_read(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"grow": {"by_skill": {"chat": {"learning_rate": 0.1}}}}))
    assert read_entries(str(path))["grow"].per_skill == {"chat": {"learning_rate": 0.1}}
