"""What one-time links are worth: a new password, or an admin's rights."""

from __future__ import annotations

from typing import Final

from controller.auth.held.ledger import Ledger
from controller.auth.held.links import LinkStore
from controller.auth.held.people import UserStore
from controller.auth.held.store import order
from controller.auth.held.transaction import Transaction
from controller.auth.rows import OPERATOR, UserRow
from controller.auth.secrets import NewToken
from controller.errors import OrderRefused

RESET_LASTS: Final = 24 * 3600.0  # seconds
CODE_LASTS: Final = 15 * 60.0

NO_RESET: Final = "This link is not valid, or no longer. Ask whoever sent it for a new one."
NO_CODE: Final = "This code is not valid, or no longer. Run `seadragon admin-code` for a new one."


class ResetLinks:
    """By which somebody sets a new password."""

    def __init__(self, ledger: Ledger, links: LinkStore, users: UserStore) -> None:
        self.ledger = ledger
        self._links, self._users = links, users

    @order
    async def create(
        self, tx: Transaction, user_id: str, *, lasts: float = RESET_LASTS, by: str, giver: str = OPERATOR
    ) -> NewToken:
        """Make one; the one before it is void. Raises SeadragonError."""
        self._users.known(user_id)
        return await self._links.make(tx, "reset", user_id, lasts=lasts, by=by, giver=giver)

    def user_of(self, token: str) -> UserRow | None:
        """Whose password it would set now: to greet by. `redeem` decides."""
        link = self._links.good("reset", token)
        return None if link is None or link.user_id is None else self._users.get(link.user_id)

    @order
    async def redeem(self, tx: Transaction, token: str, password: str) -> UserRow:
        """Set a password, which ends all sessions. Raises SeadragonError, OrderRefused."""
        link = await self._links.take(tx, "reset", token)
        if link is None or link.user_id is None:
            raise OrderRefused(NO_RESET, "failed")
        return await self._users.give_password(tx, self._users.known(link.user_id), password)


class AdminCodes:
    """Which make their bearer an admin. Only for whoever sits at this machine."""

    def __init__(self, ledger: Ledger, links: LinkStore, users: UserStore) -> None:
        self.ledger = ledger
        self._links, self._users = links, users

    @order
    async def create(self, tx: Transaction) -> NewToken:
        """Make one, good for a quarter of an hour; the one before it is void. Raises SeadragonError."""
        return await self._links.make(tx, "admin", None, lasts=CODE_LASTS, by="operator", giver=OPERATOR)

    def good(self, token: str) -> bool:
        """Whether it would be redeemed now. `redeem` decides."""
        return self._links.good("admin", token) is not None

    @order
    async def redeem(self, tx: Transaction, token: str, name: str, password: str) -> UserRow:
        """Make somebody new an admin with this password (a hash), or whoever is called so already.

        Raises SeadragonError, OrderRefused.
        """
        if await self._links.take(tx, "admin", token) is None:
            raise OrderRefused(NO_CODE, "failed")
        if user := self._users.named(name):
            return await self._users.give_password(tx, user, password, role="admin", disabled=False)
        if not password:
            raise OrderRefused("A password must be given.", "failed")
        return await self._users.make(tx, name, "admin", by="admin code", password=password)
