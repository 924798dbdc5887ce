"""A "no" and why: the same value for whoever is told it, by HTTP or in this process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
