from __future__ import annotations

from controller.supervision.backoff import Pace
from controller.supervision.outage import Outage


def test_the_network_is_asked_about_once_after_five_minutes_not_before() -> None:
    outage = Outage(Pace())
    assert [outage.goes_on(now) for now in (0.0, 299.0, 300.0, 301.0)] == [False, False, True, False]


def test_only_a_network_that_is_up_earns_a_fresh_start() -> None:
    outage = Outage(Pace())
    outage.goes_on(0.0)
    assert outage.goes_on(300.0)
    assert not outage.network_is(False, 300.0)
    assert not outage.goes_on(359.0)
    assert outage.goes_on(360.0)
    assert outage.network_is(True, 360.0)


def test_a_second_fresh_start_keeps_its_distance_unless_a_person_forgives() -> None:
    outage = Outage(Pace())
    outage.goes_on(0.0)
    outage.goes_on(300.0)
    outage.network_is(True, 300.0)
    outage.over()
    outage.goes_on(310.0)
    assert not outage.goes_on(1199.0)
    assert outage.goes_on(1200.0)
    outage.over()
    outage.forgive()
    outage.goes_on(1210.0)
    assert outage.goes_on(1510.0)


def test_an_answer_that_comes_after_the_outage_means_nothing() -> None:
    outage = Outage(Pace())
    outage.goes_on(0.0)
    outage.goes_on(300.0)
    outage.over()
    assert not outage.network_is(True, 301.0)


def test_a_sleep_in_the_middle_starts_its_time_anew() -> None:
    outage = Outage(Pace())
    outage.goes_on(0.0)
    outage.slept(10_000.0)
    assert not outage.goes_on(10_299.0)
    assert outage.goes_on(10_300.0)
