"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.auth.rates import _REMEMBERED, Rates


def test_as_many_as_a_minute_allows_at_once_and_then_one_at_a_time() -> None:
    rates = Rates()
    assert [rates.take("a", 3, 0.0) for _ in range(4)] == [0, 0, 0, 20]
    assert rates.take("a", 3, 19.0) == 1
    assert rates.take("a", 3, 20.0) == 0
    assert rates.take("b", 3, 20.0) == 0


@given(st.integers(1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_never_more_than_the_rate_and_what_it_holds(per_minute: int, gaps: list[float]) -> None:
    rates, now, let = Rates(), 0.0, 0
    for gap in gaps:
        now += gap
        wait = rates.take("a", per_minute, now)
        assert 0 <= wait <= 60
        let += not wait
    assert let <= per_minute + now * per_minute / 60 + 1e-6


@given(st.integers(1, 1000), st.floats(0, 1e6))
def test_who_waits_as_long_as_told_gets_in(per_minute: int, start: float) -> None:
    rates, wait = Rates(), 0
    while not (wait := rates.take("a", per_minute, start)):
        pass
    assert rates.take("a", per_minute, start + wait) == 0


def test_many_names_do_not_fill_the_memory() -> None:
    rates = Rates()
    for number in range(5 * _REMEMBERED):
        rates.take(str(number), 10, number / 1e6)
    assert rates.remembered <= _REMEMBERED


def test_a_clock_that_stands_still_fills_nothing() -> None:
    rates = Rates()
    assert rates.take("a", 1, 5.0) == 0
    assert rates.take("a", 1, 4.0) == 60
