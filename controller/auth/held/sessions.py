"""Sessions: which browsers somebody is signed in with."""

from __future__ import annotations

from typing import Final

from controller.auth.held.ledger import Ledger
from controller.auth.held.memory import HeldRows
from controller.auth.held.store import RowStore, order
from controller.auth.held.transaction import Transaction
from controller.auth.held.uses import LastUses
from controller.auth.rows import SessionRow, UserRow
from controller.auth.secrets import Random, make_sid
from controller.clock import Clock
from controller.errors import OrderRefused
from controller.plain import printable

LASTS: Final = 90 * 86400.0  # seconds at the most, however much it is used
_LONGEST_DEVICE: Final = 200  # characters


class SessionStore(RowStore[SessionRow]):
    """All sessions by sid. One that has just expired may still be here for some seconds: look at `expires_at`."""

    def __init__(self, ledger: Ledger, rows: HeldRows, uses: LastUses, clock: Clock, random: Random) -> None:
        super().__init__(ledger, rows.sessions)
        self._rows, self._uses, self._clock, self._random = rows, uses, clock, random
        self._rehashed: dict[str, str] = {}  # by person: what a better hash of the same password took the place of

    def of(self, user_id: str) -> list[SessionRow]:
        """A person's sessions, newest first."""
        return self._rows.sessions.of(user_id)

    def used(self, sid: str, peer: str) -> None:
        """Note that a session was just used from the address `peer`. Costs next to nothing."""
        if session := self.get(sid):
            self._uses.note(session, self._clock.wall(), used_from=peer)

    def used_at(self, sid: str) -> float:
        """Seconds since the epoch, of this moment: rows are up to a minute behind. 0 for a session that is gone."""
        session = self.get(sid)
        return 0.0 if session is None else float(self._uses.of(session, "used_at"))

    @order
    async def start(
        self, tx: Transaction, user_id: str, device: str, peer: str, *, lasts: float = LASTS, checked: str | None = None
    ) -> SessionRow:
        """Begin one, for `lasts` seconds at the most; the password was just given. `checked`: the hash it was held
        against, which must still be theirs. Raises SeadragonError.
        """
        user, now = self._rows.users.get(user_id), self._clock.wall()
        if user is None or user.disabled:
            raise OrderRefused("This person cannot sign in.", "unknown")
        self.still(user, checked)
        shown = printable(device)[:_LONGEST_DEVICE]
        sid = make_sid(self._random)
        return await tx.put(SessionRow(sid, user_id, shown, now, peer, now, now + lasts, now, peer))

    @order
    async def prove(self, tx: Transaction, sid: str, *, checked: str | None = None) -> SessionRow:
        """The password was given again; `checked` as above. Raises SeadragonError."""
        session = self.get(sid)
        user = self._rows.users.get(session.user_id) if session else None
        if session is None or user is None:
            raise OrderRefused("This session has ended. Sign in again.", "unknown")
        self.still(user, checked)
        return await tx.change(session, proven_at=self._clock.wall())

    @order
    async def end(self, tx: Transaction, sid: str) -> None:
        """End it. One that has ended already is no mistake. Raises SeadragonError."""
        if session := self.get(sid):
            await tx.drop(session)

    @order
    async def end_all(self, tx: Transaction, user_id: str, *, keep: str = "") -> int:
        """End all of a person's but the one whose sid is `keep`; how many that were. Raises SeadragonError."""
        return await self.drop_all(tx, user_id, keep)

    # --- for orders about people ---

    def still(self, user: UserRow, checked: str | None) -> None:
        """What a password was held against is what it is to be held against now. Raises OrderRefused."""
        if checked is not None and checked not in (user.password, self._rehashed.get(user.id)):
            raise OrderRefused("The password was changed meanwhile. Use the new one.", "conflict")

    def rehashed(self, user: UserRow) -> None:
        """Its hash gives way to a better one of the same password: what was held against it counts still."""
        self._rehashed[user.id] = user.password

    async def drop_all(self, tx: Transaction, user_id: str, keep: str = "") -> int:
        """As `end_all`, within another order."""
        ending = [session for session in self.of(user_id) if session.id != keep]
        for session in ending:
            await tx.drop(session)
        return len(ending)

    async def password_changed(self, tx: Transaction, user_id: str, keep: str = "") -> None:
        """Nothing that a former password opened stays open, but the session whose sid is `keep`."""
        self._rehashed.pop(user_id, None)
        await self.drop_all(tx, user_id, keep)
