"""Keys: who has one, what it may do, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Unpack

from controller.auth.held import checks
from controller.auth.held.checks import KeyFields, KeyLimits
from controller.auth.held.given import Giving
from controller.auth.held.ledger import Ledger
from controller.auth.held.memory import HeldRows
from controller.auth.held.named import NamesInUse
from controller.auth.held.store import RowStore, order
from controller.auth.held.transaction import Transaction
from controller.auth.held.uses import LastUses
from controller.auth.rows import OPERATOR, KeyRow
from controller.auth.secrets import MadeKey, Random, make_key
from controller.clock import Clock
from controller.errors import OrderRefused

LANE: Final = 2.0


class KeyStore(RowStore[KeyRow]):
    """All keys by their public ids."""

    def __init__(
        self,
        ledger: Ledger,
        rows: HeldRows,
        giving: Giving,
        names: NamesInUse,
        uses: LastUses,
        clock: Clock,
        random: Random,
    ) -> None:
        super().__init__(ledger, rows.keys)
        self._users = rows.users
        self._giving, self._names, self._uses, self._clock, self._random = giving, names, uses, clock, random

    def of(self, user_id: str) -> list[KeyRow]:
        """A person's keys, oldest first."""
        return sorted((key for key in self.values() if key.user_id == user_id), key=lambda key: key.created_at)

    def used(self, id: str, peer: str) -> None:
        """Note that a key was just used from the address `peer`. Costs next to nothing; unknown ids are passed over."""
        if key := self.get(id):
            self._uses.note(key, self._clock.wall(), used_from=peer)

    @order
    async def create(
        self,
        tx: Transaction,
        name: str,
        *,
        by: str,
        giver: str = OPERATOR,
        user_id: str | None = None,
        lane: float = LANE,
        scopes: Sequence[str] = ("infer",),
        models: Sequence[str] = (),
        cidrs: Sequence[str] = (),
        **limits: Unpack[KeyLimits],
    ) -> MadeKey:
        """Make a key; its text is in the answer and nowhere else. `user_id` None: the house's own.

        Raises SeadragonError.
        """
        now = self._clock.wall()
        if user_id is not None and user_id not in self._users:
            raise OrderRefused("There is no such person.", "unknown")
        made = make_key(self._random)
        if made.id in self:
            raise OrderRefused("That id is taken already. Try again.", "conflict")
        row = KeyRow(
            id=made.id,
            hash=made.hash,
            last4=made.last4,
            name=self._names.free(checks.unmistakable(name)),
            user_id=user_id,
            lane=checks.lane(lane),
            scopes=checks.scopes(scopes, "key"),
            models=checks.models(models),
            cidrs=checks.cidrs(cidrs),
            created_at=now,
            by=by,
            giver=self._giving.good(giver),
            **checks.fields(limits, checks.KEY_LIMITS, now),
        )
        await tx.put(row)
        return made

    @order
    async def change(self, tx: Transaction, id: str, *, keep: str = "", **fields: Unpack[KeyFields]) -> KeyRow:
        """Have it say something else. Without the right to give, what it gave out ends, or goes to the admin `keep`.

        Raises SeadragonError.
        """
        changes = checks.fields(fields, checks.KEY, self._clock.wall())
        if "name" in changes:
            self._names.free(changes["name"], but=id)
        tx.heir = self._giving.heir(keep, f"key:{id}")
        return await tx.change(self._usable(id), **changes)

    @order
    async def pause(self, tx: Transaction, id: str) -> KeyRow:
        """Refuse it, and what it gave out, until it is resumed. Raises SeadragonError."""
        return await tx.change(self._usable(id), paused=True)

    @order
    async def resume(self, tx: Transaction, id: str) -> KeyRow:
        """Take it again, and what it gave out. Raises SeadragonError."""
        return await tx.change(self._usable(id), paused=False)

    @order
    async def revoke(self, tx: Transaction, id: str, *, keep: str = "") -> KeyRow:
        """Refuse it for ever, and what it gave out, unless that goes to the admin `keep`. Doing so twice is no mistake.

        Raises SeadragonError.
        """
        tx.heir = self._giving.heir(keep, f"key:{id}")
        if (key := self.get(id)) is not None and key.revoked_at is not None:
            return key
        return await tx.change(self._usable(id), revoked_at=self._clock.wall())

    def _usable(self, id: str) -> KeyRow:
        """The key that an order is about. Raises OrderRefused."""
        key = self.get(id)
        if key is None:
            raise OrderRefused("There is no such key.", "unknown")
        if key.revoked_at is not None:
            raise OrderRefused("This key is revoked, for good. Make a new one.", "conflict")
        return key
