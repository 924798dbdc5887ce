"""Waiting for Ollama, not for one's turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.readiness import Verdict
from controller.scheduling.away import Away
from controller.scheduling.ticket import Ticket
from tests.fakes.residents import runner

MOMENTS = st.floats(0, 1000)


def ticket(number: int, arrived: float) -> Ticket:
    return Ticket(number, "anna", 1.0, "a", runner("a"), arrived, arrived + 1800)


@given(st.lists(MOMENTS, max_size=8), MOMENTS, st.floats(0, 300), MOMENTS)
def test_everybody_gets_the_whole_hold_and_no_more(
    arrivals: list[float], went: float, hold: float, later: float
) -> None:
    away = Away(0.0)
    away.see("ready", 0.0)
    away.see("coming", went)
    now = went + later
    waiting = [ticket(number, arrived) for number, arrived in enumerate(arrivals) if arrived <= now]
    out = away.held_out(waiting, hold, now)
    for each in waiting:
        assert (each in out) == (max(went, each.arrived) + hold <= now)
    rest = [each for each in waiting if each not in out]
    wake = away.wake(rest, hold)
    if wake is None:
        assert not rest
    else:
        assert wake > now
        assert away.held_out(rest, hold, wake)


@given(st.lists(st.sampled_from(["ready", "coming", "down"]), min_size=1))
def test_only_a_ready_ollama_is_here(verdicts: list[Verdict]) -> None:
    away = Away(0.0)
    for now, verdict in enumerate(verdicts):
        away.see(verdict, float(now))
        assert away.here(float(now)) == (verdict == "ready")
        assert (away.wake([ticket(1, 0.0)], 60.0) is None) == (verdict == "ready")


def test_an_absence_is_counted_from_its_beginning_whatever_is_said_in_between() -> None:
    away = Away(0.0)
    away.see("ready", 0.0)
    away.see("coming", 10.0)
    away.see("down", 30.0)
    assert away.wake([ticket(1, 0.0)], 60.0) == 70.0


def test_who_waits_while_ollama_finishes_its_answers_waits_for_no_absence_yet() -> None:
    away = Away(0.0)
    away.see("ready", 0.0)
    away.see("coming", 10.0, draining=True)
    assert not away.here(20.0)
    assert away.wake([ticket(1, 0.0)], 60.0) is None
    assert not away.held_out([ticket(1, 0.0)], 60.0, 1000.0)
    away.see("coming", 100.0)
    assert away.wake([ticket(1, 0.0)], 60.0) == 160.0


def test_a_rest_holds_everybody_although_ollama_is_ready() -> None:
    away = Away(0.0)
    away.see("ready", 0.0)
    away.rest(5.0)
    away.rest(3.0)  # a shorter one takes nothing back
    assert not away.here(4.0)
    assert away.here(5.0)
