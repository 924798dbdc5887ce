"""How long until a turn: what is told is right when everything goes as usual, and what is not known is not told."""

from __future__ import annotations

import pytest

from controller.residency.learned import Learned
from controller.residency.resident import Presence, Resident
from controller.scheduling.estimate import seconds_until
from controller.scheduling.ticket import Hold, Ticket
from tests.kit.line_world import World, runner

A, B, C = runner("A"), runner("B"), runner("C")
USUAL = Learned(load_seconds=10, answer_seconds=4)
KNOWN = {"A": USUAL, "B": USUAL}


def told(made: World, ticket: Ticket) -> float | None:
    return seconds_until(made.scheduler, ticket, KNOWN, made.now)


def world() -> World:
    made = World()
    made.resident(A)
    return made


def test_who_is_behind_others_waits_for_their_answers() -> None:
    made = world()
    made.ask("other", A)
    made.wind(1)
    asked = [made.ask(caller, A) for caller in ("anna", "bert", "anna")]
    assert [told(made, each) for each in asked] == [3, 7, 11]
    before = made.now
    made.wind(50)
    assert [each.granted - before for each in asked if each.granted] == [3, 7, 11]


def test_many_slots_share_what_is_before() -> None:
    made = World()
    two = runner("A", slots=2)
    made.resident(two)
    made.ask("other", two)
    made.wind(1)
    made.ask("other", two)
    asked = [made.ask(caller, two) for caller in "abc"]
    assert [told(made, each) for each in asked] == [3, 4, 7]


def test_a_load_under_way_is_waited_for() -> None:
    made = World()
    first, second = made.ask("anna", A), made.ask("bert", A)
    made.wind(4)
    assert [told(made, first), told(made, second)] == [6, 10]


def test_a_load_begins_once_the_last_answer_of_who_leaves_has_ended() -> None:
    made = world()
    made.ask("other", A, seconds=4)
    ticket = made.ask("anna", B)
    made.wind(1)
    made.table["A"].presence = Presence.LEAVING  # the room is promised to B at once
    made.table["B"] = Resident(B, Presence.LOADING, made.now, 0, 1)
    made.wind(1)
    assert (made.scheduler.hold_of(ticket), told(made, ticket)) == (Hold.LEAVING, 2 + 10)
    made.hang_up(next(iter(made.scheduler.running())))
    made.ask("other", C)
    del made.table["A"]
    made.table["B"].since = made.now  # … and its load begins
    made.wind(1)
    assert (made.scheduler.hold_of(ticket), told(made, ticket)) == (Hold.LOADING, 9)


def test_a_load_that_takes_longer_than_ever_says_nothing() -> None:
    made = World(load=30)
    ticket = made.ask("anna", A)
    made.wind(12)
    assert told(made, ticket) is None


def test_the_front_waits_for_the_last_answer_and_the_load() -> None:
    made = world()
    made.ask("other", A, seconds=4)
    ticket = made.ask("anna", B)
    assert told(made, ticket) == 4 + 10
    made.wind(50)
    assert ticket.granted == pytest.approx(1000 + 4 + 10, abs=made.unload)


def test_the_front_waits_for_its_patience_while_others_want_what_is_loaded() -> None:
    made = world()
    made.ask("other", A, seconds=4)
    ticket = made.ask("anna", B)
    made.ask("bert", A, seconds=4)
    assert told(made, ticket) == 30 + 10


def test_what_was_never_seen_is_not_guessed() -> None:
    made = world()
    made.ask("other", A, seconds=4)
    first, second = made.ask("anna", C), made.ask("bert", C)
    assert told(made, first) is None
    made.wind(40)
    assert told(made, second) is None
    assert seconds_until(made.scheduler, made.ask("carl", A), {}, made.now) is None


def test_paused_held_or_not_waiting_says_nothing() -> None:
    made = world()
    running, waits = made.ask("anna", A), made.ask("bert", A)
    assert told(made, running) is None
    made.scheduler.pause()
    made.decide()
    assert told(made, waits) is None
