"""How quick the line is and how little it keeps, with ten thousand waiting."""

from __future__ import annotations

import pytest

from tests.bench import line


@pytest.mark.proof
def test_a_decision_with_ten_thousand_waiting_takes_fifty_microseconds_at_most() -> None:
    assert min(line.decision() for _ in range(3)) <= 50


@pytest.mark.proof
def test_a_request_that_nobody_is_before_costs_ten_microseconds_at_most() -> None:
    assert min(line.idle() for _ in range(3)) <= 10


def test_a_waiting_request_costs_four_kilobytes_at_most() -> None:
    assert line.bytes_per_waiting() <= 4096
