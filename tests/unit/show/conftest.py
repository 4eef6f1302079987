"""Fixtures for what is shown of stacks."""

import pytest


@pytest.fixture(autouse=True)
def _short(short_answers: None) -> None:
    """Generate short answers in every test of this folder."""
