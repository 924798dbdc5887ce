from __future__ import annotations

from controller.histogram import BOUNDS
from controller.scheduling.tally import MOST_LANES, MOST_NAMES, OTHER_LANE, OTHER_NAME, LineTally
from controller.scheduling.ticket import Ticket, Why
from controller.scheduling.tokens import Tokens
from tests.fakes.residents import runner


def granted(lane: float = 1.0, attempts: int = 1) -> Ticket:
    ticket = Ticket(1, "anna", lane, "a", runner("a"), 100.0, 1900.0)
    ticket.why, ticket.attempts = Why.TURN, attempts
    return ticket


def test_a_grant_is_counted_by_its_reason_and_its_wait_by_its_lane() -> None:
    tally = LineTally()
    tally.granted(granted(), now=107.0)
    tally.granted(granted(attempts=2), now=207.0)  # a replay has waited already
    assert tally.grants[Why.TURN] == 2
    waits = tally.waits[1.0]
    assert waits.total == 7.0
    assert waits.counts[BOUNDS.index(10.0)] == 1


def test_names_and_lanes_that_clients_choose_do_not_grow_without_bound() -> None:
    tally = LineTally()
    for number in range(1000):
        tally.answered(f"model-{number}", Tokens(prompt=1, answer=2, answer_seconds=0.5))
        tally.loaded(f"model-{number}", 2.0)
        tally.granted(granted(lane=float(number)), now=101.0)
    assert len(tally.tokens) == len(tally.loads) == MOST_NAMES + 1
    assert len(tally.waits) == MOST_LANES + 1
    assert tally.tokens[OTHER_NAME].answer == 2 * (1000 - MOST_NAMES)
    assert tally.loads[OTHER_NAME].seconds == 2.0 * (1000 - MOST_NAMES)
    assert sum(tally.waits[OTHER_LANE].counts) == 1000 - MOST_LANES


def test_speed_is_told_by_answers_whose_seconds_are_known_and_no_others() -> None:
    tally = LineTally()
    tally.answered("a", Tokens(prompt=1, answer=100, answer_seconds=2.0))
    tally.answered("a", Tokens(prompt=1, answer=900))
    spoken = tally.tokens["a"]
    assert (spoken.answer, spoken.timed, spoken.seconds) == (1000, 100, 2.0)


def test_a_stream_that_tells_no_seconds_took_as_long_as_it_came() -> None:
    assert Tokens(1, 100).timed(2.0).answer_seconds == 2.0
    assert Tokens(1, 100, None, 0.5).timed(2.0).answer_seconds == 0.5
    assert Tokens(1, 100).timed(0.001).answer_seconds is None  # it came in one piece


def test_what_an_answer_does_not_tell_counts_nothing() -> None:
    tally = LineTally()
    tally.answered("a", Tokens())
    assert (tally.tokens["a"].prompt, tally.tokens["a"].answer, tally.tokens["a"].seconds) == (0, 0, 0.0)
