"""Who has had how much, lately."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.scheduling.shares import HALF_LIFE, Shares

CALLERS = st.sampled_from("abc")
CHARGES = st.lists(st.tuples(CALLERS, st.floats(0, 600), st.floats(0, 20 * HALF_LIFE)), max_size=20)


def test_what_was_used_counts_half_after_ten_minutes() -> None:
    shares = Shares()
    shares.charge("anna", 40, now=5000)
    assert shares.served("anna", 5000) == pytest.approx(40)
    assert shares.served("anna", 5600) == pytest.approx(20)
    assert shares.served("anna", 6200) == pytest.approx(10)


def test_the_lead_is_counted_from_the_least_served_caller_who_waits() -> None:
    shares = Shares()
    for caller, seconds in (("anna", 50.0), ("bert", 20.0), ("carl", 5.0)):
        shares.charge(caller, seconds, now=0)
    shares.wait("anna")
    shares.wait("bert")
    assert shares.lead("anna", 0) == pytest.approx(30)
    assert shares.lead("bert", 0) == 0
    shares.wait("carl")
    assert shares.lead("anna", 0) == pytest.approx(45)
    shares.leave("carl")
    assert shares.lead("anna", 600) == pytest.approx(15)


def test_nobody_leads_when_nobody_waits() -> None:
    shares = Shares()
    shares.charge("anna", 50, now=0)
    assert shares.lead("anna", 0) == 0


def test_a_caller_who_waits_may_be_charged() -> None:
    shares = Shares()
    shares.wait("anna")
    shares.wait("bert")
    shares.charge("anna", 8, now=10)
    assert shares.lead("anna", 10) == pytest.approx(8)
    shares.leave("bert")
    assert shares.lead("anna", 10) == 0


def test_years_of_service_stay_a_number_of_seconds() -> None:
    shares = Shares()
    now = 0.0
    for _ in range(3000):
        now += 12 * 3600
        shares.charge("anna", 100, now)
    shares.wait("bert")
    shares.wait("anna")
    assert math.isfinite(shares.lead("anna", now))
    assert shares.lead("anna", now) == pytest.approx(100, rel=0.01)
    assert shares.lead("anna", now + 1e9) == 0


@given(CHARGES, st.sets(CALLERS, min_size=1))
def test_leads_are_what_the_plain_formula_says(charges: list[tuple[str, float, float]], waiting: set[str]) -> None:
    shares, now, booked = Shares(), 0.0, []
    for caller in sorted(waiting):
        shares.wait(caller)
    for caller, seconds, later in charges:
        now += later
        shares.charge(caller, seconds, now)
        booked.append((caller, seconds, now))
    plain = {who: sum(s * 0.5 ** ((now - at) / HALF_LIFE) for c, s, at in booked if c == who) for who in "abc"}
    for who in waiting:
        assert shares.lead(who, now) == pytest.approx(plain[who] - min(plain[each] for each in waiting), abs=0.01)
