from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.supervision.backoff import Backoff, Pace

PACE = Pace()


def test_the_first_failure_after_readiness_costs_no_wait() -> None:
    assert Backoff().failed(0.0, was_ready=True, luck=0.5).seconds == 0.0


def test_each_further_failure_doubles_the_wait_up_to_half_a_minute() -> None:
    backoff = Backoff()
    pauses = [backoff.failed(1000.0 * n, was_ready=True, luck=0.5).seconds for n in range(9)]
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_readiness_that_is_not_proven_forgives_nothing() -> None:
    backoff = Backoff()
    backoff.failed(0.0, was_ready=True, luck=0.5)
    assert backoff.failed(2.0, was_ready=True, luck=0.5).seconds > 0


def test_proven_readiness_makes_the_next_restart_immediate_again() -> None:
    backoff = Backoff()
    for n in range(3):
        backoff.failed(float(n), was_ready=True, luck=0.5)
    backoff.prove()
    assert backoff.failed(100.0, was_ready=True, luck=0.5).seconds == 0.0


def test_five_failed_starts_in_two_minutes_open_the_breaker() -> None:
    backoff = Backoff()
    assert [backoff.failed(float(n), was_ready=False, luck=0.5).degraded for n in range(5)] == [False] * 4 + [True]


def test_four_failed_starts_and_one_more_after_the_window_do_not_open_it() -> None:
    backoff = Backoff()
    moments = [0.0, 1.0, 2.0, 3.0, 124.0]
    assert not any(backoff.failed(at, was_ready=False, luck=0.5).degraded for at in moments)


def test_ten_crashes_in_half_an_hour_open_it_though_each_was_forgiven() -> None:
    backoff = Backoff()
    degraded = []
    for n in range(10):
        degraded.append(backoff.failed(170.0 * n, was_ready=True, luck=0.5).degraded)
        backoff.prove()
    assert degraded == [False] * 9 + [True]


def test_an_open_breaker_tries_ever_more_seldom_but_goes_on_trying() -> None:
    backoff = Backoff()
    now = 0.0
    pauses = []
    for _ in range(12):
        pause = backoff.failed(now, was_ready=False, luck=0.5)
        now += pause.seconds
        if pause.degraded:
            pauses.append(pause.seconds)
    assert pauses == [60.0, 120.0, 240.0, 300.0, 300.0, 300.0, 300.0, 300.0]


def test_a_person_who_asks_for_a_start_closes_it() -> None:
    backoff = Backoff()
    for n in range(6):
        backoff.failed(float(n), was_ready=False, luck=0.5)
    backoff.forgive()
    assert not backoff.failed(10.0, was_ready=False, luck=0.5).degraded


@given(
    st.lists(
        st.tuples(st.floats(0, 4000), st.booleans(), st.booleans(), st.floats(0, 1)),
        min_size=1,
        max_size=60,
    )
)
def test_a_pause_is_never_longer_than_five_jittered_minutes_and_never_negative(
    failures: list[tuple[float, bool, bool, float]],
) -> None:
    backoff, now = Backoff(), 0.0
    for gap, was_ready, proven, luck in failures:
        now += gap
        if proven:
            backoff.prove()
        pause = backoff.failed(now, was_ready=was_ready, luck=luck)
        longest = PACE.degraded_longest if pause.degraded else PACE.longest
        assert 0 <= pause.seconds <= longest * (1 + PACE.jitter)
        assert pause.seconds > 0 or (was_ready and backoff.failures == 1)


@given(st.floats(0, 1), st.floats(0, 1))
def test_jitter_draws_a_pause_between_three_and_five_quarters(luck: float, other: float) -> None:
    seconds = Backoff().failed(0.0, was_ready=False, luck=luck).seconds
    assert 0.375 <= seconds <= 0.625
    assert (luck < other) <= (seconds <= Backoff().failed(0.0, was_ready=False, luck=other).seconds)


def test_scaling_the_pace_changes_seconds_and_leaves_counts_and_shares() -> None:
    fast = Pace().scaled(0.01)
    assert (fast.longest, fast.proven, fast.failed_starts, fast.crashes, fast.jitter) == (0.3, 0.6, 5, 10, 0.25)
