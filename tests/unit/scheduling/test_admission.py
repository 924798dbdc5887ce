"""Who may join the line, and what the others are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.waiting import LineSettings
from controller.scheduling.line import LineRules
from controller.scheduling.ticket import Cap, Caps, Turned
from tests.kit.line_world import BIG, Refused, World, runner

A = runner("A")


def turned(made: World, caller: str = "anna", caps: Caps = BIG, size: int = 0) -> Turned:
    with pytest.raises(Refused) as told:
        made.ask(caller, A, caps=caps, size=size)
    return told.value.turned


def full(waiting: int, whole: int = 256) -> World:
    """One answer is being written and `waiting` requests of anna's wait."""
    made = World(LineRules(whole=whole))
    made.resident(A)
    made.ask("other", A, seconds=100)
    for _ in range(waiting):
        made.ask("anna", A)
    return made


def test_a_caller_may_have_so_many_waiting_and_no_more() -> None:
    made = full(8)
    told = turned(made, caps=Caps(waiting=8))
    assert told.cap is Cap.CALLER
    assert told.text == "You have 8 requests waiting, as many as allowed. Try again when one has had its turn."
    made.ask("bert", A, caps=Caps(waiting=8))


def test_twenty_at_once_of_one_caller_are_let_in_by_default() -> None:
    line = LineSettings()
    assert (line.running, line.waiting, line.bytes) == (Caps().running, Caps().waiting, Caps().size)
    made = World()
    made.resident(A)
    for _ in range(1 + line.waiting):
        made.ask("program", A, caps=Caps())
    assert turned(made, caller="program", caps=Caps()).cap is Cap.CALLER


def test_what_runs_does_not_count_as_waiting() -> None:
    made = World()
    made.resident(A)
    made.ask("anna", A, caps=Caps(waiting=1))
    made.ask("anna", A, caps=Caps(waiting=1))
    assert turned(made, caps=Caps(waiting=1)).cap is Cap.CALLER


def test_a_callers_waiting_bodies_may_take_so_much() -> None:
    made = full(0)
    made.ask("anna", A, size=40 * 2**20)
    told = turned(made, caps=Caps(size=64 * 2**20), size=25 * 2**20)
    assert told.cap is Cap.BYTES
    assert "64 MiB" in told.text
    made.ask("anna", A, caps=Caps(size=64 * 2**20), size=24 * 2**20)


def test_bytes_are_free_again_when_their_ticket_has_its_turn() -> None:
    made = full(0)
    made.ask("anna", A, size=40)
    made.wind(100)
    made.ask("anna", A, caps=Caps(size=64), size=60)


def test_the_line_holds_so_many_and_no_more() -> None:
    made = full(5, whole=5)
    told = turned(made, caller="bert")
    assert told.cap is Cap.LINE
    assert "5 requests are waiting" in told.text
    assert made.scheduler.line.account("bert").waiting == 0


@given(st.integers(1, 10_000), st.floats(0, 10_000))
def test_come_back_between_a_second_and_a_minute(number: int, answer: float) -> None:
    made = full(1, whole=1)
    made.scheduler.slots.answered(answer)
    for _ in range(number % 7):
        next(made._numbers)
    assert 1 <= turned(made, caller="bert").retry_after <= 60


def test_those_who_were_turned_away_together_do_not_come_back_together() -> None:
    made = full(1, whole=1)
    made.scheduler.slots.answered(60)
    told = [turned(made, caller="bert").retry_after for _ in range(20)]
    assert len(set(told)) > 5
    assert 24 <= min(told) <= max(told) <= 36, "half an answer, and a fifth either way"


def test_when_to_come_back_is_the_same_for_the_same_ticket() -> None:
    assert turned(full(1, whole=1), "bert") == turned(full(1, whole=1), "bert")
