"""What a document that was broken off still owes its client: the reason.

A document that has begun, be it with a filler, can only be reset: an error under a 200 would pass for an answer. Its
client sees a lost connection, and libraries ask again by themselves. The same caller's same request is then told how
the first one ended, at once, with its true status, and that it need not be tried again; nothing is loaded for it.
"""

from __future__ import annotations

from hashlib import blake2b

from controller.auth.access import Principal
from controller.refusal import Reason, Refused

KEPT = 60.0  # seconds
_MOST = 256  # endings that are remembered
_PASSING = frozenset((Reason.CUT, Reason.ENDED, Reason.GONE, Reason.UNREAD, Reason.STALLED))
"""Ends that say nothing of the request: the server leaves, the client did, or lost the right that it has again."""


class Aftermath:
    """Endings, by who asked for what: as digests, so that no prompt is kept."""

    def __init__(self) -> None:
        self._owed: dict[bytes, tuple[Refused, float]] = {}

    @property
    def remembered(self) -> int:
        """How many endings are kept for their callers."""
        return len(self._owed)

    def owe(self, key: bytes, ending: Refused, now: float) -> None:
        """The answer to `key` was reset, and `ending` is why."""
        if ending.reason in _PASSING:
            return
        self._owed.pop(key, None)
        self._owed[key] = Refused(ending.status, ending.reason, ending.text), now  # without a Retry-After
        if len(self._owed) > _MOST:
            del self._owed[next(iter(self._owed))]

    def any(self, now: float) -> bool:
        """Whether anything is owed to anybody: to digest a body costs."""
        while self._owed:
            oldest = next(iter(self._owed))
            if now - self._owed[oldest][1] <= KEPT:
                return True
            del self._owed[oldest]
        return False

    def owed(self, key: bytes, now: float) -> Refused | None:
        """How an earlier try ended whose client was not told."""
        ending, at = self._owed.get(key, (None, now))
        return ending if now - at <= KEPT else None


def key_of(who: Principal, route: str, query: bytes, mark: bytes) -> bytes:
    """Of a request whose body has `mark`."""
    found = blake2b(digest_size=16)
    for part in (who.identity.encode(), route.encode(), query, mark):
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.digest()
