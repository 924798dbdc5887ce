"""How short memory is, and what is done about it."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plain import GIB
from controller.residency.pressure import SETTLED, UNLOAD_EVERY, Pressures, linux_pressure
from controller.residency.resident import Pressure


@pytest.mark.parametrize(
    ("share", "stalled", "level"),
    [
        (0.5, None, 1),
        (0.081, 10.0, 1),
        (0.079, 0.0, 2),
        (0.5, 10.1, 2),
        (0.5, 40.0, 2),
        (0.039, None, 4),
        (0.5, 40.1, 4),
    ],
)
def test_linux_is_short_when_little_is_available_or_everybody_stalls(
    share: float, stalled: float | None, level: Pressure
) -> None:
    assert linux_pressure(int(share * GIB), GIB, stalled) == level


def test_a_machine_that_tells_nothing_is_not_short() -> None:
    assert linux_pressure(0, 0, None) == 1


def test_worse_counts_at_once() -> None:
    pressures = Pressures()
    calm, short, shorter = (pressures.see(level, now) for now, level in enumerate(get_args(Pressure)))
    assert (calm.may_load, calm.may_grant, calm.share, calm.unload) == (True, True, 1.0, False)
    assert (short.may_load, short.may_swap, short.may_grant, short.share, short.unload) == (
        False,
        True,
        True,
        0.5,
        False,
    )
    assert (shorter.may_load, shorter.may_swap, shorter.may_grant, shorter.unload) == (False, False, False, True)


def test_better_counts_when_it_has_lasted() -> None:
    pressures = Pressures()
    pressures.see(2, 0.0)
    assert not pressures.see(1, 1.0).may_load
    assert not pressures.see(1, SETTLED).may_load
    assert pressures.see(1, 1.0 + SETTLED).may_load


def test_a_moment_of_shortage_starts_the_wait_again() -> None:
    pressures = Pressures()
    pressures.see(2, 0.0)
    pressures.see(1, 1.0)
    pressures.see(2, 9.0)
    assert pressures.see(1, 12.0).level == 2
    assert pressures.see(1, 22.0).level == 1


def test_from_critical_it_first_gets_as_well_as_the_worst_since() -> None:
    pressures = Pressures()
    calm: list[Pressure] = [1] * 20
    seen = [pressures.see(level, float(now)).level for now, level in enumerate([4, 1, 2, *calm])]
    assert seen[:11] == [4] * 11
    assert seen[11:21] == [2] * 10
    assert seen[21:] == [1, 1]


def test_one_model_goes_at_a_time_while_it_is_critical() -> None:
    pressures = Pressures()
    unloads = [now for now in range(12) if pressures.see(4, float(now)).unload]
    assert unloads == [0, UNLOAD_EVERY, 2 * UNLOAD_EVERY]


def test_nothing_more_goes_once_it_is_no_longer_critical_although_that_does_not_count_yet() -> None:
    pressures = Pressures()
    pressures.see(4, 0.0)
    after = pressures.see(2, 6.0)
    assert (after.level, after.unload) == (4, False)


def test_under_pressure_a_runner_keeps_half_its_slots_and_one_at_least() -> None:
    short = Pressures().see(2, 0.0)
    assert [short.slots(of) for of in (1, 2, 3, 4)] == [1, 1, 1, 2]
    assert Pressures().see(1, 0.0).slots(4) == 4


@given(st.lists(st.sampled_from([1, 2, 4]), max_size=60))
def test_the_level_is_never_better_than_the_kernels_and_gets_better_only_after_ten_better_seconds(
    levels: list[Pressure],
) -> None:
    pressures, before = Pressures(), 1
    for now, level in enumerate(levels):
        counts = pressures.see(level, float(now)).level
        assert counts >= level
        if counts < before:
            assert max(levels[max(0, now - int(SETTLED)) : now + 1]) <= counts
        before = counts
