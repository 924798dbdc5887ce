"""The life of a ticket, orders, and questions: sentences on a wound clock."""

from __future__ import annotations

import pytest

from controller.scheduling.ticket import Caps, End, Hold, State, Ticket
from tests.kit.line_world import World, runner

A, B, C = runner("A"), runner("B"), runner("C")


def world(budget: int = 1) -> World:
    made = World(budget=budget)
    made.resident(A)
    return made


def holds(made: World, *tickets: Ticket) -> list[Hold | None]:
    return [made.scheduler.hold_of(ticket) for ticket in tickets]


def test_a_ticket_ends_once() -> None:
    made = world()
    ticket = made.ask("anna", A)
    made.scheduler.end(ticket, made.now + 4)
    made.scheduler.end(ticket, made.now + 9, as_=End.DOWN, words="Too late.")
    assert ticket.state is State.ENDED
    assert ticket.ended is None, "it had its turn"
    assert not ticket.words
    assert made.scheduler.line.shares.served("anna", made.now + 4) == pytest.approx(4)
    assert not made.scheduler.busy("A")


def test_who_has_ended_is_not_given_back() -> None:
    made = world()
    ticket = made.ask("anna", A)
    made.hang_up(ticket)
    made.scheduler.back(ticket, made.now)
    assert ticket.state is State.ENDED
    assert not list(made.scheduler.waiting())


def test_who_leaves_the_line_gets_no_turn() -> None:
    made = world()
    made.ask("other", A)
    leaves = made.ask("anna", A)
    made.hang_up(leaves)
    made.wind(100)
    assert leaves.granted is None
    assert leaves.ended is End.GONE


def test_a_ticket_that_waited_long_enough_is_told_so() -> None:
    made = world()
    made.ask("other", A, seconds=5000)
    ticket = made.ask("anna", A, wait=1800)
    short = made.ask("bert", A, wait=45)
    made.wind(45)
    assert short.ended is End.WAITED_OUT
    assert short.words.startswith("A had no turn within 45 seconds.")
    assert ticket.state is State.WAITING
    made.wind(1800)
    assert ticket.ended is End.WAITED_OUT
    assert "30 minutes" in ticket.words


def test_a_deadline_is_of_those_who_wait_not_of_those_who_run() -> None:
    made = world()
    ticket = made.ask("anna", A, seconds=100, wait=10)
    made.wind(200)
    assert ticket.ended is None


def test_a_turn_that_came_to_nothing_is_no_time_waited() -> None:
    made = world()
    ticket = made.ask("anna", A, seconds=5000, wait=30)
    made.wind(40)
    made.scheduler.back(ticket, made.now)
    made.decide()
    assert (ticket.state, ticket.attempts) == (State.GRANTED, 2)


def test_who_has_no_second_turn_in_time_is_not_told_that_there_was_no_first() -> None:
    made = world()
    ticket = made.ask("anna", A, seconds=5000, wait=30)
    made.wind(40)
    made.scheduler.pause()
    made.scheduler.back(ticket, made.now)
    made.wind(31)
    assert ticket.ended is End.WAITED_OUT
    assert ticket.words == "A stopped before it answered, and had no second turn in time. Please try again."


def test_while_ollama_is_away_nothing_is_granted_and_deadlines_go_on() -> None:
    made = World()
    made.scheduler.open = False
    ticket, impatient = made.ask("anna", A), made.ask("bert", A, wait=5)
    made.wind(20)
    assert not made.swaps
    assert impatient.ended is End.WAITED_OUT
    assert holds(made, ticket) == [Hold.AWAY]
    made.scheduler.open = True
    made.decide()
    made.wind(20)
    assert ticket.granted is not None


def test_all_who_wait_for_a_model_may_be_refused() -> None:
    made = world()
    made.ask("other", A, seconds=100)
    waiting = [made.ask(caller, B) for caller in ("anna", "anna", "bert")]
    other = made.ask("carl", C)
    refused = made.scheduler.refuse("B", End.LOAD_FAILED, "B could not be loaded.", made.now)
    assert refused == waiting
    assert {each.ended for each in waiting} == {End.LOAD_FAILED}
    assert {each.words for each in waiting} == {"B could not be loaded."}
    assert other.state is State.WAITING


def test_all_who_wait_for_a_model_may_be_sent_to_another() -> None:
    made = world()
    made.ask("other", A, seconds=10)
    waiting = [made.ask(caller, B) for caller in ("anna", "bert")]
    assert made.scheduler.redirect("B", A, made.now) == 2
    made.wind(50)
    assert [each.granted for each in waiting] == [1010, 1014]
    assert {each.model for each in waiting} == {A.name}  # so that a fresh look at names leaves them where they are
    assert not made.swaps


def test_what_runs_is_neither_renamed_nor_redirected() -> None:
    made = world()
    ticket = made.ask("anna", A)
    made.scheduler.rename(ticket, B, made.now)
    assert made.scheduler.redirect("A", B, made.now) == 0
    assert ticket.runner == A


def test_slots_may_become_fewer_while_they_are_taken() -> None:
    made = World()
    four = runner("F", slots=4)
    row = made.resident(four)
    for number in range(4):
        made.ask(f"caller {number}", four, seconds=10 + number)
    waits = made.ask("anna", four)
    row.slots = 2
    made.wind(11)
    assert waits.granted is None
    made.wind(1)
    assert waits.granted == 1012


def test_every_hold_has_its_reason() -> None:
    made = world()
    made.ask("other", A, seconds=100)
    slot = made.ask("anna", A)
    queue = made.ask("bert", A)
    behind = made.ask("anna", A)
    front = made.ask("carl", B)
    later = made.ask("dora", B)
    assert holds(made, slot, queue, behind) == [Hold.SLOT, Hold.QUEUE, Hold.BEHIND]
    assert holds(made, front, later) == [Hold.QUEUE, Hold.QUEUE]
    made.scheduler.pause(model_key="B")
    made.decide()
    assert holds(made, front) == [Hold.PAUSED]
    assert slot.hold is Hold.SLOT


def test_a_hold_by_the_callers_cap_is_told() -> None:
    made = world()
    made.ask("anna", A, caps=Caps(running=1))
    assert holds(made, made.ask("anna", A, caps=Caps(running=1))) == [Hold.CAP]


def test_holds_of_a_swap_from_patience_to_the_load() -> None:
    made = world()
    made.table["A"].since = 1000
    works = made.ask("other", A, seconds=80)
    front = made.ask("carl", B)
    assert holds(made, front) == [Hold.PATIENCE]
    wants = made.ask("anna", A)
    made.wind(1)
    assert holds(made, front) == [Hold.MIN_STAY]
    made.wind(60)
    later = made.ask("dora", C)
    assert holds(made, front, wants) == [Hold.LEAVING, Hold.LEAVING]
    made.wind(20)
    assert works.state is State.ENDED
    assert holds(made, front, later) == [Hold.LOADING, Hold.SWAPPING]


def test_a_hold_for_a_lingering_model_is_told() -> None:
    made = world()
    made.ask("agent", A, lane=1)
    made.wind(4)
    assert holds(made, made.ask("friend", B, lane=3)) == [Hold.LINGER]


def test_who_does_not_wait_has_no_hold_and_no_position() -> None:
    made = world()
    ticket = made.ask("anna", A)
    assert made.scheduler.hold_of(ticket) is None
    assert made.scheduler.position(ticket) == 0


def test_a_position_counts_the_heads_before_and_the_own_tickets_before() -> None:
    made = world()
    made.ask("other", A, seconds=100)
    anna, bert, second = made.ask("anna", A), made.ask("bert", A), made.ask("anna", A)
    better = made.ask("carl", A, lane=0)
    capped = made.ask("other", A, caps=Caps(running=1))
    positions = [made.scheduler.position(each) for each in (better, anna, bert, second, capped)]
    assert positions == [1, 2, 3, 3, 4]


def test_the_scheduler_says_when_it_wants_to_be_asked_again() -> None:
    made = world()
    made.ask("other", A, seconds=100)
    ticket = made.ask("anna", B, wait=500)
    assert made.scheduler.decide(made.now).wake == 1030, "patience ends"
    made.hang_up(ticket)
    made.ask("bert", A, wait=700)
    assert made.scheduler.decide(made.now).wake == 1700, "it will have waited long enough"


def test_with_nobody_waiting_there_is_nothing_to_wake_for() -> None:
    made = world()
    made.ask("anna", A)
    decision = made.scheduler.decide(made.now)
    assert decision.wake is None
    assert decision.grants == decision.ended == ()


# --- engines ----------------------------------------------------------------------------------------------------------

X, Y = runner("X", engine="other"), runner("Y", engine="other")


def test_while_an_engine_is_away_only_its_own_requests_wait() -> None:
    made = world(budget=3)
    made.resident(X)
    made.scheduler.closed = {"ollama"}
    waits, other, comes = made.ask("anna", A), made.ask("bert", X), made.ask("carl", Y)
    assert (waits.state, other.state) == (State.WAITING, State.GRANTED)
    assert holds(made, waits) == [Hold.AWAY]
    made.wind(60)
    assert comes.granted is not None
    assert waits.granted is None
    made.scheduler.closed = set()
    made.wind(1)
    assert waits.granted is not None


def test_nothing_is_loaded_for_an_engine_that_is_away_and_nothing_of_it_leaves() -> None:
    made = world()
    made.scheduler.closed = {"ollama"}
    made.ask("anna", B)
    waits = made.ask("bert", X)
    made.wind(600)
    assert list(made.table) == ["A"]
    assert holds(made, waits) == [Hold.MEMORY]
