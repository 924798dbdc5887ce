"""Sums of what was used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.refusal import Reason
from controller.usage import DONE, HARMLESS, Slot, Use, rolled_up, week_of
from tests.kit.uses import a_use

USES = st.lists(
    st.builds(
        a_use,
        at=st.floats(0, 5),
        caller=st.sampled_from(["anna", "ben"]),
        key_id=st.sampled_from(["", "k1"]),
        model=st.sampled_from(["red", "blue"]),
        waited=st.none() | st.floats(0, 100),
        prompt_tokens=st.integers(0, 10**6),
        estimated=st.booleans(),
        outcome=st.sampled_from([DONE, "status_404", *Reason]).map(str),
        bytes_in=st.integers(0, 10**9),
    )
)


def day_of(at: float) -> str:
    return f"day {int(at)}"


def slot_of(use: Use) -> Slot:
    return Slot(day_of(use.at), use.kind, use.caller, use.caller_id, use.key_id, use.user_id, use.model)


@given(uses=USES)
def test_every_request_is_counted_in_exactly_one_place(uses: Sequence[Use]) -> None:
    days = rolled_up(uses, day_of)
    assert sum(sums.requests for sums in days.values()) == len(uses)
    for slot, sums in days.items():
        own = [use for use in uses if slot_of(use) == slot]
        assert sums.requests == len(own) > 0
        assert sums.prompt_tokens == sum(use.prompt_tokens for use in own)
        assert sums.failed == sum(use.failed for use in own)
        assert sums.estimated == sum(use.estimated for use in own)
        assert sums.bytes_in == sum(use.bytes_in for use in own)


@given(uses=USES, cut=st.integers(0, 20))
def test_sums_of_parts_add_up_to_the_sums_of_the_whole(uses: Sequence[Use], cut: int) -> None:
    first, second, whole = (rolled_up(part, day_of) for part in (uses[:cut], uses[cut:], uses))
    assert first.keys() | second.keys() == whole.keys()
    for slot, sums in whole.items():
        parts = [asdict(part[slot]) for part in (first, second) if slot in part]
        for name, value in asdict(sums).items():
            assert sum(part[name] for part in parts) == pytest.approx(value)


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [("done", False), ("status_404", True), ("client_gone", False), ("waited_out", True), ("cut_short", True)],
)
def test_a_client_that_leaves_is_nobodys_failure(outcome: str, failed: bool) -> None:
    assert a_use(outcome=outcome).failed is failed


def test_the_harmless_outcomes_are_outcomes() -> None:
    assert {*Reason, DONE} >= HARMLESS


@given(day=st.dates(date(1990, 1, 1), date(2200, 1, 1)))
def test_a_week_begins_on_monday_and_holds_its_day(day: date) -> None:
    monday = date.fromisoformat(week_of(day.isoformat()))
    assert monday.weekday() == 0
    assert 0 <= (day - monday).days < 7
