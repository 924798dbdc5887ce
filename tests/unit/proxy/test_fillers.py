"""What may be sent while there is no answer, by how the answer would come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.dialect import StreamEnding
from controller.proxy.fillers import Manner, ending_of, granted_words, headers, manner_of, waiting_words
from controller.proxy.framing import Framing
from controller.proxy.routes import ROUTES, Kind, Match, find
from tests.kit.examples import examples
from tests.unit.proxy.test_framing import pieces, read, whole


@pytest.mark.parametrize(
    ("path", "stream", "manner"),
    [
        ("/api/chat", None, Manner.LINES),
        ("/api/generate", True, Manner.LINES),
        ("/api/chat", False, Manner.DOCUMENT),
        ("/api/embed", None, Manner.DOCUMENT),
        ("/v1/chat/completions", None, Manner.DOCUMENT),
        ("/v1/chat/completions", True, Manner.EVENTS),
        ("/v1/completions", True, Manner.EVENTS),
        ("/v1/responses", True, Manner.EVENTS),
        ("/v1/messages", True, Manner.PINGS),
        ("/v1/messages", False, Manner.DOCUMENT),
        ("/v1/embeddings", True, Manner.DOCUMENT),
        ("/v1/audio/transcriptions", None, None),
    ],
)
def test_each_route_has_its_manner(path: str, stream: bool | None, manner: Manner | None) -> None:
    match = find("POST", path)
    assert isinstance(match, Match)
    assert manner_of(match.route, ending_of(match.route, stream)) is manner


def test_no_route_is_forgotten() -> None:
    for route in ROUTES:
        if route.kind is Kind.INFERENCE:
            manner = manner_of(route, ending_of(route, True))
            assert (manner is None) == (route.path == "/v1/audio/transcriptions")


_MANNERS = {
    StreamEnding.DONE: Manner.LINES,
    StreamEnding.SENTINEL: Manner.EVENTS,
    StreamEnding.RESPONSE: Manner.EVENTS,
    StreamEnding.MESSAGE_STOP: Manner.PINGS,
}


@examples(500)
@given(
    st.sampled_from(list(_MANNERS)),
    st.integers(0, 5),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.lists(st.integers(0, 3), min_size=10, max_size=10),
)
def test_fillers_between_what_framing_lets_through_tear_no_record(
    ending: StreamEnding, count: int, cuts: list[int], fillers: list[int]
) -> None:
    data, filler = whole(ending, count), _MANNERS[ending].filler
    framing = Framing(ending)
    sent = filler * fillers.pop()
    for piece in pieces(data, cuts):
        sent += framing.feed(piece)
        if fillers and not framing.over:
            sent += filler * fillers.pop()
    sent += framing.close("It broke.", whole=True)
    if ending is StreamEnding.DONE:
        lines = sent.split(b"\n")
        assert lines.pop() == b""
        assert [json.loads(line) for line in lines] == [json.loads(line) for line in data.split(b"\n") if line]
        return
    quiet = sent.replace(filler, b"")
    assert quiet == data
    _, ended, failed = read(ending, sent if ending is StreamEnding.MESSAGE_STOP else quiet)
    assert ended
    assert not failed


def test_the_header_says_what_is_known_and_no_more() -> None:
    assert waiting_words(3, 41.6, 10.2) == b"position=3, estimate=42s, waited=10s"
    assert waiting_words(1, None, 0.4) == b"position=1, waited=0s"
    assert waiting_words(None, None, 12.0) == b"waited=12s"
    assert granted_words(61.0, "loaded") == b"waited=61s, granted=loaded"
    told = dict(headers(Manner.DOCUMENT, b"waited=1s"))
    assert told[b"content-type"] == b"application/json; charset=utf-8"
    assert b"content-length" not in told
