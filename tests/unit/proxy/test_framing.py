"""Streams, cut anywhere: the client reads whole records, and always an end or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.dialect import StreamEnding
from controller.proxy.framing import LONGEST_RECORD, Framing, is_last
from tests.kit.examples import examples

WORDS = "It broke."


def ndjson(count: int, last: dict[str, object]) -> bytes:
    lines = [{"model": "m", "message": {"content": f"w{number}\u2028\n"}, "done": False} for number in range(count)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, last])


def sse(ending: StreamEnding, count: int) -> bytes:
    if ending is StreamEnding.SENTINEL:
        chunk = b'data: {"choices":[{"delta":{"content":"a\\n\\nb"}}]}\n\n'
        return chunk * count + b"data: [DONE]\n\n"
    name = b"message_stop" if ending is StreamEnding.MESSAGE_STOP else b"response.completed"
    delta = b'event: delta\ndata: {"type":"delta","sequence_number":7,"text":"[DONE]"}\n\n'
    return delta * count + b"event: %b\ndata: {}\n\n" % name


def whole(ending: StreamEnding, count: int) -> bytes:
    if ending is StreamEnding.DONE:
        return ndjson(count, {"model": "m", "done": True, "context": [1, 2]})
    if ending is StreamEnding.SUCCESS:
        return ndjson(count, {"status": "success"})
    return sse(ending, count)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return (data[a:b] for a, b in zip(edges, edges[1:], strict=False))


def read(ending: StreamEnding, data: bytes) -> tuple[int, bool, bool]:
    """As clients read: records, whether it came to its end, whether it said an error. Raises on torn ones."""
    if ending in (StreamEnding.DONE, StreamEnding.SUCCESS):
        lines = [json.loads(line) for line in data.split(b"\n") if line]
        assert data.endswith(b"\n") or not data
        errors = [line for line in lines if isinstance(line.get("error"), str)]
        ended = [line for line in lines if line.get("done") or line.get("status") == "success"]
        return len(lines), bool(ended), bool(errors)
    events = data.split(b"\n\n")
    assert events.pop() == b""
    documents = [line[6:] for event in events for line in event.split(b"\n") if line.startswith(b"data: ")]
    for document in documents:
        assert document == b"[DONE]" or isinstance(json.loads(document), dict)
    names = [line[7:] for event in events for line in event.split(b"\n") if line.startswith(b"event: ")]
    ended_well = b"[DONE]" in documents or b"message_stop" in names or b"response.completed" in names
    failed = b"error" in names or any(b'"error"' in document for document in documents)
    return len(events), ended_well, failed


_endings = st.sampled_from(list(StreamEnding))


@examples(500)
@given(_endings, st.integers(0, 5), st.lists(st.integers(0, 10_000), max_size=12))
def test_a_whole_stream_passes_byte_for_byte(ending: StreamEnding, count: int, cuts: list[int]) -> None:
    data = whole(ending, count)
    framing = Framing(ending)
    sent = b"".join(framing.feed(piece) for piece in pieces(data, cuts))
    sent += framing.close(WORDS, whole=True)
    assert sent == data
    assert not framing.cut


@examples(1000)
@given(_endings, st.integers(0, 5), st.lists(st.integers(0, 10_000), max_size=8), st.integers(0, 10_000), st.booleans())
def test_a_stream_that_dies_anywhere_ends_with_an_error_record(
    ending: StreamEnding, count: int, cuts: list[int], death: int, clean: bool
) -> None:
    data = whole(ending, count)
    alive = data[: death % len(data)]
    framing = Framing(ending)
    sent = b"".join(framing.feed(piece) for piece in pieces(alive, cuts))
    sent += framing.close(WORDS, whole=clean)
    if clean and sent == alive:  # the last line was all there, without its newline
        assert is_last(ending, alive.splitlines()[-1] if ending in (StreamEnding.DONE, StreamEnding.SUCCESS) else alive)
        return
    _, ended, failed = read(ending, sent)
    assert failed
    assert not ended
    assert framing.cut
    assert WORDS.encode() in sent


@pytest.mark.parametrize("ending", list(StreamEnding))
def test_death_after_the_terminal_record_is_no_error(ending: StreamEnding) -> None:
    framing = Framing(ending)
    data = whole(ending, 2)
    assert framing.feed(data) + framing.close(WORDS, whole=False) == data
    assert not framing.cut


@pytest.mark.parametrize(
    ("ending", "record"),
    [
        (StreamEnding.DONE, b'{"error":"an error was encountered"}\n'),
        (StreamEnding.SUCCESS, b'{"error":"pull model manifest: file does not exist"}\n'),
        (StreamEnding.SENTINEL, b'data: {"error":{"message":"x"}}\n\n'),
        (StreamEnding.MESSAGE_STOP, b'event: error\ndata: {"type":"error"}\n\n'),
        (StreamEnding.RESPONSE, b'event: response.failed\ndata: {"type":"response.failed"}\n\n'),
        (StreamEnding.RESPONSE, b"event: response.incomplete\ndata: {}\n\n"),
    ],
)
def test_an_error_of_upstreams_own_is_an_end(ending: StreamEnding, record: bytes) -> None:
    framing = Framing(ending)
    assert framing.feed(record) + framing.close(WORDS, whole=True) == record


def test_a_tool_call_that_says_done_is_no_end() -> None:
    line = b'{"message":{"tool_calls":[{"function":{"arguments":{"done":true}}}]},"done":false}\n'
    framing = Framing(StreamEnding.DONE)
    framing.feed(line)
    assert json.loads(framing.close(WORDS, whole=True)) == {"error": WORDS}


def test_a_stream_that_repeats_itself_into_silence_is_told() -> None:
    """Ollama ends such a stream with status 200 and without `done`."""
    framing = Framing(StreamEnding.DONE)
    framing.feed(ndjson(3, {"done": False}))
    assert framing.close(WORDS, whole=True).startswith(b'{"error":')


def test_the_number_of_a_failed_response_goes_on_from_the_last_event() -> None:
    framing = Framing(StreamEnding.RESPONSE)
    framing.feed(b'event: delta\ndata: {"sequence_number": 41}\n\n')
    told = framing.close(WORDS, whole=False)
    assert b'"sequence_number":42' in told
    assert b'event: response.failed\ndata: {"type":"response.failed","sequence_number":43' in told


def test_a_record_without_end_is_noticed() -> None:
    framing = Framing(StreamEnding.DONE)
    piece = b"x" * 2**20
    for _ in range(LONGEST_RECORD // len(piece)):
        assert framing.feed(piece) == b""
    assert not framing.overlong
    framing.feed(piece)
    assert framing.overlong
