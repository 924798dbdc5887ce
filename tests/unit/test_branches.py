"""What the figures of coverage come to."""

from __future__ import annotations

import pytest

from tests.kit.branches import TESTS, TOP, verdict


@pytest.mark.parametrize(("lines", "branches", "code"), [(950, 190, 0), (949, 200, 1), (1000, 189, 1), (0, 0, 1)])
def test_lines_and_branches_each_must_be_tried(lines: int, branches: int, code: int) -> None:
    totals = {"covered_lines": lines, "num_statements": 1000, "covered_branches": branches, "num_branches": 200}
    said, found = verdict(totals)
    assert found == code
    assert f"{lines / 10:.1f} % of the lines and {branches / 2:.1f} % of the branches" in said
    assert ("is the least" in said) == bool(code)


def test_nothing_measured_is_not_enough() -> None:
    nothing = {"covered_lines": 0, "num_statements": 0, "covered_branches": 0, "num_branches": 0}
    assert verdict(nothing)[1] == 1


def test_the_tests_it_runs_are_there() -> None:
    assert all((TOP / each).exists() for each in TESTS)
