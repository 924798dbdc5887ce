"""The test that timing is judged by."""

from __future__ import annotations

import pytest

from tests.kit.ranks import rank_sum

EVEN, ODD = [float(each) for each in range(0, 400, 2)], [float(each) for each in range(1, 401, 2)]


def test_what_is_mixed_is_the_same_and_what_is_apart_is_not() -> None:
    assert rank_sum(EVEN, ODD) > 0.9
    assert rank_sum(EVEN, EVEN) == pytest.approx(1.0)
    assert rank_sum(EVEN, [each + 80 for each in EVEN]) < 0.001
    assert rank_sum([each + 80 for each in EVEN], EVEN) < 0.001


def test_a_few_that_are_far_off_change_little() -> None:
    assert rank_sum([*EVEN, 1e9], [*ODD, 5.0]) > 0.9


def test_it_is_the_figure_that_others_get() -> None:
    """From the normal distribution's table: U = 0 of 4 × 4 is 2.309 spreads from the middle."""
    assert rank_sum([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(0.0209, abs=1e-4)
