"""Which model is loaded next, and which leave for it: on a wound clock. A load takes 10 s, an unload 0.5 s."""

from __future__ import annotations

import pytest

from controller.residency.resident import Presence
from controller.scheduling.line import LineRules
from controller.scheduling.ticket import End, Hold, Ticket, Why
from tests.kit.line_world import World, runner

A, B, C = runner("A"), runner("B"), runner("C")
ANSWER = 4.0


def busy_world() -> World:
    """One model fits; two callers ask for A again and again, so that it is always wanted."""
    made = World()
    made.resident(A)

    def again(done: Ticket) -> None:
        if done.caller.startswith("loop"):
            made.ask(done.caller, A, ANSWER)

    made.on_end = again
    for number in range(2):
        made.ask(f"loop {number}", A, ANSWER)
    return made


def begun(made: World) -> list[tuple[str, tuple[str, ...], float]]:
    return [(each.swap.runner.key, each.swap.evict, each.at) for each in made.swaps if each.swap.runner]


def test_a_model_that_fits_is_loaded_at_once() -> None:
    made = World(budget=2)
    made.resident(A)
    made.ask("loop", A, 100)
    ticket = made.ask("anna", B)
    assert begun(made) == [("B", (), 1000)]
    made.wind(10)
    assert ticket.granted == 1010
    assert ticket.why is Why.LOADED


def test_an_idle_model_that_nobody_wants_leaves_at_once() -> None:
    made = World()
    made.resident(A)
    ticket = made.ask("anna", B)
    assert begun(made) == [("B", ("A",), 1000)]
    made.wind(20)
    assert ticket.granted == 1010.5


def test_the_load_goes_on_the_account_of_whom_it_was_for() -> None:
    made = World()
    made.ask("anna", A, seconds=0)
    made.wind(10)
    assert made.scheduler.line.shares.served("anna", made.now) == pytest.approx(10)


def test_the_front_is_overtaken_for_its_patience_and_no_longer() -> None:
    made = busy_world()
    front = made.ask("anna", B)
    made.wind(100)
    assert front.front_since is not None
    assert front.front_since <= 1000 + ANSWER, "who was there before it goes first"
    assert [at for _, _, at in begun(made)[:1]] == [front.front_since + 30]
    assert front.granted is not None
    assert front.granted <= front.front_since + 30 + ANSWER + 0.5 + 10


def test_patience_is_not_given_back_when_another_comes_to_the_front_meanwhile() -> None:
    made = busy_world()
    front = made.ask("anna", B)
    made.wind(20)
    since = front.front_since
    made.ask("better", C, lane=0)
    made.wind(15)
    assert since is not None
    assert front.front_since == since


def test_a_model_just_loaded_stays_while_it_is_wanted() -> None:
    made = busy_world()
    made.scheduler.rules = LineRules(min_stay=60)
    made.table["A"].since = 990  # came ten seconds ago
    made.ask("anna", B)
    made.wind(49)
    assert not begun(made)
    assert any(ticket.why is Why.OVERTOOK for ticket in made.granted)
    made.wind(2)
    assert [at for _, _, at in begun(made)] == [1050]


def test_a_model_that_took_long_to_load_stays_three_times_as_long() -> None:
    made = busy_world()
    made.table["A"].since, made.table["A"].load_seconds = 1000, 50
    made.ask("anna", B)
    made.wind(149)
    assert not begun(made)
    made.wind(2)
    assert [at for _, _, at in begun(made)] == [1150]


def test_a_model_just_loaded_leaves_when_nobody_wants_it_any_more() -> None:
    made = World()
    made.resident(A).since = 1000
    made.ask("anna", A)
    made.ask("bert", B)
    made.wind(4)
    assert begun(made) == [("B", ("A",), 1004)]


def test_who_leaves_gets_nothing_more_and_is_never_cut() -> None:
    made = World()
    made.resident(A)
    long = made.ask("long", A, seconds=300)
    made.ask("anna", B)
    made.wind(30)
    assert made.table["A"].presence is Presence.LEAVING
    late = made.ask("late", A)
    made.wind(269)
    assert late.granted is None
    assert long not in made.ended
    assert made.scheduler.busy("A") == 1
    made.wind(2)
    assert long in made.ended
    assert "A" not in made.table


def test_within_its_patience_a_busy_model_may_still_be_asked() -> None:
    made = World()
    made.resident(A)
    made.ask("one", A)
    made.ask("anna", B)
    overtakes = made.ask("two", A)
    made.wind(4)
    assert overtakes.granted == 1004
    assert overtakes.why is Why.OVERTOOK
    made.wind(5)
    assert begun(made) == [("B", ("A",), 1008)]


def test_a_coding_agent_that_thinks_keeps_its_model_for_a_moment() -> None:
    made = World()
    made.resident(A)
    made.ask("agent", A, lane=1)
    made.wind(4)
    made.ask("friend", B, lane=3)
    made.wind(9)
    assert not begun(made)
    made.ask("agent", A, lane=1)
    made.wind(4)  # 1017: used again
    made.wind(9)
    assert not begun(made)
    made.wind(2)
    assert [at for _, _, at in begun(made)] == [1027]


def test_a_lingering_model_does_not_outlast_the_fronts_patience() -> None:
    made = World(LineRules(linger=1000))
    made.resident(A)
    made.ask("agent", A, lane=1)
    made.wind(4)
    made.ask("friend", B, lane=3)
    made.wind(40)
    assert [at for _, _, at in begun(made)] == [1034]


def test_nobody_lingers_before_an_equal_or_better_lane() -> None:
    made = World()
    made.resident(A)
    made.ask("friend", A, lane=3)
    made.wind(4)
    made.ask("agent", B, lane=1)
    made.ask("other", C, lane=3)
    assert begun(made) == [("B", ("A",), 1004)]


def test_a_worse_lane_is_not_at_the_front_before_its_due() -> None:
    made = busy_world()
    ticket = made.ask("friend", B, lane=3)
    made.wind(1130)
    assert ticket.front_since is None
    assert not begun(made)
    made.wind(120)
    assert ticket.granted is not None, "those who have had more are charged up to a minute for it"


def test_one_swap_at_a_time() -> None:
    made = World(budget=3)
    made.ask("anna", A)
    made.ask("bert", B)
    made.ask("carl", C)
    assert [key for key, _, _ in begun(made)] == ["A"]
    made.wind(40)
    assert [(key, at) for key, _, at in begun(made)] == [("A", 1000), ("B", 1010), ("C", 1020)]


def test_heads_whose_models_are_away_are_served_in_due_order() -> None:
    made = World()
    made.ask("first", A, seconds=1)
    made.ask("second", B, seconds=1)
    made.ask("better", C, lane=0, seconds=1)
    made.wind(100)
    assert [key for key, _, _ in begun(made)] == ["A", "C", "B"]


def test_a_later_head_takes_nothing_that_an_earlier_one_needs() -> None:
    made = World(budget=2)
    big = runner("big", need=2)
    made.resident(A)
    made.resident(B)
    made.ask("loop", A, seconds=20)
    made.ask("anna", big)
    made.ask("bert", C)
    made.wind(19)
    assert not begun(made), "B is idle, and promised to the one before"
    made.wind(2)
    assert begun(made)[0][0] == "big"
    assert set(begun(made)[0][1]) == {"A", "B"}


def test_a_later_head_may_load_what_stands_in_nobodys_way() -> None:
    made = World(budget=3)
    big, small = runner("big", need=2), runner("small", need=1)
    made.resident(runner("old", need=2))
    made.ask("loop", made.table["old"].runner, seconds=50)
    made.ask("anna", big)
    made.ask("bert", small)
    assert begun(made) == [("small", (), 1000)]


def test_the_longest_unused_goes_first() -> None:
    made = World(budget=2)
    made.resident(A).used = 900
    made.resident(B).used = 800
    made.ask("anna", C)
    assert begun(made) == [("C", ("B",), 1000)]


def test_an_idle_model_goes_before_a_busy_one_and_a_busy_one_before_a_wanted_one() -> None:
    made = World(budget=2)
    made.resident(A).used = 0
    made.resident(B).used = 0
    made.ask("works", A, seconds=500)
    made.ask("waits", A, seconds=500)
    made.ask("works", B, seconds=500)
    made.ask("anna", C)
    made.wind(30)
    assert begun(made) == [("C", ("B",), 1030)]


def test_of_wanted_models_the_one_goes_whose_next_request_is_due_last() -> None:
    made = World(budget=2)
    made.resident(A)
    made.resident(B)
    for which in (A, B):
        made.ask(f"works {which.key}", which, seconds=100)
    made.ask("anna", C)
    made.wind(1)
    made.ask("early", B)
    made.wind(1)
    made.ask("late", A)
    made.wind(40)
    assert begun(made)[0] == ("C", ("A",), 1030)


def test_what_is_pinned_stays() -> None:
    made = World(budget=2)
    made.resident(A, pinned=True).used = 0
    made.resident(B).used = 999
    made.ask("anna", C)
    assert begun(made) == [("C", ("B",), 1000)]


def test_when_only_pinned_models_are_in_the_way_everybody_is_told() -> None:
    made = World()
    made.resident(A, pinned=True)
    one, two = made.ask("anna", B), made.ask("anna", B)
    assert one.ended is two.ended is End.NO_ROOM
    assert "no room for B" in one.words


def test_what_can_never_fit_ends_before_anything_is_unloaded_for_it() -> None:
    made = World(budget=2)
    made.resident(A)
    huge = made.ask("anna", runner("huge", need=3))
    assert huge.ended is End.TOO_BIG
    assert huge.words == "huge needs 3, and there are 2."
    assert "A" in made.table
    assert not begun(made)


def test_two_of_one_blob_are_never_there_together() -> None:
    short, long = runner("short", blob="X"), runner("long", blob="X")
    made = World(budget=5)
    made.resident(short)
    made.ask("anna", long)
    assert begun(made) == [("long", ("short",), 1000)]


def test_an_alias_and_its_base_by_turns_are_batches() -> None:
    base, alias = runner("base", blob="X"), runner("alias", blob="X")
    made = World(budget=5, load=2)
    made.resident(base)
    for number in range(40):
        made.ask("anna", (base, alias)[number % 2], seconds=1)
    made.wind(1000)
    assert len(made.granted) == 40
    assert len(made.swaps) == 1


def test_under_great_pressure_nothing_is_loaded_and_what_is_there_goes_on() -> None:
    made = World(budget=2)
    made.resident(A)
    made.scheduler.may_swap = False
    ticket = made.ask("anna", B)
    goes_on = made.ask("bert", A)
    made.wind(100)
    assert not begun(made)
    assert goes_on.granted == 1000
    assert made.scheduler.hold_of(ticket) is Hold.MEMORY
    made.scheduler.may_swap = True
    made.decide()
    assert begun(made) == [("B", (), 1100)]


def test_who_has_no_room_now_waits_and_stands_in_nobodys_way() -> None:
    made = World(budget=2)
    big = runner("big", need=2)
    made.resident(A)
    made.room.short_for.add("big")
    held = made.ask("anna", big)
    served = made.ask("bert", C)
    assert made.scheduler.hold_of(held) is Hold.MEMORY
    made.wind(20)
    assert served.granted is not None


def test_after_an_operators_switch_nobody_swaps_it_back_at_once() -> None:
    made = World()
    made.resident(B)
    made.scheduler.keep_away("A", until=1060)
    ticket = made.ask("anna", A)
    goes_on = made.ask("bert", B)
    assert made.scheduler.hold_of(ticket) is Hold.MIN_STAY
    assert goes_on.granted == 1000
    made.wind(59)
    assert not begun(made)
    made.wind(2)
    assert begun(made) == [("A", ("B",), 1060)]


def test_who_is_kept_away_does_not_hold_up_who_comes_after() -> None:
    made = World()
    made.resident(B)
    made.scheduler.keep_away("A", until=2000)
    made.ask("anna", A)
    other = made.ask("bert", C)
    made.wind(20)
    assert other.granted is not None


def test_a_model_whose_last_waiter_left_is_not_loaded() -> None:
    made = World()
    made.resident(A)
    made.ask("works", A, seconds=20)
    leaves = made.ask("anna", B)
    made.wind(10)
    made.hang_up(leaves)
    made.wind(100)
    assert not begun(made)


def test_waiters_share_one_load() -> None:
    made = World()
    asked = [made.ask(f"caller {number}", A, seconds=1) for number in range(10)]
    made.wind(100)
    assert len(made.swaps) == 1
    assert all(each.granted is not None for each in asked)


def test_a_runner_nobody_may_have_a_turn_on_stays_for_nobody() -> None:
    made = World()
    made.resident(A).since = 1000
    made.scheduler.pause(lane=3)
    made.ask("paused", A, lane=3)
    made.ask("anna", B, lane=1)
    assert begun(made) == [("B", ("A",), 1000)]


def test_one_caller_with_three_models_by_turns_swaps_in_batches() -> None:
    made = World(LineRules(whole=1000), load=5)
    for number in range(150):
        made.ask("anna", (A, B, C)[number % 3], seconds=2)
    made.wind(1000)
    assert len(made.granted) == 150
    assert len(made.swaps) <= 300 / 60 + 3
