"""When a filler is due, told by a sweep that looks twice a second and may come late."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.waiting import Waits
from controller.dialect import Ending
from controller.proxy.exchange import Exchange
from controller.proxy.fillers import Manner, Rhythm
from controller.proxy.seat import Seat
from controller.readiness import Readiness
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import State, Ticket
from tests.fakes.turns import Line, runner

RHYTHM = Rhythm()


@dataclass
class Answering:
    """As much of an exchange as the sweep looks at."""

    started: float = 0.0
    status: int = 0
    bytes_out: int = 0
    answer: None = None


def seat_of(exchange: Answering) -> Seat:
    ticket = Ticket(1, "anna", 1.0, "m", runner("m"), 0.0, 1800.0)
    line = Line(Readiness(), lambda: 60.0)
    return Seat(cast(Exchange, exchange), line, ticket, Waits(), RHYTHM, Manner.LINES, Ending.DONE)


@given(st.lists(st.floats(0.5, 0.55), min_size=150, max_size=150))
def test_a_client_never_waits_longer_than_fifteen_seconds_for_a_byte(steps: list[float]) -> None:
    exchange = Answering()
    seat, now, heard = seat_of(exchange), 0.0, [0.0]
    for step in steps:
        now += step
        assert seat.look(now, RHYTHM.sweep) is None
        if seat.due:
            heard.append(now)
            seat.due, exchange.status, exchange.bytes_out = False, 200, exchange.bytes_out + 1
    assert RHYTHM.grace <= heard[1] <= RHYTHM.grace + 0.55  # before that a quick failure keeps its true status
    gaps = [later - earlier for earlier, later in pairwise(heard)]
    assert len(gaps) >= 4
    assert max(gaps) <= RHYTHM.every


def test_what_upstream_sends_puts_the_next_filler_off() -> None:
    exchange = Answering(status=200)
    seat, now = seat_of(exchange), 0.0
    while now < 60.0:
        now += RHYTHM.sweep
        if now % 5 == 0:
            exchange.bytes_out += 100
        seat.look(now, RHYTHM.sweep)
        assert not seat.due


class Answered:
    """A seat that has been granted at 0, on a wound clock."""

    def __init__(self, manner: Manner, **times: float) -> None:
        self.ticket = Ticket(1, "anna", 1.0, "m", runner("m"), 0.0, 1800.0, state=State.GRANTED, granted=0.0)
        self.line = Line(Readiness(), lambda: 60.0, awaited=None)
        exchange = cast(Exchange, Answering(status=200))
        self.seat = Seat(exchange, self.line, self.ticket, Waits(**times), RHYTHM, manner, Ending.DONE)
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


@pytest.mark.parametrize("manner", list(Manner))
def test_silence_ends_no_answer_that_its_runner_works_on_streamed_or_not(manner: Manner) -> None:
    answered = Answered(manner)
    assert answered.until(7200, works=True) is None  # not a byte yet: an answer in one piece
    answered.until(7210, brings=True)
    assert answered.until(14400, works=True) is None  # a tool call that Ollama holds back
    late = answered.until(20000)
    assert late is not None
    assert (late.reason, answered.now) == (Reason.GAP, 14400 + 120.5)


@pytest.mark.parametrize("manner", list(Manner))
def test_an_answer_that_does_not_begin_and_is_not_worked_on_ends_in_time(manner: Manner) -> None:
    answered = Answered(manner)
    late = answered.until(20000)
    assert late is not None
    assert (late.reason, answered.now) == (Reason.FIRST_BYTE, 600.5)


@pytest.mark.parametrize("manner", list(Manner))
def test_an_answer_is_bounded_from_when_somebody_waits_for_it(manner: Manner) -> None:
    answered = Answered(manner)
    assert answered.until(7200, brings=True) is None
    answered.line.awaited = 7200.0
    assert answered.until(7800, brings=True) is None
    answered.line.awaited = None
    assert answered.until(9000, brings=True) is None
    answered.line.awaited = 9000.0
    late = answered.until(20000, brings=True)
    assert late is not None
    assert (late.reason, answered.now) == (Reason.ANSWER, 9600.5)
