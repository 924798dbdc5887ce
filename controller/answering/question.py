"""What a run is asked: whose question it is, of which model, and how it is put to upstream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

import msgspec

from controller.answering.bounds import Bounds
from controller.auth.access import Principal
from controller.dialect import Dialect, StreamEnding
from controller.engines.runner import Runner
from controller.refusal import Refused


class Keep(StrEnum):
    """What a `keep_alive` asks of the one who decides what stays loaded: a client's hint, never an operator's order."""

    UNLOAD = "unload"  # once this is answered
    STAY = "stay"  # however long nobody asks, until another one needs the room


class Outgoing(msgspec.Struct):
    """A request as it goes upstream, but for its body."""

    target: str  # the path to forward: the very one that was authorised
    headers: Mapping[bytes, bytes]  # of which `heads.FORWARDED` go on
    id: bytes  # X-Request-Id
    method: str = "POST"
    query: bytes = b""
    replayable: bool = True  # sending it twice does no harm
    paced: bool = False  # upstream is held back when nobody reads: never for inference, whose slots freeze then


class Question(Outgoing, kw_only=True):
    """One for a model. A run empties `body` once it needs it no more: an answer may take minutes."""

    who: Principal
    model: str  # as it goes upstream
    runner: Runner | None  # what answers it; None: nobody here knows such a model, and upstream is to say so
    body: bytes
    dialect: Dialect
    route: str  # the path in the table of routes, for the usage
    bounds: Bounds
    rename: Callable[[bytes, str], Awaitable[tuple[bytes, bytes] | Refused]]
    """The body for another model, which the operator has given it meanwhile, and the mark of that one if it is long."""
    ending: StreamEnding | None = None  # of a stream; None: the answer is a document
    width: int = 1  # slots that it could use
    keep: Keep | None = None  # asked for by one who may
    mark: bytes = b""  # of a body that is long: to make it takes a while (`poison.mark_of`)
