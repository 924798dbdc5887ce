"""What a clock that was ahead leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.giving import Standing, standing
from controller.auth.rows import AHEAD, believed, counts
from controller.config.entry import Access
from tests.fakes.rows import Rows, key

NOW, YEAR = 1_700_000_000.0, 365 * 86400.0
moments = st.floats(0, 4e9)


@given(began=moments, span=st.floats(0, YEAR), now=moments)
def test_nothing_that_ends_counts_longer_than_it_was_meant_to(began: float, span: float, now: float) -> None:
    """Whatever the clock showed when it was made: a year ahead is no year more."""
    if counts(began, began + span, now):
        assert -AHEAD <= now - began <= span


@given(began=moments, now=moments)
def test_what_never_ends_counts_whatever_its_date(began: float, now: float) -> None:
    assert counts(began, None, now)


def test_a_clock_may_be_set_back_a_little() -> None:
    assert counts(NOW + AHEAD, NOW + 3600, NOW)
    assert not counts(NOW + AHEAD + 1, NOW + 3600, NOW)
    assert believed(NOW + AHEAD, NOW) == NOW + AHEAD
    assert believed(NOW + AHEAD + 1, NOW) < 0


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, Standing.GOOD),
        ({"created_at": NOW + YEAR}, Standing.GOOD),
        ({"created_at": NOW + YEAR, "expires_at": NOW + YEAR + 3600}, Standing.RESTING),
        ({"created_at": NOW - 9, "expires_at": NOW}, Standing.OVER),
    ],
)
def test_what_was_given_out_with_a_key_of_a_later_date_rests(fields: dict[str, Any], found: Standing) -> None:
    _, row = key("admin", scopes=("admin",), **fields)
    assert standing(f"key:{row.id}", Rows(row), Access(), NOW) is found
