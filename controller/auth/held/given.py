"""What was given out, and its end: with the right of whoever gave it, in the order that takes that right away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from controller.auth.giving import Standing, standing
from controller.auth.held.memory import HeldRows
from controller.auth.held.transaction import Given, Transaction
from controller.auth.rows import AllowRow, InviteRow, KeyRow, LinkRow, UserRow
from controller.clock import Clock
from controller.config.entry import Access
from controller.errors import OrderRefused


class Giving:
    """Ends what was given out. It goes by what the rows are after an order, not by which order it was, so that none can
    forget it.
    """

    def __init__(self, rows: HeldRows, access: Callable[[], Access], clock: Clock) -> None:
        self._rows, self._access, self._clock = rows, access, clock

    def standing(self, giver: str) -> Standing:
        """Of whoever gave something out, at this moment."""
        return standing(giver, self._rows, self._access(), self._clock.wall())

    def good(self, giver: str) -> str:
        """`giver`, whose right to give may have ended since they ordered it. Raises OrderRefused."""
        if self.standing(giver) is not Standing.GOOD:
            raise OrderRefused("Nobody can give out what they have no right to give any more.", "failed")
        return giver

    def heir(self, keep: str, loses: str) -> str:
        """Who is to answer for what is left, of the admin called `keep`; "" when nobody is named. `loses`: the identity
        of who answers for it now. Raises OrderRefused.
        """
        if not keep:
            return ""
        user = self._rows.users.get(keep) or self._rows.users.named(keep)
        heir = f"person:{user.id}" if user else ""
        if not heir or heir == loses or self.standing(heir) is not Standing.GOOD:
            raise OrderRefused(f"What is left can only go to an admin, and {keep} is none.", "conflict")
        return heir

    async def settle(self, tx: Transaction) -> None:
        """What follows from an order for what was given out, in its own transaction."""
        if not (tx.settles or any(isinstance(row, KeyRow | UserRow) for row in (*tx.kept, *tx.gone))):
            return
        while papers := [paper for paper in self._given(tx) if self._over(paper, tx)]:
            for paper in papers:
                stood = self.standing(paper.giver) is not Standing.OVER  # it is this order that ends it
                await (self._hand_over if tx.heir and stood else self._end)(tx, paper)

    def _over(self, paper: Given, tx: Transaction) -> bool:
        return standing(paper.giver, _After(self._rows, tx), self._access(), self._clock.wall()) is Standing.OVER

    def _given(self, tx: Transaction) -> Iterator[Given]:
        """What still counts, or may count again, and is nobody's but its giver's to answer for."""
        now, rows = self._clock.wall(), self._rows
        for invite in tx.after(InviteRow, rows.invites).values():
            if invite.revoked_at is None and invite.used < invite.uses and invite.expires_at > now:
                yield invite
        yield from (link for link in tx.after(LinkRow, rows.links).values())
        for key in tx.after(KeyRow, rows.keys).values():
            if key.user_id is None and key.revoked_at is None:
                yield key
        yield from (each for each in tx.after(AllowRow, rows.allowed).values() if each.verdict == "allow")

    async def _hand_over(self, tx: Transaction, paper: Given) -> None:
        tx.handed.append(await tx.change(paper, giver=tx.heir))

    async def _end(self, tx: Transaction, paper: Given) -> None:
        if isinstance(paper, LinkRow | AllowRow):
            await tx.drop(paper)
        else:
            await tx.change(paper, revoked_at=self._clock.wall())
        tx.ended.append(paper)


class _After:
    """The rows as they will be after an order."""

    def __init__(self, rows: HeldRows, tx: Transaction) -> None:
        self.users: Mapping[str, UserRow] = tx.after(UserRow, rows.users)
        self.keys: Mapping[str, KeyRow] = tx.after(KeyRow, rows.keys)
