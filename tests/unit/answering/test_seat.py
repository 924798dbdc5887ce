"""When a sink is due, and when a run ends for its time: told by a sweep that looks twice a second and may come late."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.answering.rhythm import Rhythm
from controller.answering.seat import Seat
from controller.answering.sink import Wait
from controller.clock import SystemClock
from controller.config.waiting import Waits
from controller.dialect import StreamEnding
from controller.readiness import Readiness
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import State, Ticket
from tests.fakes.turns import Line, runner

RHYTHM = Rhythm()


@dataclass
class Shown:
    """A sink that is told by the test alone."""

    sent: int = 0
    begun: bool = False
    grace: float = RHYTHM.grace
    every: float = RHYTHM.every

    async def waits(self, wait: Wait) -> None:
        raise AssertionError("Nobody tells it here.")


def seat_of(line: Line, ticket: Ticket, sink: Shown, ending: StreamEnding | None, times: Waits | None = None) -> Seat:
    return Seat(line, SystemClock(), RHYTHM, ticket, times or Waits(), sink, ending, started=0.0)


def waiting(sink: Shown) -> Seat:
    ticket = Ticket(1, "anna", 1.0, "m", runner("m"), 0.0, 1800.0)
    return seat_of(Line(Readiness("Ollama"), lambda: 60.0), ticket, sink, StreamEnding.DONE)


@given(st.lists(st.floats(0.5, 0.55), min_size=150, max_size=150))
def test_a_client_never_waits_longer_than_fifteen_seconds_for_a_byte(steps: list[float]) -> None:
    sink = Shown()
    seat, now, heard = waiting(sink), 0.0, [0.0]
    for step in steps:
        now += step
        assert seat.look(now, RHYTHM.sweep) is None
        if seat.due:
            heard.append(now)
            seat.due, sink.begun, sink.sent = False, True, sink.sent + 1
    assert RHYTHM.grace <= heard[1] <= RHYTHM.grace + 0.55  # before that a quick failure keeps its true status
    gaps = [later - earlier for earlier, later in pairwise(heard)]
    assert len(gaps) >= 4
    assert max(gaps) <= RHYTHM.every


def test_what_upstream_sends_puts_the_next_filler_off() -> None:
    sink = Shown(begun=True)
    seat, now = waiting(sink), 0.0
    while now < 60.0:
        now += RHYTHM.sweep
        if now % 5 == 0:
            sink.sent += 100
        seat.look(now, RHYTHM.sweep)
        assert not seat.due


class Answered:
    """A seat that has been granted at 0, on a wound clock."""

    def __init__(self, ending: StreamEnding | None, **times: float) -> None:
        self.ticket = Ticket(1, "anna", 1.0, "m", runner("m"), 0.0, 1800.0, state=State.GRANTED, granted=0.0)
        self.line = Line(Readiness("Ollama"), lambda: 60.0, awaited=None)
        self.seat = seat_of(self.line, self.ticket, Shown(begun=True), ending, Waits(**times))
        self.now = 0.0

    def until(self, end: float, *, works: bool = False, brings: bool = False) -> Refused | None:
        while self.now < end:
            self.now += RHYTHM.sweep
            if works and self.now % 10 == 0:
                self.ticket.worked = self.now
            if brings:
                self.seat.usage.moved += 10
            if (late := self.seat.look(self.now, RHYTHM.sweep)) is not None:
                return late
        return None


@pytest.mark.parametrize("ending", [StreamEnding.DONE, StreamEnding.SENTINEL, StreamEnding.MESSAGE_STOP, None])
def test_silence_ends_no_answer_that_its_runner_works_on_streamed_or_not(ending: StreamEnding | None) -> None:
    answered = Answered(ending)
    assert answered.until(7200, works=True) is None  # not a byte yet: an answer in one piece
    answered.until(7210, brings=True)
    assert answered.until(14400, works=True) is None  # a tool call that Ollama holds back
    late = answered.until(20000)
    assert late is not None
    assert (late.reason, answered.now) == (Reason.GAP, 14400 + 120.5)


@pytest.mark.parametrize("ending", [StreamEnding.DONE, StreamEnding.SENTINEL, StreamEnding.MESSAGE_STOP, None])
def test_an_answer_that_does_not_begin_and_is_not_worked_on_ends_in_time(ending: StreamEnding | None) -> None:
    answered = Answered(ending)
    late = answered.until(20000)
    assert late is not None
    assert (late.reason, answered.now) == (Reason.FIRST_BYTE, 600.5)


@pytest.mark.parametrize("ending", [StreamEnding.DONE, StreamEnding.SENTINEL, StreamEnding.MESSAGE_STOP, None])
def test_an_answer_is_bounded_from_when_somebody_waits_for_it(ending: StreamEnding | None) -> None:
    answered = Answered(ending)
    assert answered.until(7200, brings=True) is None
    answered.line.awaited = 7200.0
    assert answered.until(7800, brings=True) is None
    answered.line.awaited = None
    assert answered.until(9000, brings=True) is None
    answered.line.awaited = 9000.0
    late = answered.until(20000, brings=True)
    assert late is not None
    assert (late.reason, answered.now) == (Reason.ANSWER, 9600.5)
