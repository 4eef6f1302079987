"""A record must fit the records before it, and its numbers must be numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from growlm.errors import GrowlmError
from growlm.manifest.manifest import Manifest, ModuleRecord
from growlm.manifest.records import check_module

GOOD = {"metric": "loss", "value": 1.0, "loss": 1}


def test_records_of_a_stack_fit(manifest: Manifest) -> None:
    for index, module in enumerate(manifest.modules):
        check_module(module, manifest.modules[:index], "module.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "base"},
        {"kinds": {}},
        {"parents": ("rhymes",)},
        {"parents": ("memory",)},
        {"parents": ("memory", "chat")},
        {"parents": ("chat", "chat")},
        {"supersedes": ("rhymes",)},
        {"parameters": -1},
        {"parameters": 10**30},
        {"skill": {"options": {}}},
        {"skill": {"name": "chat", "options": "all"}},
        {"method": {"name": 3}},
        {"cost": {"steps": "many"}},
        {"cost": {"seconds": -1}},
        {"cost": {"tokens": float("nan")}},
        {"cost": {"rows": True}},
        {"scores": {"chat": 3}},
        {"scores": {"chat": {"elsewhere": GOOD}}},
        {"scores": {"chat": {"base": {**GOOD, "value": "low"}}}},
        {"scores": {"chat": {"base": {**GOOD, "metric": None}}}},
        {"scores": {"chat": {"base": {**GOOD, "loss": float("inf")}}}},
        {"scores": {"chat": {"base": {**GOOD, "routing_accuracy": "all"}}}},
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    manifest: Manifest, make_module: Callable[..., ModuleRecord], changes: dict[str, Any]
) -> None:
    module = replace(make_module("rhymes"), **changes)
    with pytest.raises(GrowlmError, match=r"^module\.json: .*found"):
        check_module(module, manifest.modules[:2], "module.json")
