from collections.abc import Callable
from dataclasses import replace

import pytest

from growlm.manifest.manifest import Manifest, ModuleRecord
from growlm.manifest.tables import base_scores, lineage, module_facts, short_number, skill_scores


def test_lineage(manifest: Manifest):
    names = {name: [record.name for record in records] for name, records in lineage(manifest).items()}
    assert names == {"base": ["chat", "rhymes"], "chat": ["memory"], "memory": [], "rhymes": []}


def test_several_kinds_and_their_options(manifest: Manifest):
    record = replace(manifest.modules[0], kinds={"block": {"num_blocks": 2}, "prefix": {}})
    assert dict(module_facts(record, manifest.base))["kind"] == "block (num_blocks 2) + prefix"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1_000, "1k"), (12_345, "12.3k"), (8_100_000, "8.1M"), (7e9, "7B")],
)
def test_short_number(value: float, text: str):
    assert short_number(value) == text


def test_a_skill_is_shown_as_it_was_and_as_it_is_now(manifest: Manifest, make_module: Callable[..., ModuleRecord]):
    """What was measured with the newest module in place is shown beside what was measured at first."""
    chat, *_ = manifest.modules
    both = {
        "stories": {mode: {"metric": "bits_per_byte", "value": 0.5, "loss": 1.0} for mode in ("base", "oracle", "all")},
        **{
            name: {mode: {"metric": "contains", "value": 0.25, "loss": 2.0} for mode in ("base", "oracle", "all")}
            for name in ("chat", "rhymes")
        },
    }
    grown = replace(manifest, modules=(chat, make_module("rhymes", scores=both)))
    table = skill_scores(grown, chat)
    assert table.titles == (
        *("score", "bare base", "own path", "all modules on"),
        *("now: own path", "now: all modules on"),
    )
    assert table.rows == (
        ("chat: contains ↑", "12.5 %", "75.0 %", "50.0 %", "25.0 %", "25.0 %"),
        ("chat: loss per token ↓", "1.500", "1.500", "1.500", "2.000", "2.000"),
    )
    newest = skill_scores(grown, grown.modules[-1])
    assert newest.titles == ("score", "bare base", "own path", "all modules on")
    assert base_scores(grown).rows == (("stories: bits per byte ↓", "0.500000000", "0.500000000", "0.500000000"),)


def test_what_was_not_measured_is_not_shown(manifest: Manifest, make_module: Callable[..., ModuleRecord]):
    silent = replace(manifest, modules=(make_module("plain", scores={}),))
    assert skill_scores(silent, silent.modules[0]).rows == base_scores(silent).rows == ()
    assert base_scores(replace(manifest, modules=())).rows == ()
    first = manifest.modules[0]
    assert skill_scores(manifest, first).titles == ("score", "bare base", "own path", "all modules on")
