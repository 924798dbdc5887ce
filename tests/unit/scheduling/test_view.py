from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from controller.scheduling.ticket import State, Ticket
from controller.scheduling.view import LISTED, queue_document
from tests.fakes.residents import runner


def waiting(number: int, *, due: float | None = None, lane: float = 1.0) -> Ticket:
    ticket = Ticket(number, "anna", lane, "a", runner("a"), 100.0, 1900.0)
    ticket.due = due
    return ticket


def running(number: int) -> Ticket:
    ticket = waiting(number)
    ticket.state, ticket.granted = State.GRANTED, 100.0 + number
    return ticket


def shown(queued: list[Ticket], at_work: list[Ticket]) -> dict[str, Any]:
    order = {each: place for place, each in enumerate(queued, 1)}
    document = queue_document(queued, at_work, [], lambda each: (order[each], 12.34), 200.0)
    assert json.loads(json.dumps(document)) == document  # plain numbers and words
    return cast(dict[str, Any], document)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=300), st.integers(0, 220))
def test_all_are_counted_and_a_bounded_number_is_listed(dues: list[float | None], at_work: int) -> None:
    queued = [waiting(number, due=due) for number, due in enumerate(dues)]
    document = shown(queued, [running(number) for number in range(at_work)])
    assert (document["waiting"], document["running"]) == (len(dues), at_work)
    tickets = document["tickets"]
    assert len(tickets) == min(LISTED, len(dues) + at_work)
    places = [each["position"] for each in tickets if each["state"] == "waiting"]
    assert places == sorted(places)
    assert [each["state"] for each in tickets] == sorted(each["state"] for each in tickets)  # granted, then waiting


def test_lanes_are_summed_up_in_their_order() -> None:
    lanes = shown([waiting(1, lane=3), waiting(2, lane=0.5), waiting(3, lane=3)], [])["lanes"]
    assert list(lanes.items()) == [
        ("0.5", {"waiting": 1, "oldest_seconds": 100.0}),
        ("3", {"waiting": 2, "oldest_seconds": 100.0}),
    ]


def test_a_running_request_shows_how_long_it_had_waited() -> None:
    [row] = shown([], [running(5)])["tickets"]
    assert (row["waited_seconds"], row["position"], row["estimate_seconds"]) == (5.0, 0, None)
