"""Tokens, as the last records of each dialect tell them (shapes of Ollama v0.24.0)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.answering.usage import AnswerUsage
from controller.dialect import StreamEnding
from controller.scheduling.tokens import Tokens
from tests.kit.examples import examples

NATIVE = (
    b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":9,'
    b'"load_duration":1,"prompt_eval_count":12,"prompt_eval_duration":500000000,"eval_count":34,'
    b'"eval_duration":2000000000}\n'
)
LINE = b'{"model":"m","message":{"content":"\\"eval_count\\":999 "},"done":false}\n'
CHUNK = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
DELTA = b'event: message_delta\ndata: {"type":"message_delta","usage":{"input_tokens":12,"output_tokens":34}}\n\n'
COMPLETED = (
    b'event: response.completed\ndata: {"response":{"output":[],"usage":{"input_tokens":12,"input_tokens_details":'
    b'{"cached_tokens":0},"output_tokens":34,"total_tokens":46}}}\n\n'
)


def used(ending: StreamEnding | None, *pieces: bytes) -> Tokens | None:
    usage = AnswerUsage()
    for piece in pieces:
        usage.feed(piece)
    assert usage.moved == sum(map(len, pieces))
    return usage.tokens(ending)


def test_a_native_stream_tells_tokens_and_seconds() -> None:
    assert used(StreamEnding.DONE, LINE, LINE, NATIVE) == Tokens(12, 34, 0.5, 2.0)
    assert used(None, NATIVE) == Tokens(12, 34, 0.5, 2.0)


@pytest.mark.parametrize(
    ("ending", "pieces"),
    [
        (StreamEnding.SENTINEL, (CHUNK, CHUNK, LAST, b"data: [DONE]\n\n")),
        (StreamEnding.MESSAGE_STOP, (b"event: message_start\ndata: {}\n\n", DELTA, STOP)),
        (StreamEnding.RESPONSE, (b"event: response.created\ndata: {}\n\n", COMPLETED)),
    ],
)
def test_the_others_tell_tokens(ending: StreamEnding, pieces: tuple[bytes, ...]) -> None:
    assert used(ending, *pieces) == Tokens(12, 34)


def test_a_stream_that_does_not_tell_is_counted() -> None:
    assert used(StreamEnding.SENTINEL, *[CHUNK] * 10, CHUNK, b"data: [DONE]\n\n") == Tokens(None, 10, estimated=True)
    zeros = b'data: {"usage":{"prompt_tokens":0,"completion_tokens":0}}\n\n'
    assert used(StreamEnding.SENTINEL, *[zeros] * 10, zeros, b"data: [DONE]\n\n") == Tokens(None, 10, estimated=True)


def test_a_stream_that_broke_off_is_counted() -> None:
    assert used(StreamEnding.DONE, LINE, LINE, LINE) == Tokens(None, 2, estimated=True)


def test_documents_tell_what_they_tell() -> None:
    assert used(None, b'{"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}') == Tokens(12, 34)
    embedded = b'{"embeddings":[[' + b"0.1," * 9000 + b'0]],"total_duration":1,"prompt_eval_count":3}'
    assert used(None, embedded) == Tokens(3, None)
    assert used(None, b'{"embedding":[1]}') is None
    assert used(None) is None
    assert used(StreamEnding.DONE) is None


@examples(200)
@given(st.lists(st.text(max_size=50), max_size=8), st.integers(0, 10**6))
def test_no_text_of_an_answer_passes_for_its_counts(texts: list[str], count: int) -> None:
    texts = [*texts, f'"eval_count":{count} "completion_tokens": {count}']
    lines = [json.dumps({"message": {"content": text}, "done": False}).encode() + b"\n" for text in texts]
    assert used(StreamEnding.DONE, *lines, NATIVE) == Tokens(12, 34, 0.5, 2.0)


@examples(200)
@given(st.integers(1, len(NATIVE) - 1))
def test_a_torn_last_record_is_read_whole(cut: int) -> None:
    assert used(StreamEnding.DONE, LINE, NATIVE[:cut], NATIVE[cut:]) == Tokens(12, 34, 0.5, 2.0)
