"""What a manifest says for people and for plots: every score that was measured is there."""

import json
from dataclasses import replace

import pytest

from growlm.manifest.card import accuracy_json, named_scores, score_rows, score_titles, stack_card
from growlm.manifest.manifest import BaseRecord, Manifest, ModuleRecord

BASE = BaseRecord("mini", "llama", 8_123_456, {"model.weight": "ab", "lm_head.weight": "cd"}, "basedigest")


def value(metric: str, number: float, loss: float) -> dict[str, object]:
    return {"metric": metric, "value": number, "loss": loss, "count": 10}


def record(name: str, parents: tuple[str, ...], scores: dict[str, dict[str, dict[str, object]]]) -> ModuleRecord:
    return ModuleRecord(
        name=name,
        kinds={"lora": {"rank": 8}, "block": {"num_blocks": 2}},
        parents=parents,
        skill={"name": name, "options": {"num_train": 7}, "train_digest": f"data-{name}", "test_digest": "t"},
        method={"name": "grow", "options": {}},
        seed=42,
        recipe={"learning_rate": 0.002},
        parameters=1_234,
        tensors={"lora.A": "ef", "lora.B": "01", "block.x": "02"},
        digest=f"digest-{name}",
        scores=scores,
        cost={"steps": 4_321, "tokens": 98_765, "seconds": 12.5},
        environment={"python": "3.11", "torch": "2.13", "machine": "an abacus"},
    )


STORIES = {
    mode: value("bits_per_byte", number, 1.5)
    for mode, number in zip(("base", "oracle", "all"), (0.81, 0.81, 0.9), strict=True)
}
FIRST = {
    mode: value("contains", number, loss)
    for mode, number, loss in [("base", 0.125, 3.25), ("oracle", 0.875, 0.5), ("all", 0.75, 0.625)]
}
SECOND = {mode: value("loss", number, number) for mode, number in [("base", 4.125), ("oracle", 1.25), ("all", 1.125)]}
LATER = {**FIRST, "all": value("contains", 0.5, 0.75)}
MANIFEST = Manifest(
    BASE,
    (
        record("first", (), {"stories": STORIES, "first": FIRST}),
        record("second", ("first",), {"stories": STORIES, "first": LATER, "second": SECOND}),
    ),
)


def test_accuracy_matrices() -> None:
    content = json.loads(accuracy_json(MANIFEST))
    assert content["skills"] == ["first", "second"]
    assert content["metrics"] == {"first": "contains", "second": "loss"}
    # row 0: the bare base; row t: after phase t
    assert content["modes"]["oracle"] == [[0.125, 4.125], [0.875, None], [0.875, 1.25]]
    assert content["modes"]["all"] == [[0.125, 4.125], [0.75, None], [0.5, 1.125]]


def test_accuracy_of_nothing() -> None:
    content = json.loads(accuracy_json(Manifest(BASE)))
    assert content["skills"] == []
    assert content["modes"] == {"oracle": [[]], "routed": [[]], "all": [[]]}


def test_all_rows_of_scores() -> None:
    assert score_rows(MANIFEST.modules[1]) == [
        ("stories", "bits per byte ↓", "0.810000000", "0.810000000", "0.900000000"),
        ("first", "contains ↑", "12.5 %", "87.5 %", "50.0 %"),
        ("first", "loss per token ↓", "3.250", "0.500", "0.750"),
        ("second", "loss per token ↓", "4.125", "1.250", "1.125"),
    ]


def test_the_routed_mode_is_a_column_of_its_own() -> None:
    routed = {**value("contains", 0.625, 0.75), "routing_accuracy": 0.9, "paths": {"first": 0.9, "base": 0.1}}
    first = record("first", (), {"first": {**FIRST, "routed": routed}})
    assert score_titles(first) == ("bare base", "own path", "routed", "all modules on")
    assert score_rows(first) == [
        ("first", "contains ↑", "12.5 %", "87.5 %", "62.5 %", "75.0 %"),
        ("first", "loss per token ↓", "3.250", "0.500", "0.750", "0.625"),
        ("first", "routing accuracy ↑", "", "", "90.0 %", ""),
    ]
    second = record("second", ("first",), {"first": LATER, "second": SECOND})
    content = json.loads(accuracy_json(Manifest(BASE, (first, second))))
    assert content["modes"]["routed"] == [[0.125, 4.125], [0.625, None], [None, None]]


def test_modes_that_were_not_measured_have_no_column() -> None:
    assert score_titles(MANIFEST.modules[0]) == ("bare base", "own path", "all modules on")
    assert score_titles(record("first", (), {})) == ()


@pytest.mark.parametrize(
    ("metric", "written"),
    [
        ("exact_match", [("exact match ↑", "50.0 %"), ("loss per token ↓", "2.000")]),
        ("contains", [("contains ↑", "50.0 %"), ("loss per token ↓", "2.000")]),
        ("loss", [("loss per token ↓", "2.000")]),
        ("bits_per_byte", [("bits per byte ↓", "0.500000000")]),
    ],
)
def test_named_scores(metric: str, written: list[tuple[str, str]]) -> None:
    assert named_scores(metric, 0.5, 2.0) == written


def test_the_card_holds_every_score() -> None:
    card = stack_card(MANIFEST)
    for module in MANIFEST.modules:
        for row in score_rows(module):
            assert f"| {' | '.join(row)} |" in card
        for fact in (module.digest, module.skill["train_digest"], f"## {module.name}"):
            assert fact in card
    for fact in (
        "# first+second on mini",
        "8,123,456 parameters",
        "2 tensors",
        "basedigest",
        "path: `first+second`",
        "path: `first`",
        'lora `{"rank": 8}`, block `{"num_blocks": 2}`',
        "parameters: 1,234 in 3 tensors",
        '`{"num_train": 7}`',
        "method: grow, seed 42",
        '`{"learning_rate": 0.002}`',
        "4,321 steps, 98,765 tokens, 12.5 s",
        "python 3.11, torch 2.13, machine an abacus",
        "if `router.safetensors` is there, keeps moments or directions",
    ):
        assert fact in card


def test_the_card_of_a_bare_stack() -> None:
    assert stack_card(replace(MANIFEST, modules=())).split("---\n")[2].startswith("# base on mini\n")
