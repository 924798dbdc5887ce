"""A ticket: one request in the line. Words that the line, the gateway and the pages have in common.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from controller.engines.runner import Runner
from controller.engines.settings import ANY_TITLE


class State(StrEnum):
    """Of a ticket. It ends once."""

    WAITING = "waiting"
    GRANTED = "granted"
    ENDED = "ended"


class Hold(StrEnum):
    """Why a ticket waits."""

    BEHIND = "behind its caller's own earlier request"
    CAP = "its caller has as many running as allowed"
    SLOT = "its model is busy"
    QUEUE = "others are before it"
    PATIENCE = "requests for the loaded model may go first for a moment"
    MIN_STAY = "the loaded model stays for a moment"
    LINGER = "the loaded model was just used by a better lane"
    LEAVING = "the loaded model finishes its answers"
    LOADING = "its model is being loaded"
    SWAPPING = "another model is being loaded"
    MEMORY = "memory is short"
    PAUSED = "paused by the operator"
    AWAY = f"{ANY_TITLE} is not there"


class Why(StrEnum):
    """Why a ticket was granted."""

    FREE = "free"  # nobody else waited
    TURN = "turn"  # its due was the lowest
    OVERTOOK = "overtook"  # its runner was there, the front's was not
    LOADED = "loaded"  # its runner has just been loaded


class End(StrEnum):
    """Why a waiting ticket ended without a grant: the gateway has the status and the words for each."""

    GONE = "gone"  # its client left, or the controller cut it off
    WAITED_OUT = "waited_out"
    LOAD_FAILED = "load_failed"
    TOO_BIG = "too_big"
    NO_ROOM = "no_room"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"  # an operator ended this one
    SWITCHED = "switched"  # an operator switched its model away and chose to refuse who waits
    DOWN = "down"
    HELD_OUT = "held_out"
    UNKNOWN = "unknown"  # its model has been deleted meanwhile


Problem = Literal["lost", "died", "busy", "idle"]
"""Why a granted request brought nothing: its connection was refused or cut (lost); its engine said that the runner
died, or that it is too busy; or an earlier hang-up had taken its slot along, and the runner has been ended (idle)."""


class Cap(StrEnum):
    """Which bound kept a request out of the line."""

    CALLER = "caller_full"
    BYTES = "caller_bytes"
    LINE = "line_full"


@dataclass(frozen=True, slots=True)
class Turned:
    """Not let into the line."""

    cap: Cap
    text: str
    retry_after: int  # seconds, 1..60


@dataclass(frozen=True, slots=True)
class Caps:
    """How much one caller may have in the line."""

    running: int | None = None  # answers at a time; None: as many as there are slots for
    waiting: int = 64
    size: int = 64 * 2**20  # bytes of waiting bodies


class Wish(NamedTuple):
    """What a request asks of the line."""

    caller: str  # its identity: flows, shares and caps go by it
    lane: float
    model: str  # the name it asks for
    runner: Runner
    size: int  # bytes of its body
    width: int  # slots it takes
    wait: float  # seconds it may wait
    caps: Caps
    label: str = ""  # what people read of its caller


class Ticket(msgspec.Struct, eq=False):
    """One request. The upper half is given; the line writes the lower half."""

    number: int  # grows
    caller: str  # its identity
    lane: float
    model: str  # the name it asks for: resolved again at the grant; an operator's switch may put another in its place
    runner: Runner
    arrived: float
    deadline: float  # when it has waited long enough
    size: int = 0  # bytes of its body
    width: int = 1  # slots it takes
    caps: Caps = Caps()
    label: str = ""  # what people read of its caller

    state: State = State.WAITING
    due: float | None = None  # set when it first became its flow's head; lowest goes first
    head_since: float | None = None
    front_since: float | None = None  # when it first stood at the front; never reset
    granted: float | None = None
    loading: float = 0.0  # seconds of its wait in which its runner was being loaded
    why: Why | None = None
    hold: Hold | None = None
    ended: End | None = None
    words: str = ""  # with `ended`: what a person is told
    attempts: int = 0  # grants so far: a replay returns to the line with its due
    moved: int = 0  # bytes that its answer has brought: how progress is told from liveness
    worked: float = 0.0  # when its runner was last seen at work on it while it brought nothing
