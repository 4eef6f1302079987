"""The tables of tiers name tests that exist, and leave something of each in the default tier."""

import re
from pathlib import Path

import pytest

from tests.tiers import SELECTED, SLOW

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [*SLOW, *SELECTED])
def test_what_the_tables_name_exists(name: str):
    file, _, function = name.partition("::")
    assert (TESTS / file).is_file()
    assert not function or re.search(rf"^def {function}\(", (TESTS / file).read_text(), re.MULTILINE)


def test_a_selection_is_one():
    assert all(SELECTED.values())
