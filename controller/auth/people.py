"""Who is signed in: from the session a cookie names to a principal. Pages alone ask; a cookie opens nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from controller.auth.access import Principal, rights_of
from controller.auth.rows import SessionRow, UserRow, counts
from controller.config.entry import Access

LANE: Final = 3.0
"""Of a person without one of their own."""

ReadCookie = Callable[[bytes, float], "str | None"]
"""The session (`sid`) that a Cookie header carries a good token of, at a moment in seconds since the epoch."""


class SignInRows(Protocol):
    """What of the door's memory is asked."""

    @property
    def users(self) -> Mapping[str, UserRow]: ...
    @property
    def sessions(self) -> Mapping[str, SessionRow]: ...


class SignedIn:
    """Asked for every request of a page that shows a cookie."""

    def __init__(self, rows: SignInRows, read: ReadCookie) -> None:
        self._rows, self._read = rows, read

    def look(self, cookie: bytes, access: Access, now: float) -> Principal | None:
        """Who a Cookie header stands for; None for nobody who may still be signed in."""
        sid = self._read(cookie, now)
        return None if sid is None else self.of(sid, access, now)

    def of(self, sid: str, access: Access, now: float) -> Principal | None:
        """Whose session it is, while it lasts and they may come in."""
        session = self._rows.sessions.get(sid)
        if session is None or not counts(session.started_at, session.expires_at, now):
            return None
        user = self._rows.users.get(session.user_id)
        return None if user is None or user.disabled else principal_of(user, access, sid)


def principal_of(user: UserRow, access: Access, sid: str) -> Principal:
    """Who a person is."""
    return Principal(
        user.name,
        LANE if user.lane is None else user.lane,
        running=user.running,
        waiting=user.waiting,
        kind="person",
        id=user.id,
        role=user.role,
        rights=rights_of(access, user.role),
        models=user.models,
        per_minute=user.per_minute,
        session=sid,
    )
