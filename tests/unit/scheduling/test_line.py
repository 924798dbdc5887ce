"""Flows, heads and when they are due: sentences on a wound clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.schema import Config, Server
from controller.config.waiting import LineSettings
from controller.scheduling.line import LineRules, due, rules_of
from controller.scheduling.ticket import Caps, Hold, Ticket, Why
from tests.kit.line_world import World, runner, waited

A, B = runner("A"), runner("B")
TWO = Caps(running=2, waiting=8)


def world() -> World:
    """One model in memory, which answers one request at a time."""
    made = World()
    made.resident(A)
    return made


def order(made: World) -> list[Ticket]:
    return sorted(made.granted, key=lambda ticket: ticket.granted or 0.0)


def ticket(arrived: float, lane: float = 1.0) -> Ticket:
    return Ticket(1, "anna", lane, "A", A, arrived, 1e9)


def test_the_rules_are_those_of_the_configuration() -> None:
    config = Config(
        server=Server(line=LineSettings(aging=300, patience=1, min_stay=2, linger=3, max_charge=4, whole=5))
    )
    assert rules_of(config) == LineRules(300, 1, 2, 3, 4, 5)
    assert rules_of(Config()) == LineRules()


def test_a_lane_is_worth_ten_minutes_counted_from_arrival() -> None:
    assert due(ticket(100, lane=3), 100, 0, LineRules()) == 1300
    assert due(ticket(100, lane=3), 900, 0, LineRules()) == 1300, "it became head late, but its age counts"
    assert due(ticket(100, lane=1.5), 100, 0, LineRules()) == 400


def test_in_lane_one_a_backlog_earns_no_age() -> None:
    assert due(ticket(100), 900, 0, LineRules()) == 900


def test_a_lane_below_one_goes_before_it() -> None:
    assert due(ticket(900, lane=0.5), 900, 0, LineRules()) == 600
    assert due(ticket(100, lane=0), 900, 0, LineRules()) == 300


def test_a_lead_is_charged_up_to_a_minute() -> None:
    assert due(ticket(0), 0, 25, LineRules()) == 25
    assert due(ticket(0), 0, 500, LineRules()) == 60


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 600))
def test_a_better_lane_is_never_due_later(lane: float, more: float, arrived: float, waited: float, lead: float) -> None:
    better = due(ticket(arrived, lane), arrived + waited, lead, LineRules())
    assert better <= due(ticket(arrived, lane + more), arrived + waited, lead, LineRules())


def test_callers_take_turns_however_many_one_of_them_has_waiting() -> None:
    made = world()
    for _ in range(5):
        made.ask("many", A)
    made.ask("one", A)
    made.wind(100)
    assert [each.caller for each in order(made)][:3].count("one") == 1


def test_who_asks_for_twenty_at_once_is_given_every_free_slot_and_a_newcomer_the_next() -> None:
    made, wide = World(), runner("W", slots=4)
    made.resident(wide)
    twenty = [made.ask("program", wide, 10 + number, caps=Caps()) for number in range(20)]
    assert [each.granted is not None for each in twenty] == [True] * 4 + [False] * 16
    assert {made.scheduler.hold_of(each) for each in twenty[5:]} == {Hold.BEHIND}
    assert made.scheduler.hold_of(twenty[4]) is Hold.SLOT
    made.wind(5)
    newcomer = made.ask("anna", wide, 100, caps=Caps())
    made.wind(5)
    assert (newcomer.granted, twenty[4].granted) == (1010, None)
    made.wind(1)
    assert twenty[4].granted == 1011


def test_a_newcomer_has_the_only_slot_next_however_many_wait_of_whoever_has_it() -> None:
    made = world()
    first, second = made.ask("program", A, 10, caps=Caps()), made.ask("program", A, 10, caps=Caps())
    made.wind(5)
    newcomer = made.ask("anna", A, 10, caps=Caps())
    made.wind(20)
    assert [each.granted for each in (first, newcomer, second)] == [1000, 1010, 1020]


def test_two_who_ask_for_many_have_equal_shares_of_the_slots() -> None:
    made, wide = World(), runner("W", slots=4)
    made.resident(wide)
    for caller in ("program", "anna"):
        for number in range(40):
            made.ask(caller, wide, 10 + number % 3, caps=Caps())
    made.wind(100)
    had = {
        caller: sum(made.lengths[each.number] for each in made.granted if each.caller == caller)
        for caller in ("program", "anna")
    }
    assert had["anna"] == pytest.approx(had["program"], rel=0.1)


def test_free_slots_that_came_back_after_pressure_go_to_whoever_waits() -> None:
    made, wide = World(), runner("W", slots=4)
    row = made.resident(wide)
    row.slots = 2
    asked = [made.ask("program", wide, 100, caps=Caps()) for _ in range(4)]
    assert sum(each.granted is not None for each in asked) == 2
    row.slots = 4
    made.decide()
    assert all(each.granted is not None for each in asked)


def test_a_callers_own_tickets_go_in_their_order() -> None:
    made = world()
    asked = [made.ask("anna", A) for _ in range(4)]
    made.wind(100)
    assert order(made) == asked


def test_who_has_had_less_goes_first() -> None:
    made = world()
    made.scheduler.charge("much", 30, made.now)
    made.ask("other", A)
    little = made.ask("little", A)
    much = made.ask("much", A)
    late = made.ask("late", A)
    made.wind(100)
    assert order(made)[1:] == [little, late, much]


def test_a_due_is_fixed_when_its_ticket_becomes_head() -> None:
    made = world()
    made.ask("other", A, seconds=500)
    anna = made.ask("anna", A)
    before = anna.due
    made.scheduler.charge("anna", 1000, made.now)
    made.scheduler.rules = LineRules(aging=1, max_charge=1000)
    made.wind(400)
    assert anna.due == before == 1000


def test_a_pause_takes_headship_away_but_not_the_due() -> None:
    made = world()
    made.ask("other", A, seconds=50)
    anna = made.ask("anna", A)
    made.scheduler.pause(lane=1)
    made.decide()
    made.wind(100)
    assert anna.granted is None
    late = made.ask("late", A)
    made.scheduler.resume(lane=1)
    made.decide()
    made.wind(100)
    assert anna.due == 1000
    assert order(made)[1:] == [anna, late]


def test_a_caller_at_its_cap_has_no_head_and_comes_back_with_its_due() -> None:
    wide = runner("W", slots=4)
    made = World()
    made.resident(wide)
    for _ in range(2):
        made.ask("anna", wide, seconds=30, caps=TWO)
    third = made.ask("anna", wide, caps=TWO)
    assert third.granted is None
    assert third.due is None
    bert = made.ask("bert", wide)
    assert bert.granted == made.now, "the cap of one caller is nobody else's"
    made.wind(30)
    assert third.due == 1030
    assert third.granted == 1030


def test_a_cap_counts_a_caller_in_all_its_lanes() -> None:
    wide = runner("W", slots=4)
    made = World()
    made.resident(wide)
    made.ask("anna", wide, lane=1, caps=TWO)
    made.ask("anna", wide, lane=2, caps=TWO)
    third = made.ask("anna", wide, lane=3, caps=TWO)
    assert third.granted is None


def test_a_turn_in_one_lane_that_fills_the_cap_takes_headship_away_in_the_others() -> None:
    wide = runner("W", slots=2)
    made = World()
    made.resident(wide)
    made.ask("other", wide, seconds=10, width=2)
    one = Caps(running=1)
    first, second = made.ask("anna", wide, lane=1, caps=one), made.ask("anna", wide, lane=2, caps=one)
    made.wind(10)
    assert (first.granted, second.granted) == (1010, None)
    made.wind(4)
    assert second.granted == 1014


def test_a_cap_that_has_been_raised_lets_the_whole_flow_stand_again() -> None:
    made, wide = World(), runner("W", slots=2)
    made.resident(wide)
    made.ask("other", wide, seconds=100)
    made.ask("anna", wide, seconds=50, caps=Caps(running=1))
    before = made.ask("anna", wide, caps=Caps(running=1))
    head = made.ask("anna", wide, caps=TWO)
    made.ask("anna", B, caps=TWO)
    flow = made.scheduler.line.flow(head)
    assert not flow.entries
    made.hang_up(before)
    assert set(flow.entries) == {"W", "B"}


def test_one_caller_in_two_lanes_is_two_flows() -> None:
    made = world()
    made.ask("other", A)
    slow = made.ask("anna", A, lane=3)
    quick = made.ask("anna", A, lane=1)
    made.wind(100)
    assert order(made)[1:] == [quick, slow]


def test_a_ticket_that_was_given_back_keeps_its_due_and_goes_next() -> None:
    made = world()
    first = made.ask("anna", A)
    made.ask("anna", A)
    made.wind(2)
    made.fail(first)
    assert first.due == 1000
    assert first.granted == made.now, "it was the oldest and the model is there"
    assert first.attempts == 2
    made.wind(10)
    assert made.scheduler.line.shares.served("anna", made.now) == pytest.approx(8, rel=0.05), "a failure is not charged"


def test_a_wide_ticket_waits_for_as_many_slots_as_it_takes() -> None:
    four = runner("E", slots=4)
    made = World()
    made.resident(four)
    for _ in range(2):
        made.ask("other", four, seconds=10)
    wide = made.ask("anna", four, width=3)
    small = made.ask("bert", four)
    assert wide.granted is None
    assert small.granted is None, "nobody slips by who would make it wait for ever"
    made.wind(10)
    assert wide.granted == small.granted == 1010
    widest = made.ask("anna", four, width=99)
    made.wind(100)
    assert widest.granted is not None, "nothing is wider than its runner"


def test_while_the_heads_model_is_away_the_flow_goes_on_with_what_is_there() -> None:
    made = world()
    made.ask("other", A, seconds=5)
    away = made.ask("anna", B)
    stands_in = made.ask("anna", A)
    made.wind(5)
    assert stands_in.granted == 1005
    assert stands_in.why is Why.OVERTOOK
    assert away.granted is None


def test_nobody_stands_in_for_a_head_whose_model_is_there() -> None:
    made = World(budget=2)
    made.resident(A)
    made.resident(B)
    made.ask("other", A, seconds=50)
    head = made.ask("anna", A)
    behind = made.ask("anna", B)
    assert behind.granted is None
    made.wind(60)
    assert head.granted == 1050
    assert behind.granted == 1050


def test_who_stood_in_and_becomes_head_is_dated_as_head() -> None:
    made = world()
    made.ask("other", A, seconds=8)
    head = made.ask("anna", B)
    behind = made.ask("anna", A)
    assert behind.due == 1000
    made.wind(3)
    made.hang_up(head)
    assert behind.due == 1003


def test_a_ticket_that_means_another_model_now_keeps_its_due() -> None:
    made = world()
    made.ask("other", A, seconds=20)
    renamed = made.ask("anna", B)
    behind = made.ask("anna", A)
    made.wind(5)
    made.scheduler.rename(renamed, A, made.now)
    made.wind(30)
    assert renamed.due == 1000
    assert renamed.runner == A
    assert order(made)[1:] == [renamed, behind]


def test_a_flow_goes_on_with_its_next_model_when_one_is_paused() -> None:
    made = World(budget=2)
    made.resident(A)
    made.resident(B)
    made.scheduler.pause(model_key="A")
    paused = made.ask("anna", A)
    goes_on = made.ask("anna", B)
    assert paused.granted is None
    assert goes_on.granted == made.now
    made.scheduler.resume(model_key="A")
    made.decide()
    assert paused.granted == made.now


def test_a_pause_of_everything_lets_what_runs_go_on_and_nothing_else() -> None:
    made = world()
    runs = made.ask("anna", A)
    made.scheduler.pause()
    waits = made.ask("bert", A)
    made.wind(50)
    assert runs in made.ended
    assert waits.granted is None
    assert made.scheduler.paused.everything
    made.scheduler.resume()
    made.decide()
    assert waits.granted == made.now


def test_why_a_ticket_was_granted_is_on_it() -> None:
    made = world()
    free = made.ask("anna", A)
    turn = made.ask("bert", A)
    last = made.ask("carl", A)
    made.wind(20)
    assert (free.why, turn.why, last.why) == (Why.FREE, Why.TURN, Why.FREE)
    loaded = made.ask("anna", B)
    made.wind(50)
    assert loaded.why is Why.LOADED


def test_hundreds_of_callers_leave_no_accounts_behind() -> None:
    made = world()
    for number in range(3000):
        made.ask(f"caller {number}", A, seconds=0.01)
        made.wind(0.02)
    assert len(made.scheduler.line._accounts) <= 1001


def test_waiting_is_fair_for_equals() -> None:
    made = world()

    def again(done: Ticket) -> None:
        made.ask(done.caller, A)

    made.on_end = again
    for caller in "abcd":
        for _ in range(3):
            made.ask(caller, A)
    made.wind(3600)
    seconds = [sum(1 for each in made.granted if each.caller == caller) for caller in "abcd"]
    assert sum(seconds) ** 2 / (4 * sum(each**2 for each in seconds)) > 0.95
    assert max(waited(each) for each in made.granted) < 120
