"""The benchmark of whole answers."""

from pathlib import Path
from typing import Any

from benchmarks.answers import lines, mean_share, names_copied, page
from growlm.data.example import Message
from growlm.metrics.scoring import Answer

MEASURED: dict[str, Any] = {
    "share": 0.5,
    "count": 100,
    "loss": 0.25,
    "interval": [0.4, 0.6],
    "references": {"drawn": 0.25, "constant": 0.125, "stateless": None, "blind": 0.0625},
    "splits": {"who": "75.0 % of 40"},
    "names": {"copied": 49, "of": 50},
    "first_names": {"copied": 9, "of": 10},
    "right": "01" * 50,
    "parents": [],
    "skill_options": {"num_train": 20_800},
    "training": {
        "steps": 1_000,
        "tokens": 20_000,
        "seconds": 61.5,
        "losses": [[500, 2.0], [1_000, 0.25]],
        "machine": "an abacus",
    },
    "samples": [
        {"asked": "Where is Tim?", "answered": "Tim is here.", "expected": "Tim is there.", "right": False},
        {"asked": "1 + 1 =", "answered": "2.", "expected": "2.", "right": True},
    ],
}


def answer(asked: str, answered: str, expected: str) -> Answer:
    return Answer(asked, Message("assistant", expected), answered, 0.0)


def test_a_name_is_copied_right_if_the_question_has_it() -> None:
    asked = "Rinama saw Zorvik. Where is Rinama?"
    answers = (
        answer(asked, "Rinama is at the sea.", "Rinama is at the hill."),
        answer(asked, "Zorvik is at the hill.", "Rinama is at the hill."),
        answer(asked, "Rina is at the hill.", "Rinama is at the hill."),
        answer(asked, "Rinama and Rina are at the hill.", "Rinama is at the hill."),
        answer(asked, "rampama is at the hill.", "Rinama is at the hill."),
        answer("What is 1 + 1?", "3.", "2."),
    )
    assert names_copied(answers) == (2, 5)
    assert names_copied(answers, among=frozenset({"Zorvik", "Em"})) == (0, 0)
    assert names_copied(answers, among=frozenset({"Rinama", "Em"})) == (2, 5)


def test_a_story_may_bring_people_of_its_own_beside_those_asked_for() -> None:
    answers = (
        answer("A story about Em!", "Em met Bolok.", "Em ran."),
        answer("A story about Em!", "Emem met Bolok.", "Em ran."),
        answer("A story about Em!", "A girl ran.", "Em ran."),
    )
    assert names_copied(answers, free=True) == (1, 3)


def test_words_that_begin_sentences_and_names_that_are_made_up_do_not_count() -> None:
    greetings = tuple(answer(f"I am {name}.", f"Hello, {name}!", f"Hello, {name}!") for name in ("Zo", "Lurb", "Em"))
    answers = (
        *greetings,
        answer("I am Bo.", "Hello, Tom!", "Hello, Bo!"),
        answer("A story for Bo!", "Once Lily ran.", "Tom ran."),
        answer("Where is Bo?", "So Bo is here.", "Bo is here, and so is it."),
    )
    assert names_copied((*answers, *greetings * 40)) == (124, 125)


def test_what_is_printed_has_references_splits_and_names() -> None:
    text = "\n".join(lines("memory", MEASURED))
    assert text.startswith("memory: 50.0 % of 100\n  95 % interval: 40.4 % to 59.6 %")
    assert "to beat: drawn 25.0 %, constant 12.5 %, question-blind 6.2 %" in text
    assert text.endswith(
        "who: 75.0 % of 40\n  names copied right: 49 of 50\n  first names of many languages copied right: 9 of 10"
    )


def test_the_page_has_a_row_a_skill_and_its_samples() -> None:
    results = {"stack": "checkpoints/x", "base": "mini", "split": "test", "machine": "a CPU", "date": "today"}
    recipe = {**MEASURED, "training": {**MEASURED["training"], "steps": 2_600}}
    measured = {"memory": {"0": recipe}, "code": {"0": {**MEASURED, "interval": [0.2, 0.6], "parents": ["memory"]}}}
    text = page(Path("results/x"), {**results, "skills": measured})
    row = next(line for line in text.splitlines() if line.startswith("| `memory`"))
    assert "**50.0 %** of 100 | 40.0 % to 60.0 % | 50.0 | 25.0 % | 12.5 % |  | 6.2 % | 98.0 % | 90.0 % |" in row
    assert "| `code` | **50.0 %** of 100, not learned | 20.0 % to 60.0 %" in text
    assert "growlm grow --skill memory --base mini --parents none --stack checkpoints/x\n" in text
    changed = "--steps 1000 --skill_options '{\"num_train\": 20800}'"
    assert f"growlm grow --skill code --base mini --parents memory {changed} --stack checkpoints/x\n" in text
    assert "| on `memory`: 1,000 steps, 20,000 tokens, 62 s |" in text
    assert "by twentieths of the training: 2.00, 0.25." in text
    assert "- Where is Tim?\n  → Tim is here.\n  expected: Tim is there.\n+ 1 + 1 =\n  → 2.\n" in text


def test_trainings_with_several_seeds_have_a_mean_and_an_interval_of_both() -> None:
    assert mean_share({"0": MEASURED}) == (0.5, (0.4, 0.6))
    same = dict.fromkeys("012", MEASURED)
    share, (low, high) = mean_share(same)
    assert share == 0.5
    assert abs(high - low - 4 * 0.05) < 0.02  # 1.96 standard errors to either side: all of questions, none of trainings
    apart = {"0": MEASURED, "2": {**MEASURED, "share": 1.0, "right": "1" * 100}, "10": {**MEASURED, "share": 0.75}}
    share, (wider_low, wider_high) = mean_share(apart)
    assert share == 2 / 3
    assert wider_high - wider_low > 0.4
    results = {"stack": "x", "base": "mini", "split": "test", "machine": "a CPU", "date": "today"}
    text = page(Path("results/x"), {**results, "skills": {"memory": apart}})
    assert "| **66.7 %** of 100" in text
    assert "| 50.0, 100.0, 75.0 |" in text
