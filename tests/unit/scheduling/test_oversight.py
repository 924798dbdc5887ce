"""The line as its operator sees and orders it."""

from __future__ import annotations

from controller.desk import every_model
from controller.scheduling.ticket import End, State, Ticket
from tests.kit.line_house import A, B, house


async def test_what_is_paused_waits_and_goes_on_when_it_is_resumed() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.oversight.pause(model_key="a")
        ticket = it.ask()
        assert ticket.state is State.WAITING
        assert it.oversight.queue()["paused"] == ["a:latest"]
        it.oversight.resume(model_key="a")
        assert it.granted(ticket)


async def test_a_switch_now_cuts_the_answers_of_that_runner_alone() -> None:
    async with house(most=2) as it:
        it.residents.loaded(A)
        it.residents.loaded(B)
        mine, other = it.ask(), it.ask("b")
        cut: list[tuple[Ticket, End]] = []
        it.oversight.on_cut.append(lambda *told: cut.append(told))
        it.oversight.cut("a")
        assert cut == [(mine, End.SWITCHED)]
        assert it.oversight.cancel(other.number, every_model)
        assert cut == [(mine, End.SWITCHED), (other, End.CANCELLED)]
        assert not it.oversight.cancel(999, every_model)


async def test_the_operator_ends_a_waiting_request_and_then_all_of_them() -> None:
    async with house() as it:
        first, second = it.ask(), it.ask(caller="ben")
        assert it.oversight.cancel(first.number, every_model)
        assert (first.ended, second.state) == (End.CANCELLED, State.WAITING)
        assert it.dispatcher.tally.ended[End.CANCELLED] == 1
        assert not it.oversight.cancel(first.number, every_model)  # it has ended already
        assert it.dispatcher.refuse_waiting(End.DOWN, "Seadragon is stopping.") == 1
        assert (second.ended, second.words) == (End.DOWN, "Seadragon is stopping.")


async def test_nobody_ends_the_request_for_a_model_that_does_not_exist_for_them() -> None:
    async with house(most=2) as it:
        it.residents.loaded(A)
        runs, waits = it.ask(), it.ask("b")
        cut: list[Ticket] = []
        it.oversight.on_cut.append(lambda ticket, _: cut.append(ticket))
        assert not it.oversight.cancel(runs.number, lambda model: model != runs.model)
        assert not it.oversight.cancel(waits.number, lambda model: model != waits.model)
        assert (cut, waits.state) == ([], State.WAITING)


async def test_the_document_tells_the_line_and_nothing_else() -> None:
    async with house() as it:
        it.residents.loaded(A)
        it.ask()
        it.ask(caller="ben")
        await it.clock.wind(7)
        document = it.oversight.queue()
        assert {key: document[key] for key in ("waiting", "running", "paused", "lanes")} == {
            "waiting": 1,
            "running": 1,
            "paused": [],
            "lanes": {"1": {"waiting": 1, "oldest_seconds": 7.0}},
        }
        assert document["tickets"] == [
            {
                "number": 1,
                "caller": "",
                "caller_id": "anna",
                "lane": 1.0,
                "model": "a",
                "state": "granted",
                "waited_seconds": 0.0,
                "position": 0,
                "estimate_seconds": None,
                "why": "free",
                "hold": None,
            },
            {
                "number": 2,
                "caller": "",
                "caller_id": "ben",
                "lane": 1.0,
                "model": "a",
                "state": "waiting",
                "waited_seconds": 7.0,
                "position": 1,
                "estimate_seconds": None,
                "why": None,
                "hold": "its model is busy",
            },
        ]
