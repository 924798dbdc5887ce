"""What only a request can be told, and what a guest hears. What the line says stands in `answering/refusals.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.answering.refusals import END_WORDS, SWITCHED_UNSEEN
from controller.engines.settings import FETCHING
from controller.errors import OrderFault, OrderRefused
from controller.proxy.routes import label
from controller.refusal import Reason, Refused

EMBEDDER = "nomic-embed-text"  # small, and known to every client
MOST_OTHERS = 3
_PATH = re.compile(r"""(?<![\w.:/~])~?/[^\s"'`/]+/[^\s"'`]*""")  # a place on the disk; no model is called so

_ORDERS: Mapping[OrderFault, tuple[int, int | None]] = {
    "unknown": (404, None),
    "conflict": (409, None),
    "no_room": (503, 60),
    "busy": (503, 5),
    "failed": (500, None),
}

SURFACE = Refused(
    403,
    Reason.TUNNEL,
    "Nothing is managed through the tunnel. Use the server from its own network, or write "
    "`surfaces: {admin: {tunnel: true}}` in server.yaml.",
)
_FOR_GUESTS: Mapping[Reason, str] = {
    **END_WORDS,
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
    """What the engine itself says is wrong, as a guest may hear it: of its own failures nothing, of the request all but
    where something lies on the disk.
    """
    return _FAILED if status >= 500 else _PATH.sub("…", words) or _FAILED


def no_embeddings(model: str, others: Sequence[str]) -> Refused:
    """A model made for chats was asked for embeddings; `others` are the installed ones that give some."""
    if others:
        remedy = f"Ask {' or '.join(others[:MOST_OTHERS])} for them."
    else:
        how = " or ".join(fetching(EMBEDDER, None) for fetching in FETCHING.values())
        remedy = f"No model that gives them is installed here; one can be fetched with: {how}"
    return Refused(400, Reason.BAD, f"{label(model)} is made for chats and gives no embeddings. {remedy}")


def too_many_inputs(most: int) -> Refused:
    """One request wants embeddings of more texts than it may."""
    text = (
        f"The request has more than {most} inputs, the most this server takes at once (server.yaml, limits). Send them "
        "in several requests."
    )
    return Refused(400, Reason.BAD, text)


def order_refused(refused: OrderRefused) -> Refused:
    """An order that came as a request cannot be carried out."""
    status, retry_after = _ORDERS[refused.kind]
    return Refused(status, Reason.BAD, str(refused), retry_after)
