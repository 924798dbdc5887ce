"""What a client is told when the line says no, or ends its wait: a status that makes SDKs do what helps, and words.

429 and 503 invite an SDK to come back, by `Retry-After`; other statuses of ours do not. 503 is kept for an Ollama that
is not there and for states that pass, since some clients answer one 503 with twenty requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.errors import OrderFault, OrderRefused
from controller.proxy.forwards import SHARE
from controller.proxy.routes import label
from controller.refusal import Reason, Refused
from controller.scheduling.ticket import Cap, End, Ticket, Turned

EMBEDDER = "nomic-embed-text"  # small, and known to every client
MOST_OTHERS = 3
_PATH = re.compile(r"""(?<![\w.:/~])~?/[^\s"'`/]+/[^\s"'`]*""")  # a place on the disk; no model is called so
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
    End.DOWN: (503, Reason.DOWN, "Ollama is not running.", 30),
    End.HELD_OUT: (503, Reason.HELD_OUT, "Ollama did not come back in time. Please try again in a moment.", 5),
}
"""Status, reason, words where the ticket has none of its own, seconds to Retry-After."""

_LIMITS: Mapping[Reason, tuple[int, str, int | None]] = {
    Reason.LOAD: (503, "Its model was not loaded in time ({limit:g} s).", 30),
    Reason.FIRST_BYTE: (504, "The model did not begin to answer in time, and did nothing for it ({limit:g} s).", None),
    Reason.GAP: (504, "The model fell silent in the middle of its answer ({limit:g} s).", None),
    Reason.ANSWER: (504, "The answer took longer than it may while others wait ({limit:g} s), so it was ended.", None),
    Reason.SILENT: (429, "It could not be answered within {limit:g} s, the longest such a request may be silent.", 30),
}

_ORDERS: Mapping[OrderFault, tuple[int, int | None]] = {
    "unknown": (404, None),
    "conflict": (409, None),
    "no_room": (503, 60),
    "busy": (503, 5),
    "failed": (500, None),
}

CUT_SHORT: Mapping[End, Refused] = {
    End.SWITCHED: Refused(
        503, Reason.SWITCHED, "The operator has ended this answer to make room for another one. Please ask again.", 5
    ),
    End.CANCELLED: Refused(410, Reason.CANCELLED, _CANCELLED),
}
"""What is said to whoever was being answered when the operator ended that."""
SWITCHED_UNSEEN = Refused(
    503, Reason.SWITCHED, "The operator has switched to a model that you may not use. Please ask again later.", 60
)
SURFACE = Refused(
    403,
    Reason.TUNNEL,
    "Nothing is managed through the tunnel. Use the server from its own network, or write "
    "`surfaces: {admin: {tunnel: true}}` in server.yaml.",
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


_FOR_GUESTS: Mapping[Reason, str] = {
    **{reason: words for _, reason, words, _ in _ENDS.values()},
    Reason.HELD_OUT: "The models did not come back in time. Please try again in a moment.",
    Reason.DOWN: "The models are not to be had now. Please try again later.",
    Reason.MANAGE: "You may ask models here, but not change or unload them.",
    Reason.TUNNEL: "This is not done from outside.",
    Reason.OFF: "This is switched off on this server.",
}
"""What may be known to whoever looks after the server, in words for others: by reason."""
_FAILED = "The model failed at this. Please ask again, or ask whoever runs this server."


def for_guest(refused: Refused) -> Refused:
    """The same, without a folder, a setting, or a model that is not theirs to see."""
    if refused == SWITCHED_UNSEEN:
        return refused
    return replace(refused, text=_FOR_GUESTS.get(refused.reason, refused.text))


def upstreams_words(status: int, words: str) -> str:
    """What Ollama itself says is wrong, as a guest may hear it: of its own failures nothing, of the request all but
    where something lies on the disk.
    """
    return _FAILED if status >= 500 else _PATH.sub("…", words) or _FAILED


def turned_away(turned: Turned) -> Refused:
    """It was not let into the line."""
    return Refused(429, _TURNED[turned.cap], turned.text, turned.retry_after)


def ended(ticket: Ticket, *, ready: bool) -> Refused:
    """Its ticket ended without an answer. `ready`: whether Ollama is there."""
    status, reason, words, retry_after = _ENDS[ticket.ended or End.GONE]
    if ticket.ended is End.WAITED_OUT and not ready:
        status = 503
    return Refused(status, reason, ticket.words or words, retry_after)


def out_of_time(reason: Reason, limit: float) -> Refused:
    """A part of it took longer than its `limit` of seconds."""
    status, words, retry_after = _LIMITS[reason]
    return Refused(status, reason, f"{words.format(limit=limit)} Please ask again.", retry_after)


def no_embeddings(model: str, others: Sequence[str]) -> Refused:
    """A model made for chats was asked for embeddings; `others` are the installed ones that give some."""
    if others:
        remedy = f"Ask {' or '.join(others[:MOST_OTHERS])} for them."
    else:
        remedy = f"No model that gives them is installed here; one can be fetched with: ollama pull {EMBEDDER}"
    return Refused(400, Reason.BAD, f"{label(model)} is made for chats and gives no embeddings. {remedy}")


def too_many_inputs(most: int) -> Refused:
    """One request wants embeddings of more texts than it may."""
    text = (
        f"The request has more than {most} inputs, the most this server takes at once (server.yaml, limits). Send them "
        "in several requests."
    )
    return Refused(400, Reason.BAD, text)


def order_refused(refused: OrderRefused) -> Refused:
    """An order that came as a request, as `ollama stop` does, cannot be carried out."""
    status, retry_after = _ORDERS[refused.kind]
    return Refused(status, Reason.BAD, str(refused), retry_after)
