"""The dispatcher around the real scheduler, with residents that load on the test's word and a clock wound by hand."""

from __future__ import annotations

import asyncio

import pytest

from controller.config.schema import Config
from controller.errors import OrderRefused, Unreachable
from controller.residency.learned import Learned
from controller.residency.resident import Presence, Resident
from controller.scheduling.ticket import Cap, Caps, End, Problem, State, Turned, Why
from controller.scheduling.tokens import Tokens
from tests.kit.line_house import HERE, A, B, house


async def test_a_request_nobody_stands_before_is_granted_at_once() -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket = it.ask()
        assert (ticket.state, ticket.why) == (State.GRANTED, Why.FREE)
        await it.dispatcher.turn(ticket)  # returns, since there is nothing to wait for
        assert it.dispatcher.flying.is_set()
        it.dispatcher.end(ticket)
        assert not it.dispatcher.flying.is_set()
        assert ("freed", "a") in it.residents.told


async def test_who_waits_is_woken_by_the_end_of_who_was_before() -> None:
    async with house() as it:
        it.residents.loaded(A)
        first, second = it.ask(), it.ask(caller="ben")
        assert second.state is State.WAITING
        turn = asyncio.create_task(it.dispatcher.turn(second))
        await it.settle()
        assert not turn.done()
        it.dispatcher.end(first)
        await turn
        assert it.granted(second)


async def test_a_model_that_is_away_is_loaded_and_its_request_goes_on() -> None:
    async with house() as it:
        ticket = it.ask()
        assert [swap.runner for swap in it.residents.swaps] == [A]
        turn = asyncio.create_task(it.dispatcher.turn(ticket))
        await it.clock.wind(2)
        it.residents.loaded(A, seconds=2.0)
        await turn
        assert ticket.why is Why.LOADED
        assert it.dispatcher.tally.swaps == {"line": 1}
        assert (it.dispatcher.tally.loads["a:latest"].count, it.dispatcher.tally.loads["a:latest"].seconds) == (1, 2.0)


async def test_what_only_time_can_decide_is_decided_by_the_alarm() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.dispatcher.end(it.ask(caller="ben", lane=0.5))
        waiting = it.ask("b")
        await it.clock.wind(9)
        assert not it.residents.swaps  # the loaded model was just used by a better lane
        await it.clock.wind(1.5)
        assert [swap.runner for swap in it.residents.swaps] == [B]
        it.residents.loaded(B)
        assert it.granted(waiting)


async def test_a_nudge_lets_turn_return_and_changes_nothing() -> None:
    async with house() as it:
        ticket = it.ask()
        turn = asyncio.create_task(it.dispatcher.turn(ticket))
        await it.settle()
        it.dispatcher.nudge(ticket)
        await turn
        assert ticket.state is State.WAITING


async def test_a_grant_whose_client_has_left_is_given_on() -> None:
    async with house() as it:
        it.residents.loaded(A)
        first, second, third = it.ask(), it.ask(caller="ben"), it.ask(caller="cleo")
        turn = asyncio.create_task(it.dispatcher.turn(second))
        await it.settle()
        it.dispatcher.end(first)
        assert it.granted(second)
        turn.cancel()  # … before it could take it
        await asyncio.wait([turn])
        it.dispatcher.end(second)
        assert it.granted(third)
        assert ("doubt", "a") not in it.residents.told


async def test_a_ticket_ends_once() -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket = it.ask()
        it.dispatcher.end(ticket, tokens=Tokens(answer=4, answer_seconds=1.0))
        it.dispatcher.end(ticket, tokens=Tokens(answer=4, answer_seconds=1.0), left=True)
        assert it.dispatcher.tally.tokens["a:latest"].answer == 4
        assert ("doubt", "a") not in it.residents.told


async def test_a_full_line_turns_away() -> None:
    async with house() as it:
        it.ask(caps=Caps(waiting=1))
        turned = it.try_(caps=Caps(waiting=1))
        assert isinstance(turned, Turned)
        assert it.dispatcher.tally.turned[Cap.CALLER] == 1


async def test_a_hang_up_in_mid_answer_leaves_the_slot_in_doubt() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.dispatcher.end(it.ask(), left=True)
        assert ("doubt", "a") in it.residents.told


async def test_an_answer_teaches_how_fast_its_model_is() -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket = it.ask()
        await it.clock.wind(4)
        it.dispatcher.end(ticket, tokens=Tokens(prompt=400, answer=60, prompt_seconds=2.0, answer_seconds=3.0))
        assert it.learned["a"] == Learned(tokens_rate=20.0, prompt_rate=200.0, answer_seconds=4.0)
        ticket = it.ask()
        it.dispatcher.end(ticket, tokens=Tokens(prompt=2, answer=60, prompt_seconds=1.0, answer_seconds=3.0))
        assert it.learned["a"].prompt_rate == 200.0  # two tokens tell nothing


async def test_an_estimate_is_given_once_something_was_learned() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.ask()
        second = it.ask(caller="ben")
        assert (it.dispatcher.position(second), it.dispatcher.estimate(second)) == (1, None)
        it.learned["a"] = Learned(answer_seconds=8.0)
        await it.clock.wind(3)
        assert it.dispatcher.estimate(second) == 5.0


# --- Ollama comes and goes ---


async def test_requests_wait_for_an_ollama_that_comes() -> None:
    async with house(ready=False) as it:
        ticket = it.ask()
        await it.clock.wind(30)
        assert ticket.state is State.WAITING
        assert not it.residents.swaps
        it.readiness.set("ready", "Ollama answers.", HERE)
        assert [swap.runner for swap in it.residents.swaps] == [A]


async def test_a_request_that_waited_for_ollama_too_long_is_told_so() -> None:
    async with house(ready=False) as it:
        early = it.ask()
        await it.clock.wind(20)
        late = it.ask(caller="ben")
        turn = asyncio.create_task(it.dispatcher.turn(early))
        await it.clock.wind(40.5)
        await turn
        assert early.ended is End.HELD_OUT
        assert "within 60 seconds" in early.words
        assert late.state is State.WAITING
        await it.clock.wind(20)
        assert late.ended is End.HELD_OUT


async def test_time_in_the_line_is_no_time_waited_for_ollama() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.ask()
        waiting = it.ask(caller="ben")
        await it.clock.wind(300)
        it.readiness.set("coming", "It is restarted.")
        await it.clock.wind(59)
        assert waiting.state is State.WAITING
        await it.clock.wind(2)
        assert waiting.ended is End.HELD_OUT


async def test_however_long_answers_finish_before_a_planned_restart_who_waits_is_not_given_up_for_it() -> None:
    async with house() as it:
        it.residents.loaded(A)
        with it.readiness.paused("Ollama restarts."):
            waiting = it.ask()
            await it.clock.wind(119)
            assert waiting.state is State.WAITING
            it.readiness.set("coming", "It starts.")
            await it.clock.wind(59)
            assert waiting.state is State.WAITING
        it.readiness.set("ready", "Ollama answers.", HERE)
        assert it.granted(waiting)


async def test_nobody_waits_for_an_ollama_that_is_down() -> None:
    async with house(ready=False) as it:
        before = it.ask()
        turn = asyncio.create_task(it.dispatcher.turn(before))
        await it.settle()
        it.readiness.set("down", "Its program is missing.")
        await turn
        after = it.ask(caller="ben")
        assert (before.ended, after.ended) == (End.DOWN, End.DOWN)
        assert "Its program is missing." in after.words
        assert it.dispatcher.tally.ended[End.DOWN] == 2


# --- a grant that failed ---


@pytest.mark.parametrize(("problem", "rest"), [("lost", 0.25), ("busy", 1.0), ("died", 0.0), ("idle", 0.0)])
async def test_a_replay_keeps_its_due_and_gets_its_turn_after_a_rest(problem: Problem, rest: float) -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket = it.ask()
        due = ticket.due
        await it.clock.wind(5)
        it.dispatcher.back(ticket, problem)
        if rest:
            await it.clock.wind(rest / 2)
            assert ticket.state is State.WAITING
            await it.clock.wind(rest)
        assert (ticket.state, ticket.due, ticket.attempts) == (State.GRANTED, due, 2)
        assert it.dispatcher.tally.replays == 1
        assert it.dispatcher.tally.waits[1.0].counts[0] == 1  # counted for its first grant only


async def test_the_residents_hear_of_a_runner_that_died_and_of_a_broken_answer() -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket = it.ask()
        it.dispatcher.back(ticket, "died")
        it.dispatcher.failed(ticket, "lost")
        it.dispatcher.end(ticket)
        told = [each for each in it.residents.told if each[0] != "freed"]
        assert told == [("death", "a"), ("doubt", "a")]


async def test_a_byte_proves_a_slot_in_doubt() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.residents.table["a"].unproven = True
        ticket = it.ask()
        assert it.dispatcher.unproven(ticket)
        it.residents.idle = True
        assert await it.dispatcher.suspect(ticket)
        ticket.moved = 10
        it.dispatcher.end(ticket)
        assert not it.dispatcher.unproven(it.ask())


async def test_who_waits_for_a_model_that_cannot_be_loaded_is_told_why() -> None:
    async with house() as it:
        ticket, other = it.ask(), it.ask("b", caller="ben")
        turn = asyncio.create_task(it.dispatcher.turn(ticket))
        await it.settle()
        it.residents.failed("a", End.LOAD_FAILED, "The file is broken.")
        await turn
        assert (ticket.ended, ticket.words) == (End.LOAD_FAILED, "The file is broken.")
        assert other.state is State.WAITING
        assert it.residents.swaps[-1].runner == B


async def test_short_memory_holds_loads_then_grants() -> None:
    async with house() as it:
        it.residents.may_swap = False
        it.residents.loaded(A)
        assert it.ask("b", caller="ben").state is State.WAITING
        await it.clock.wind(200)
        assert not it.residents.swaps
        assert it.granted(it.ask())
        it.residents.may_grant = False
        it.residents.loaded(A)
        held = it.ask(caller="cleo")
        it.dispatcher.end(next(iter(it.dispatcher.running())))
        assert held.state is State.WAITING


# --- names ---


async def test_a_name_that_means_another_runner_meanwhile_goes_there() -> None:
    async with house() as it:
        it.residents.loaded(A)
        first, waiting = it.ask(), it.ask(caller="ben")
        it.names.change("a", B)
        it.dispatcher.end(first)
        assert waiting.state is State.WAITING  # until its name has been looked up
        await it.settle()
        assert waiting.runner == B
        await it.clock.wind(100)
        assert it.residents.swaps[-1].runner == B


async def test_a_model_that_was_deleted_ends_who_waits_for_it() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.ask()
        waiting = it.ask(caller="ben")
        it.names.change("a", None)
        turn = asyncio.create_task(it.dispatcher.turn(waiting))
        await it.settle()
        it.dispatcher.decide()
        await turn
        assert waiting.ended is End.UNKNOWN


async def test_names_are_looked_up_again_until_ollama_answers() -> None:
    async with house() as it:
        it.residents.loaded(A)
        first, waiting = it.ask(), it.ask(caller="ben")
        it.names.change("a", Unreachable("It is busy."))
        it.dispatcher.end(first)
        await it.clock.wind(0.5)
        assert waiting.state is State.WAITING
        it.names.means["a"] = A
        await it.clock.wind(1)
        assert it.granted(waiting)


# --- orders ---


async def test_a_load_begins_when_its_room_is_free() -> None:
    async with house() as it:
        ticket = it.ask("b")
        row = it.residents.table["b"] = Resident(B, Presence.LOADING, it.clock.now(), 1, 1, waits=True)
        assert it.dispatcher.loading_since(ticket) is None
        await it.clock.wind(200)
        row.since, row.waits = it.clock.now(), False
        assert it.dispatcher.loading_since(ticket) == it.clock.now()


async def test_a_request_may_unload_its_model_once_it_is_answered() -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket = it.ask()
        it.dispatcher.unload_after(ticket)
        await it.settle()
        assert it.residents.told == []
        it.dispatcher.end(ticket)
        await it.settle()
        assert it.residents.told == [("freed", "a"), ("unload", "a")]


async def test_a_request_may_have_its_model_stay_while_nobody_uses_it_but_orders_nothing() -> None:
    async with house() as it:
        it.residents.loaded(A)
        ticket, waits = it.ask(), it.ask(caller="ben")
        for each in (ticket, waits):
            it.dispatcher.stay_after(each)
        it.dispatcher.end(ticket)
        await it.settle()
        assert it.residents.told[-2:] == [("stay", "a"), ("freed", "a")]
        assert not it.residents.table["a"].pinned


async def test_a_model_that_others_want_too_is_not_unloaded_because_one_of_them_says_so() -> None:
    async with house() as it:
        it.residents.loaded(A)
        first, second, third = it.ask(), it.ask(caller="ben"), it.ask(caller="cleo")
        for each in (first, second):
            it.dispatcher.unload_after(each)
        it.dispatcher.end(first)  # `second` has its turn, `third` waits
        it.dispatcher.end(second)
        it.dispatcher.end(third)
        await it.settle()
        assert ("unload", "a") not in it.residents.told


async def test_an_unload_that_does_not_work_is_told_to_who_waits_for_it_and_otherwise_to_the_journal() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.residents.stuck = OrderRefused("It did not go.", "failed")
        with pytest.raises(OrderRefused, match="It did not go"):
            await it.dispatcher.unload(A)
        asked = it.ask()
        it.dispatcher.unload_after(asked)
        it.dispatcher.end(asked)
        await it.settle()
        assert [event.text for event in it.journal.last(1)] == ["It did not go."]


async def test_another_configuration_rules_from_the_next_request_on() -> None:
    async with house() as it:
        it.config[0] = Config.model_validate({"server": {"line": {"patience": 1, "whole": 1}}})
        it.ask()
        assert it.scheduler.rules.patience == 1
        assert isinstance(it.try_(caller="ben"), Turned)


async def test_a_ticket_knows_how_much_of_its_wait_was_a_load() -> None:
    async with house() as it:
        first = it.ask()
        await it.clock.wind(5)
        second = it.ask(caller="ben")
        await it.clock.wind(3)
        it.residents.loaded(A, seconds=8.0)
        assert (first.loading, it.granted(first)) == (8.0, True)
        it.dispatcher.end(first)
        assert (second.loading, it.granted(second)) == (3.0, True)
        it.dispatcher.end(second)
        await it.clock.wind(10)
        assert it.ask().loading == 0.0
