"""What is said when the line says no, or ends a wait: a status that makes SDKs do what helps, and words.

429 and 503 invite an SDK to come back, by `Retry-After`; other statuses of ours do not. 503 is kept for an upstream
that is not there and for states that pass, since some clients answer one 503 with twenty requests.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.answering.forwards import SHARE
from controller.dialect import Dialect
from controller.engines.settings import ANY_TITLE
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import Cap, End, Ticket, Turned

_CANCELLED = "Whoever runs this server ended this request. Ask again if you still need it."

_TURNED: Mapping[Cap, Reason] = {
    Cap.CALLER: Reason.CALLER_FULL,
    Cap.BYTES: Reason.CALLER_BYTES,
    Cap.LINE: Reason.LINE_FULL,
}
_ENDS: Mapping[End, tuple[int, Reason, str, int | None]] = {
    End.GONE: (503, Reason.CUT, "This request was ended by the server. Please ask again in a moment.", 5),
    End.WAITED_OUT: (429, Reason.WAITED_OUT, "This request waited in line as long as it may. Please ask again.", 30),
    End.LOAD_FAILED: (500, Reason.LOAD_FAILED, "The model could not be loaded.", None),
    End.TOO_BIG: (400, Reason.TOO_BIG, "The model is too big for this machine's memory.", None),
    End.NO_ROOM: (503, Reason.NO_ROOM, "There is no memory left for this model now. Please ask again later.", 60),
    End.QUARANTINED: (
        503,
        Reason.QUARANTINED,
        "The model crashed twice while it was loaded, so it is left alone for some minutes.",
        60,
    ),
    End.CANCELLED: (410, Reason.CANCELLED, _CANCELLED, None),  # no SDK is to bring it back by itself
    End.SWITCHED: (503, Reason.SWITCHED, "The operator has switched to another model. Please ask again.", 5),
    End.DOWN: (503, Reason.DOWN, f"{ANY_TITLE} is not running.", 30),
    End.HELD_OUT: (503, Reason.HELD_OUT, f"{ANY_TITLE} did not come back in time. Please try again in a moment.", 5),
}
"""Status, reason, words where the ticket has none of its own, seconds to Retry-After."""

END_WORDS: Mapping[Reason, str] = {reason: words for _, reason, words, _ in _ENDS.values()}
_LIMITS: Mapping[Reason, tuple[int, str, int | None]] = {
    Reason.LOAD: (503, "Its model was not loaded in time ({limit:g} s).", 30),
    Reason.FIRST_BYTE: (504, "The model did not begin to answer in time, and did nothing for it ({limit:g} s).", None),
    Reason.GAP: (504, "The model fell silent in the middle of its answer ({limit:g} s).", None),
    Reason.ANSWER: (504, "The answer took longer than it may while others wait ({limit:g} s), so it was ended.", None),
    Reason.SILENT: (429, "It could not be answered within {limit:g} s, the longest such a request may be silent.", 30),
}
LEAVING = Refused(503, Reason.DRAINING, "The server is restarting. Please try again in a moment.", retry_after=5)
"""Nothing new is begun."""
CUT = Refused(
    503, Reason.CUT, "The server is restarting and had to end this answer early. Please ask again in a moment.", 5
)
"""What was open is ended now."""
CUT_SHORT: Mapping[End, Refused] = {
    End.SWITCHED: Refused(
        503, Reason.SWITCHED, "The operator has ended this answer to make room for another one. Please ask again.", 5
    ),
    End.CANCELLED: Refused(410, Reason.CANCELLED, _CANCELLED),
}
"""What is said to whoever was being answered when the operator ended that."""
BROKEN = Refused(500, Reason.BROKEN, f"{ANY_TITLE} stopped before the answer was complete. Please ask again.")
UNREAD = Refused(503, Reason.UNREAD, "The answer was not read as it came, so it was ended. Please ask again.")
SWITCHED_UNSEEN = Refused(
    503, Reason.SWITCHED, "The operator has switched to a model that you may not use. Please ask again later.", 60
)
TOO_MANY_FORWARDED = Refused(
    429,
    Reason.CALLER_FULL,
    f"You have {SHARE} requests open for models that are not on this machine, as many as one may. Ask again when one "
    "of them has ended.",
    5,
)
POISONED = Refused(
    400,
    Reason.POISON,
    "This very request has crashed the model each time it was tried, so it is not tried again for some minutes. "
    "Change it, or take another model.",
)


def turned_away(turned: Turned) -> Refused:
    """It was not let into the line."""
    return Refused(429, _TURNED[turned.cap], turned.text, turned.retry_after)


def not_spoken(model: str, title: str, dialect: Dialect) -> Refused:
    """The model's engine does not answer in this dialect."""
    words = f"{model} is held by {title}, which gives no answers in the {dialect.value} dialect. Ask another model."
    return Refused(400, Reason.BAD, words)


def ended(ticket: Ticket, *, ready: bool) -> Refused:
    """Its ticket ended without an answer. `ready`: whether its engine is there."""
    status, reason, words, retry_after = _ENDS[ticket.ended or End.GONE]
    if ticket.ended is End.WAITED_OUT and not ready:
        status = 503
    return Refused(status, reason, ticket.words or words, retry_after)


def out_of_time(reason: Reason, limit: float) -> Refused:
    """A part of it took longer than its `limit` of seconds."""
    status, words, retry_after = _LIMITS[reason]
    return Refused(status, reason, f"{words.format(limit=limit)} Please ask again.", retry_after)
