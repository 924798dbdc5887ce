"""The three ways of speaking that clients know, and how each is told no: before an answer, and in the middle of one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

Headers = list[tuple[bytes, bytes]]


class Dialect(StrEnum):
    """Whose shapes a client expects."""

    OLLAMA = "ollama"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Reason(StrEnum):
    """Why a request did not get a whole answer from upstream: a label of the access log and the metrics."""

    NONE = ""
    PATH = "bad_path"
    UNLISTED = "unlisted"
    METHOD = "wrong_method"
    HOST = "wrong_host"
    ORIGIN = "wrong_origin"
    TUNNEL = "tunnel_closed"
    STRANGER = "not_allowed"
    DENIED = "kept_out"
    UNSURE = "kept_out_unknown"
    UNKNOWABLE = "rights_unknown"
    ADDRESS = "no_address"
    KEY = "wrong_key"
    KEYS = "several_keys"
    ENDED = "right_ended"
    GUESSING = "too_many_wrong_keys"
    RATE = "too_many_requests"
    RIGHT = "may_not"
    UNKNOWN = "unknown_model"
    PROXIED = "through_a_proxy"
    MANAGE = "may_not_manage"
    OFF = "switched_off"
    BAD = "bad_request"
    ENCODING = "unknown_encoding"
    TOO_LONG = "too_long"
    DRAINING = "draining"
    PLAIN = "plain_http"
    FULL = "too_many_connections"
    CALLER_FULL = "caller_full"
    CALLER_BYTES = "caller_bytes"
    LINE_FULL = "line_full"
    WAITED_OUT = "waited_out"
    SILENT = "silent_too_long"
    LOAD = "load_too_long"
    LOAD_FAILED = "load_failed"
    TOO_BIG = "too_big"
    NO_ROOM = "no_room"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    SWITCHED = "switched"
    POISON = "crashes_its_model"
    DOWN = "ollama_down"
    HELD_OUT = "held_too_long"
    DIED = "ollama_died"
    STALLED = "body_stalled"
    FIRST_BYTE = "first_byte_too_late"
    GAP = "gap_too_long"
    ANSWER = "answer_too_long"
    LATE = "error_after_filler"
    GONE = "client_gone"
    UNREAD = "client_too_slow"
    CUT = "cut_short"
    BROKEN = "answer_broken"
    FAILED = "seadragon_failed"


@dataclass(frozen=True, slots=True)
class Refused:
    """A "no", as a value. `text` is one plain sentence or two: what is wrong, and what to do next."""

    status: int
    reason: Reason
    text: str
    retry_after: int | None = None  # seconds
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def leads_on(self) -> bool:
        """Whether it says where to go instead."""
        return 300 <= self.status < 400


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
        case Dialect.OLLAMA:
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


class Ending(StrEnum):
    """How a streamed answer of a route ends when all is well."""

    DONE = "done"  # NDJSON, a line with "done": true
    SUCCESS = "success"  # NDJSON, a line with "status": "success"
    SENTINEL = "[DONE]"  # SSE, data: [DONE]
    MESSAGE_STOP = "message_stop"  # SSE, an event of that name
    RESPONSE = "response.completed"  # SSE, an event of that name (or one that says it failed)


_NUMBER = re.compile(rb'"sequence_number":\s*(\d+)')


def error_record(ending: Ending, text: str, last: bytes, status: int = 500) -> bytes:
    """What is sent in place of the missing rest of a stream whose last whole record was `last`.

    `status`: what an answer would have had that had not begun; some dialects name their errors after it.
    """
    match ending:
        case Ending.DONE | Ending.SUCCESS:
            return compact({"error": text}) + b"\n"
        case Ending.SENTINEL:
            return b"data: " + error_body(Dialect.OPENAI, status, text, "") + b"\n\n"
        case Ending.MESSAGE_STOP:
            kind = _ANTHROPIC_TYPES.get(status, "api_error")
            record = {"type": "error", "error": {"type": kind, "message": text}}
            return b"event: error\ndata: " + compact(record) + b"\n\n"
        case Ending.RESPONSE:
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
