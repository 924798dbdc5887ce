"""Runners that are left alone because loading them crashes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.residency.quarantine import ASIDE, Quarantine


def test_one_crash_is_forgiven_and_a_second_sets_aside() -> None:
    quarantine = Quarantine()
    assert quarantine.crashed("a", 0.0) is None
    assert quarantine.until("a", 0.0) is None
    assert quarantine.crashed("a", 10.0) == 10.0 + ASIDE
    assert quarantine.until("a", 10.0) == 10.0 + ASIDE
    assert quarantine.until("b", 10.0) is None


def test_a_load_that_works_between_two_crashes_forgives_the_first() -> None:
    quarantine = Quarantine()
    quarantine.crashed("a", 0.0)
    quarantine.loaded("a")
    assert quarantine.crashed("a", 1.0) is None


def test_when_it_is_over_one_try_is_left() -> None:
    quarantine = Quarantine(aside=60)
    quarantine.crashed("a", 0.0)
    quarantine.crashed("a", 0.0)
    assert quarantine.until("a", 59.9) == 60
    assert quarantine.until("a", 60.0) is None
    assert quarantine.crashed("a", 61.0) == 121.0
    quarantine.loaded("a")
    assert quarantine.crashed("a", 130.0) is None


steps = st.lists(st.tuples(st.floats(0.1, 400), st.booleans()), max_size=40)


@given(steps)
def test_whoever_asks_before_each_load_sees_at_most_two_crashes_in_any_time_of_quarantine(
    tries: list[tuple[float, bool]],
) -> None:
    quarantine, now, crashes = Quarantine(), 0.0, list[float]()
    for pause, works in tries:
        now += pause
        if quarantine.until("a", now) is not None:
            continue
        if works:
            quarantine.loaded("a")
            crashes.clear()
        else:
            crashes.append(now)
            quarantine.crashed("a", now)
        recent = [at for at in crashes if at > now - ASIDE]
        assert len(recent) <= 2
