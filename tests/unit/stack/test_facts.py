from dataclasses import replace

import pytest

from growlm.stack.facts import lineage, module_facts, short_number
from growlm.stack.manifest import Manifest


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
