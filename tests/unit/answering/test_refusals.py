"""What the line's no becomes."""

from __future__ import annotations

import pytest

from controller.answering.refusals import ended, out_of_time, turned_away
from controller.engines.runner import ModelFacts, Runner
from controller.refusal import Reason
from controller.scheduling.ticket import Cap, End, Ticket, Turned


def ticket(end: End, words: str = "") -> Ticket:
    made = Ticket(1, "me", 1, "m", Runner("m", "b", "m", ModelFacts(1), engine="ollama"), 0, 1)
    made.ended, made.words = end, words
    return made


@pytest.mark.parametrize("end", [each for each in End if each is not End.UNKNOWN])
def test_every_end_has_a_status_a_reason_and_words(end: End) -> None:
    refused = ended(ticket(end), ready=True)
    assert refused.status in (400, 410, 429, 500, 503)
    assert refused.text.endswith(".")
    assert (refused.retry_after is None) == (refused.status in (400, 410, 500))
    assert refused.retry_after is None or 1 <= refused.retry_after <= 60
    assert ended(ticket(end, "Mine."), ready=True).text == "Mine."


def test_who_waited_for_an_ollama_that_is_away_is_told_503() -> None:
    assert ended(ticket(End.WAITED_OUT), ready=True).status == 429
    assert ended(ticket(End.WAITED_OUT), ready=False).status == 503


@pytest.mark.parametrize("cap", list(Cap))
def test_every_cap_is_429(cap: Cap) -> None:
    refused = turned_away(Turned(cap, "Full.", 9))
    assert (refused.status, refused.retry_after, refused.text) == (429, 9, "Full.")
    assert refused.reason == cap.value


@pytest.mark.parametrize("reason", [Reason.FIRST_BYTE, Reason.GAP, Reason.ANSWER, Reason.SILENT])
def test_every_limit_says_how_long_it_is(reason: Reason) -> None:
    assert "12 s" in out_of_time(reason, 12.0).text
