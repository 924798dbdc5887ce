"""Which copies are worth keeping."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from controller.storage.backup import to_keep

DAY = 86400.0
MONDAY = datetime(2026, 11, 16, 3, tzinfo=UTC).timestamp()

moments = st.lists(st.floats(MONDAY - 400 * DAY, MONDAY + 400 * DAY), max_size=80)


def day(moment: float) -> object:
    return datetime.fromtimestamp(moment, UTC).date()


def week(moment: float) -> object:
    return datetime.fromtimestamp(moment, UTC).isocalendar()[:2]


def test_a_copy_a_night_leaves_a_week_of_days_and_a_month_of_sundays() -> None:
    nights = [MONDAY + n * DAY for n in range(28)]  # four whole weeks
    sundays = [nights[6], nights[13], nights[20], nights[27]]
    assert to_keep(nights) == {*nights[21:], *sundays}


def test_of_two_copies_of_one_day_the_later_is_kept() -> None:
    assert to_keep([MONDAY, MONDAY + 60]) == {MONDAY + 60}


@given(made=moments)
def test_what_is_kept_is_the_newest_of_its_day(made: list[float]) -> None:
    for kept in to_keep(made):
        assert kept == max(moment for moment in made if day(moment) == day(kept))


@given(made=moments)
def test_few_are_kept_and_the_newest_always(made: list[float]) -> None:
    kept = to_keep(made)
    assert kept <= set(made)
    assert len(kept) <= 11
    assert not made or max(made) in kept


@given(made=moments)
def test_the_last_seven_days_and_four_weeks_that_have_one_still_have_one(made: list[float]) -> None:
    kept = to_keep(made)
    assert set(sorted({day(moment) for moment in made})[-7:]) <= {day(moment) for moment in kept}  # type: ignore[type-var]  # dates
    assert set(sorted({week(moment) for moment in made})[-4:]) <= {week(moment) for moment in kept}  # type: ignore[type-var]  # tuples


@given(made=moments)
def test_keeping_night_after_night_comes_to_the_same_as_keeping_all_at_once(made: list[float]) -> None:
    kept: set[float] = set()
    for moment in sorted(made):
        kept = to_keep({*kept, moment})
    assert kept == to_keep(made)


@given(made=moments, daily=st.integers(1, 9), weekly=st.integers(0, 9))
def test_as_many_days_and_weeks_are_kept_as_was_said(made: list[float], daily: int, weekly: int) -> None:
    kept = to_keep(made, daily=daily, weekly=weekly)
    days = sorted({day(moment) for moment in made}, reverse=True)[:daily]  # type: ignore[type-var]  # dates
    assert {day(moment) for moment in kept} >= set(days)
    assert len(kept) <= daily + weekly
    assert weekly or len(kept) == len(days)
