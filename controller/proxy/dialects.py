"""How a client of each dialect is told no: before an answer, and in the middle of one."""

from __future__ import annotations

import json
import re

from controller.dialect import Dialect, Headers, StreamEnding
from controller.refusal import Refused

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    410: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    421: "invalid_request_error",
    426: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {**_OPENAI_TYPES, 413: "request_too_large", 503: "overloaded_error", 529: "overloaded_error"}


def compact(value: object) -> bytes:
    """`value` as JSON on one line of ASCII: the Ollama CLI scans line by line, and httpx splits on U+2028."""
    return json.dumps(value, separators=(",", ":")).encode()


def error_body(dialect: Dialect, status: int, text: str, request_id: str) -> bytes:
    """The error document of a refusal, in the shape that the dialect's own servers use."""
    match dialect:
        case Dialect.NATIVE:
            return compact({"error": text})
        case Dialect.OPENAI:
            kind = _OPENAI_TYPES.get(status, "api_error")
            return compact({"error": {"message": text, "type": kind, "param": None, "code": None}})
        case Dialect.ANTHROPIC:
            kind = _ANTHROPIC_TYPES.get(status, "api_error")
            return compact({"type": "error", "error": {"type": kind, "message": text}, "request_id": request_id})


def refusal_headers(refused: Refused, length: int) -> Headers:
    """Headers of a refusal. A client error must not be retried; a server error says when, if it may be."""
    headers: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    if refused.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refused.retry_after))
    else:
        headers.append((b"x-should-retry", b"false"))
    return [*headers, *refused.headers]


_NUMBER = re.compile(rb'"sequence_number":\s*(\d+)')


def error_record(ending: StreamEnding, text: str, last: bytes, status: int = 500) -> bytes:
    """What is sent in place of the missing rest of a stream whose last whole record was `last`.

    `status`: what an answer would have had that had not begun; some dialects name their errors after it.
    """
    match ending:
        case StreamEnding.DONE | StreamEnding.SUCCESS:
            return compact({"error": text}) + b"\n"
        case StreamEnding.SENTINEL:
            return b"data: " + error_body(Dialect.OPENAI, status, text, "") + b"\n\n"
        case StreamEnding.MESSAGE_STOP:
            kind = _ANTHROPIC_TYPES.get(status, "api_error")
            record = {"type": "error", "error": {"type": kind, "message": text}}
            return b"event: error\ndata: " + compact(record) + b"\n\n"
        case StreamEnding.RESPONSE:
            return _failed_response(text, last)


def _failed_response(text: str, last: bytes) -> bytes:
    """SDKs raise on `error`; Codex waits for `response.failed`."""
    found = _NUMBER.search(last)
    number = int(found[1]) + 1 if found else 0
    error = {"code": "server_error", "message": text}
    told = {"type": "error", **error, "param": None, "sequence_number": number, "error": {"type": "api_error", **error}}
    response = {"object": "response", "status": "failed", "error": error}
    failed = {"type": "response.failed", "sequence_number": number + 1, "response": response}
    first = b"event: error\ndata: " + compact(told) + b"\n\n"
    return first + b"event: response.failed\ndata: " + compact(failed) + b"\n\n"
