"""Sessions: which browsers somebody is signed in with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from controller.auth.held.ledger import Entry, Ledger, order
from controller.auth.rows import SessionRow, UserRow
from controller.auth.secrets import make_sid
from controller.errors import OrderRefused
from controller.plain import printable

LASTS: Final = 90 * 86400.0  # seconds at the most, however much it is used
_LONGEST_DEVICE: Final = 200  # characters


class Sessions(Ledger):
    """The part of the holders that keeps sessions."""

    @property
    def live_sessions(self) -> Mapping[str, SessionRow]:
        """All of them by sid. One that has just expired may still be here for some seconds: look at `expires_at`."""
        return MappingProxyType(self._sessions)

    def sessions(self, user_id: str) -> list[SessionRow]:
        """A person's sessions, newest first."""
        return sorted(self._of_user.get(user_id, {}).values(), key=lambda row: row.started_at, reverse=True)

    def session_used(self, sid: str, peer: str) -> None:
        """Note that a session was just used from the address `peer`. Costs next to nothing."""
        if session := self._sessions.get(sid):
            self._used(session, used_from=peer)

    def session_used_at(self, sid: str) -> float:
        """Seconds since the epoch, of this moment: rows are up to a minute behind. 0 for a session that is gone."""
        noted = self._uses[SessionRow].get(sid)
        session = self._sessions.get(sid)
        return 0.0 if session is None else noted["used_at"] if noted else session.used_at

    @order
    async def start_session(
        self, entry: Entry, user_id: str, device: str, peer: str, *, lasts: float = LASTS, checked: str | None = None
    ) -> SessionRow:
        """Begin one, for `lasts` seconds at the most; the password was just given. `checked`: the hash it was held
        against, which must still be theirs. Raises SeadragonError.
        """
        user, now = self._users.get(user_id), self._clock.wall()
        if user is None or user.disabled:
            raise OrderRefused("This person cannot sign in.", "unknown")
        self._still(user, checked)
        shown = printable(device)[:_LONGEST_DEVICE]
        sid = make_sid(self._random)
        return await entry.put(SessionRow(sid, user_id, shown, now, peer, now, now + lasts, now, peer))

    @order
    async def prove_session(self, entry: Entry, sid: str, *, checked: str | None = None) -> SessionRow:
        """The password was given again; `checked` as above. Raises SeadragonError."""
        session = self._sessions.get(sid)
        user = self._users.get(session.user_id) if session else None
        if session is None or user is None:
            raise OrderRefused("This session has ended. Sign in again.", "unknown")
        self._still(user, checked)
        return await entry.change(session, proven_at=self._clock.wall())

    @order
    async def end_session(self, entry: Entry, sid: str) -> None:
        """End it. One that has ended already is no mistake. Raises SeadragonError."""
        if session := self._sessions.get(sid):
            await entry.drop(session)

    @order
    async def end_sessions(self, entry: Entry, user_id: str, *, keep: str = "") -> int:
        """End all of a person's but the one whose sid is `keep`; how many that were. Raises SeadragonError."""
        return await self._end_sessions(entry, user_id, keep)

    def _still(self, user: UserRow, checked: str | None) -> None:
        """What a password was held against is what it is to be held against now. Raises OrderRefused."""
        if checked is not None and checked not in (user.password, self._rehashed.get(user.id)):
            raise OrderRefused("The password was changed meanwhile. Use the new one.", "conflict")

    async def _end_sessions(self, entry: Entry, user_id: str, keep: str = "") -> int:
        ending = [session for session in self.sessions(user_id) if session.id != keep]
        for session in ending:
            await entry.drop(session)
        return len(ending)
