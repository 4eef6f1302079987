"""Choosing hyperparameters: one grid for every entry, the best point by its score, nothing of the test."""

from pathlib import Path
from typing import Any

import pytest

from growlm.bench.plan.entries import Entry, read_entries
from growlm.bench.plan.stream import Stream, StreamSkill, read_stream
from growlm.bench.plan.tuning import (
    TUNE,
    apply_choices,
    choose,
    default_rate,
    protocol_sentence,
    read_factors,
    trials,
    tuning_stream,
    write_choices,
)
from growlm.errors import GrowlmError

SKILLS = {"chat": StreamSkill("chat", {}), "sums": StreamSkill("arithmetic", {})}
STREAM = Stream("two", SKILLS, {"1": ("chat", "sums")}, {"steps": 3}, {"chat_sums": ("chat", "sums")}, ("sums", "chat"))
PLAIN = Entry("plain", "sequential", {}, {"learning_rate": 0.5})
HELD = Entry("held", "ewc", {"decay": 0.9}, {}, {}, {"strength": [1.0, 10.0]})


def test_every_entry_has_the_same_factors_and_its_strengths():
    plain = trials(PLAIN, 0.25, (0.5, 1.0))
    assert [point.tried for point in plain] == [
        {"factor": 0.5, "learning_rate": 0.25, "options": {}},
        {"factor": 1.0, "learning_rate": 0.5, "options": {}},
    ]
    held = trials(HELD, 0.25, (0.5, 1.0))
    assert [point.entry.phase["learning_rate"] for point in held] == [0.125, 0.125, 0.25, 0.25]
    assert [point.entry.options for point in held[:2]] == [
        {"decay": 0.9, "strength": 1.0},
        {"decay": 0.9, "strength": 10.0},
    ]
    assert [point.entry.label for point in plain] == ["plain-0_5", "plain-1_0"]
    assert len({point.entry.label for point in [*plain, *held]}) == 6


def test_a_wider_grid_finds_the_trials_of_a_narrower_one():
    narrow, wide = (trials(HELD, 0.25, factors) for factors in ((0.5, 1.0), (0.1, 0.5, 1.0, 3.0)))
    assert wide[2:6] == narrow


def test_the_greatest_score_is_chosen_and_edges_are_named():
    tried = [
        {"factor": factor, "learning_rate": factor, "options": {}, "ap": ap}
        for factor, ap in ((0.1, 0.25), (0.3, 0.5), (1.0, 0.5))
    ]
    assert choose(tried) == {**tried[1], "at_edge": False}
    assert choose(tried[:2])["at_edge"]
    assert not choose(tried[:1])["at_edge"]
    with pytest.raises(GrowlmError, match=r"learning rate 0\.1 has no score to choose by"):
        choose([{**tried[0], "ap": float("nan")}])


def test_the_tuning_stream_has_no_order_of_the_test():
    tuned = tuning_stream(STREAM)
    assert tuned.orders == {TUNE: ("sums", "chat")}
    assert not tuned.composites
    with pytest.raises(GrowlmError, match="stream 'two' has no order to choose hyperparameters in"):
        tuning_stream(Stream("two", SKILLS, STREAM.orders, {"steps": 3}, {}))
    with pytest.raises(GrowlmError, match="without the excluded skills tuning_order is order '1'"):
        tuning_stream(Stream("one", SKILLS, {"1": ("sums",)}, {"steps": 3}, {}, ("sums",)))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("[chat, sums]", "tuning_order is order '1', which is tested"),
        ("[sums, chatt]", r"unknown skill in tuning_order of .* 'chatt': did you mean 'chat'"),
        ("sums", "tuning_order is 'sums'; give a list"),
    ],
)
def test_a_wrong_tuning_order_is_refused(tmp_path: Path, order: str, message: str):
    path = tmp_path / "two.yaml"
    skills = "skills: {chat: {}, sums: {skill: arithmetic}}"
    path.write_text(f"{skills}\norders: {{1: [chat, sums]}}\nphase: {{steps: 3}}\ntuning_order: {order}\n")
    with pytest.raises(GrowlmError, match=message):
        read_stream(str(path))


def test_choices_are_applied_as_they_were_written(tmp_path: Path):
    path = tmp_path / "choices.json"
    held = trials(HELD, default_rate(STREAM), (0.5, 1.0))[1]
    chosen = {"held": {"chosen": {**held.tried, "ap": 0.5, "at_edge": True}, "tried": []}}
    protocol = {"split": "validation", "order": ["sums", "chat"], "seed": 1000, "factors": [0.5, 1.0], "cells": 4}
    write_choices(path, chosen, protocol)
    assert protocol_sentence(path) == (
        "Rates and strengths of 1 entry were chosen by 4 trials on the validation split, in the order sums → chat, "
        "with seed 1000; factors of the rates 0.5, 1. All trials are in choices.json."
    )
    (entry,) = apply_choices([HELD], path, STREAM)
    assert entry.label == "held"
    assert (entry.phase, entry.options) == (held.entry.phase, held.entry.options)
    with pytest.raises(GrowlmError, match="no choice for entry 'plain'"):
        apply_choices([PLAIN], path, STREAM)
    faster = Entry("held", "ewc", {}, {"learning_rate": 0.125}, {}, HELD.strengths)
    with pytest.raises(GrowlmError, match="but its rate has changed since: tune again"):
        apply_choices([faster], path, STREAM)


@pytest.mark.parametrize("content", ["[]", '{"format_version": 1}', '{"format_version": 9}'])
def test_files_that_hold_no_choices_are_refused(tmp_path: Path, content: str):
    (tmp_path / "choices.json").write_text(content)
    with pytest.raises(GrowlmError, match=r"choices\.json (does not hold choices|has format version 9)"):
        apply_choices([PLAIN], tmp_path / "choices.json", STREAM)


@pytest.mark.parametrize("words", ["", "fast", "1,0.5", "0,1", "1,1", "1,inf"])
def test_wrong_factors_are_refused(words: str):
    with pytest.raises(GrowlmError, match="give rising numbers above 0"):
        read_factors(words)


def test_factors_are_read():
    assert read_factors("0.1,1,2.5") == (0.1, 1.0, 2.5)


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ("{strength: 3}", "'strengths' has 3 for 'strength'"),
        ("{strength: [3]}", r"'strengths' has \[3\] for 'strength'"),
        ("{strength: [3, 3.0]}", r"'strengths' has \[3, 3\.0\] for 'strength'"),
        ("{strength: [3, many]}", r"'strengths' has \[3, 'many'\] for 'strength'"),
        ("{strength: [1, 2], decay: [1, 2]}", "with one option"),
        ("{strenght: [1, 2]}", "unknown option of method 'ewc' 'strenght': did you mean 'strength'"),
        ("{strength: [1, -1]}", "entry 'ewc': "),
    ],
)
def test_wrong_strengths_are_refused(tmp_path: Path, strengths: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(f"ewc: {{strengths: {strengths}}}\n")
    with pytest.raises(GrowlmError, match=message):
        read_entries(str(path))


@pytest.mark.parametrize("name", ["methods", "comparison"])
def test_all_shipped_entries_have_a_grid(name: str):
    entries: dict[str, Any] = read_entries(name)
    sizes = {label: len(trials(entry, 1e-3, (0.1, 0.3, 1.0))) for label, entry in entries.items()}
    untrained = {label for label, entry in entries.items() if entry.method == "k_shot"}
    assert {sizes[label] for label in untrained} == {2 if name == "comparison" else 1}
    assert {size for label, size in sizes.items() if label not in untrained} == {3, 6}


def test_no_rate_is_tried_for_a_method_that_trains_nothing(tmp_path: Path):
    shots = Entry("shots", "k_shot", {}, {"router": "none"}, {}, {"k": [2, 8]})
    grid = trials(shots, 0.25, (0.1, 0.3, 1.0))
    assert [point.tried for point in grid] == [
        {"factor": 1.0, "learning_rate": 0.25, "options": {"k": 2}},
        {"factor": 1.0, "learning_rate": 0.25, "options": {"k": 8}},
    ]
    chosen = choose([{**point.tried, "ap": ap} for point, ap in zip(grid, (0.25, 0.5), strict=True)])
    assert not chosen["at_edge"]
    path = tmp_path / "choices.json"
    write_choices(path, {"shots": {"chosen": {**chosen, "learning_rate": default_rate(STREAM)}, "tried": []}}, {})
    (applied,) = apply_choices([shots], path, STREAM)
    assert applied.options == {"k": 8}
