"""Invites: rights to become somebody here, each worth as many people as it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.auth.giving import Standing
from controller.auth.held import checks
from controller.auth.held.given import Giving
from controller.auth.held.ledger import Ledger
from controller.auth.held.links import span
from controller.auth.held.memory import HeldRows
from controller.auth.held.people import UserStore
from controller.auth.held.store import RowStore, order
from controller.auth.held.transaction import Transaction
from controller.auth.rows import INVITE_LASTS, MOST_USES, OPERATOR, InviteRow, Role, UserRow, counts
from controller.auth.secrets import NewToken, Random, hash_token, make_id, make_token
from controller.clock import Clock
from controller.errors import OrderRefused
from controller.storage import shelf

NO_INVITE: Final = "This invite is not valid, or no longer. Ask whoever sent it for a new one."


class InviteStore(RowStore[InviteRow]):
    """All invites by id; those that are over too, for people came by them. Wrong, used up and expired is one answer."""

    def __init__(
        self, ledger: Ledger, rows: HeldRows, giving: Giving, users: UserStore, clock: Clock, random: Random
    ) -> None:
        super().__init__(ledger, rows.invites)
        self._giving, self._users, self._clock, self._random = giving, users, clock, random

    @order
    async def create(
        self,
        tx: Transaction,
        role: Role,
        *,
        uses: int = 1,
        lasts: float = INVITE_LASTS,
        label: str,
        by: str,
        giver: str = OPERATOR,
    ) -> tuple[InviteRow, NewToken]:
        """Make an invite for `uses` people, good for `lasts` seconds. The token's text is nowhere else.

        Raises SeadragonError.
        """
        if not 1 <= uses <= MOST_USES:
            raise OrderRefused(f"An invite is for 1 to {MOST_USES} people.", "failed")
        now, token = self._clock.wall(), make_token(self._random, "invite")
        row = InviteRow(
            id=make_id(self._random),
            hash=token.hash,
            label=checks.name(label, "A label"),
            role=checks.role(role),
            uses=uses,
            used=0,
            created_at=now,
            by=by,
            expires_at=now + span(lasts),
            giver=self._giving.good(giver),
        )
        return await tx.put(row), token

    @order
    async def revoke(self, tx: Transaction, id: str) -> InviteRow:
        """Let nobody else in by it. Raises SeadragonError."""
        if (invite := self.get(id)) is None:
            raise OrderRefused("There is no such invite.", "unknown")
        return await tx.change(invite, revoked_at=invite.revoked_at or self._clock.wall())

    def good(self, token: str) -> InviteRow | None:
        """The one that would be redeemed now: to greet by. `redeem` decides."""
        invite, now = self._by_hash(token), self._clock.wall()
        if invite is None or invite.used >= invite.uses or invite.revoked_at is not None:
            return None
        if not counts(invite.created_at, invite.expires_at, now):
            return None
        return invite if self._giving.standing(invite.giver) is Standing.GOOD else None

    @order
    async def redeem(self, tx: Transaction, token: str, name: str, password: str) -> UserRow:
        """Become a person by an invite; `password` is a hash. Raises SeadragonError, OrderRefused."""
        invite = self.good(token)
        if invite is None or not await shelf.take_use(tx.connection, invite.hash, self._clock.wall()):
            raise OrderRefused(NO_INVITE, "failed")
        if not password:
            raise OrderRefused("A password must be given.", "failed")
        by = f"invite: {invite.label}"
        user = await self._users.make(tx, name, invite.role, by=by, password=password, invite_id=invite.id)
        tx.keep(replace(invite, used=invite.used + 1))
        return user

    def _by_hash(self, token: str) -> InviteRow | None:
        hash = hash_token("invite", token)
        return next((each for each in self.values() if each.hash == hash), None) if hash else None
