"""When a filler is due, told by a sweep that looks twice a second and may come late."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from controller.config.schema import Waits
from controller.proxy.dialects import Ending
from controller.proxy.exchange import Exchange
from controller.proxy.fillers import Manner, Rhythm
from controller.proxy.seat import Seat
from controller.readiness import Readiness
from controller.scheduling.ticket import Ticket
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
