"""Whether a load moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.engines.ollama.standstill import BYTES, LIMIT, WORK, Standstill


def test_a_load_that_neither_works_nor_grows_for_a_minute_stands_still() -> None:
    watch = Standstill(100.0)
    assert not watch.see(0.0, 0, 100.0 + LIMIT - 1)
    assert watch.see(0.1, 1000, 100.0 + LIMIT)


def test_work_that_comes_slowly_adds_up() -> None:
    watch = Standstill(0.0)
    assert not any(watch.see(second * WORK / 30, 0, float(second)) for second in range(600))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=50))
def test_memory_that_is_read_in_keeps_it_going(steps: list[int]) -> None:
    watch, held, now = Standstill(0.0), 0, 0.0
    for step in steps:
        held, now = held + (step + 1) * BYTES, now + LIMIT - 1
        assert not watch.see(0.0, held, now)
    assert watch.see(0.0, held, now + LIMIT)
