"""What only a request is told, and what a guest hears of it."""

from __future__ import annotations

from typing import get_args

import pytest

from controller.answering.refusals import ended
from controller.engines.runner import ModelFacts, Runner
from controller.errors import OrderFault, OrderRefused
from controller.proxy.refusals import for_guest, order_refused, upstreams_words
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import End, Ticket


@pytest.mark.parametrize("fault", get_args(OrderFault))
def test_every_refused_order_has_a_status(fault: OrderFault) -> None:
    assert order_refused(OrderRefused("No.", fault)).status >= 400


def ticket(end: End, words: str = "") -> Ticket:
    made = Ticket(1, "me", 1, "m", Runner("m", "b", "m", ModelFacts(1), engine="ollama"), 0, 1)
    made.ended, made.words = end, words
    return made


@pytest.mark.parametrize("end", [each for each in End if each is not End.UNKNOWN])
def test_a_guest_hears_no_words_that_the_ticket_has_of_its_own(end: End) -> None:
    told = for_guest(ended(ticket(end, "hidden-model leaves for it, says /Volumes/x."), ready=True)).text
    assert told.endswith(".")
    assert "hidden" not in told
    assert "Volumes" not in told


@pytest.mark.parametrize("reason", [Reason.DOWN, Reason.HELD_OUT, Reason.MANAGE, Reason.TUNNEL])
def test_a_guest_hears_of_no_setting(reason: Reason) -> None:
    told = for_guest(Refused(503, reason, "There is no program at /opt/ollama: see `binary` in server.yaml."))
    assert "server.yaml" not in told.text
    assert "/opt" not in told.text
    assert (told.status, told.reason) == (503, reason)


@pytest.mark.parametrize(
    ("status", "words", "told"),
    [
        (400, "registry.ollama.ai/library/tiny:latest does not support tools", None),
        (400, "hf.co/Me/Name:Q4 is 3/4 of 10 GB and/or more", None),
        (400, "open /Volumes/My/models/blobs/sha256-1: no such file", "open … no such file"),
        (404, "no file ~/models/x here", "no file … here"),
        (
            500,
            "error loading model: /root/.ollama/models/blobs/sha256-1",
            "The model failed at this. Please ask again, or ask whoever runs this server.",
        ),
    ],
)
def test_of_ollamas_words_a_guest_hears_no_place_on_the_disk(status: int, words: str, told: str | None) -> None:
    assert upstreams_words(status, words) == (words if told is None else told)
