"""Since when somebody waits for a runner or its memory: what bounds an answer."""

from __future__ import annotations

from controller.residency.resident import Presence
from controller.scheduling.awaited import Awaited
from tests.kit.line_world import World, runner

A, B, WIDE = runner("A"), runner("B"), runner("W", slots=2)


def world(*resident: str, budget: int = 1) -> World:
    made = World(budget=budget, most=20)
    for key in resident or ("A",):
        made.resident({"A": A, "B": B, "W": WIDE}[key])
    return made


def test_a_break_begins_it_anew() -> None:
    awaited = Awaited()
    awaited.see({"A"}, 1)
    awaited.see({"A", "B"}, 2)
    assert (awaited.since("A"), awaited.since("B"), awaited.since("C")) == (1, 2, None)
    awaited.see({"B"}, 3)
    awaited.see({"A"}, 4)
    assert (awaited.since("A"), awaited.since("B")) == (4, None)


def test_with_nobody_waiting_an_answer_goes_on_however_long_it_takes() -> None:
    made = world()
    made.ask("anna", A, 10_000)
    made.wind(9_999)
    assert (made.cut, made.ended) == ([], [])


def test_the_limit_counts_from_the_first_who_waits_for_its_runner() -> None:
    made = world()
    long = made.ask("anna", A, 10_000)
    made.wind(500)
    waits = made.ask("bert", A)
    made.wind(10)
    made.ask("carl", A)
    made.wind(9)
    assert made.cut == []
    made.wind(1)
    assert (made.cut, waits.granted) == ([long], 1520)


def test_who_gave_up_waiting_counts_no_more() -> None:
    made = world()
    made.ask("anna", A, 10_000)
    made.wind(500)
    waits = made.ask("bert", A)
    made.wind(15)
    made.hang_up(waits)
    made.wind(300)
    made.ask("carl", A)
    made.wind(19)
    assert made.cut == []


def test_who_waits_for_its_memory_counts_too() -> None:
    made = world()
    long = made.ask("anna", A, 10_000)
    made.wind(500)
    waits = made.ask("bert", B)
    made.wind(19)
    assert made.cut == []
    made.wind(41)
    assert made.cut == [long]
    assert waits.granted is not None


def test_who_waits_for_another_model_that_has_room_bounds_nobody() -> None:
    made = world("A", budget=2)
    long = made.ask("anna", A, 10_000)
    made.wind(500)
    loads = made.ask("bert", B, 300)
    made.ask("carl", B, 300)
    made.wind(100)
    assert loads.granted is not None
    assert made.scheduler.awaited_since("A") is None
    assert made.cut == [loads]
    assert long.ended is None


def test_a_free_slot_means_that_nobody_waits() -> None:
    made = world("W")
    made.ask("anna", WIDE, 10_000)
    made.wind(500)
    made.ask("bert", WIDE, 100)
    made.wind(90)
    assert made.scheduler.awaited_since("W") is None


def test_the_paused_wait_for_the_operator() -> None:
    made = world()
    made.ask("anna", A, 10_000)
    made.scheduler.pause(lane=2)
    made.ask("bert", A, lane=2)
    made.wind(500)
    assert made.cut == []


def test_an_operator_who_has_its_runner_leave_waits_for_it() -> None:
    made = world()
    made.ask("anna", A, 10_000)
    made.table["A"].presence = Presence.LEAVING
    made.decide()
    assert made.scheduler.awaited_since("A") == 1000
