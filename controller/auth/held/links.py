"""One-time links: each a right on paper, used up by being used. What it is worth, `papers.py` knows."""

from __future__ import annotations

from controller.auth.giving import Standing
from controller.auth.held.given import Giving
from controller.auth.held.ledger import Ledger
from controller.auth.held.memory import HeldRows
from controller.auth.held.store import RowStore
from controller.auth.held.transaction import Transaction
from controller.auth.rows import LONGEST_PAPER, LinkKind, LinkRow, counts
from controller.auth.secrets import NewToken, Random, hash_token, make_id, make_token
from controller.clock import Clock
from controller.errors import OrderRefused
from controller.storage import shelf


class LinkStore(RowStore[LinkRow]):
    """All one-time links by id. Wrong, used up and expired is one answer."""

    def __init__(self, ledger: Ledger, rows: HeldRows, giving: Giving, clock: Clock, random: Random) -> None:
        super().__init__(ledger, rows.links)
        self._giving, self._clock, self._random = giving, clock, random

    def of(self, user_id: str) -> list[LinkRow]:
        """Those by which somebody could set a new password."""
        return [link for link in self.values() if link.user_id == user_id]

    def good(self, kind: LinkKind, token: str) -> LinkRow | None:
        """The one that would be used up now. `take` decides."""
        hash, now = hash_token(kind, token), self._clock.wall()
        if hash is None:
            return None
        found = (link for link in self.values() if link.hash == hash and link.kind == kind)
        good = (link for link in found if counts(link.created_at, link.expires_at, now))
        return next((link for link in good if self._giving.standing(link.giver) is Standing.GOOD), None)

    # --- within other orders ---

    async def make(
        self, tx: Transaction, kind: LinkKind, user_id: str | None, *, lasts: float, by: str, giver: str
    ) -> NewToken:
        """A new one, good for `lasts` seconds; those that it takes the place of are void. Raises OrderRefused."""
        for link in [each for each in self.values() if (each.kind, each.user_id) == (kind, user_id)]:
            await tx.drop(link)
        now, token = self._clock.wall(), make_token(self._random, kind)
        until, giver = now + span(lasts), self._giving.good(giver)
        await tx.put(LinkRow(make_id(self._random), kind, token.hash, user_id, now, by, until, giver))
        return token

    async def take(self, tx: Transaction, kind: LinkKind, token: str) -> LinkRow | None:
        """The link, used up by this; None when there is none, or somebody else was quicker."""
        link = self.good(kind, token)
        if link is None or not await shelf.take_link(tx.connection, link, self._clock.wall()):
            return None
        tx.lose(link)
        return link

    async def drop_all(self, tx: Transaction, user_id: str) -> None:
        """Void all of a person's."""
        for link in self.of(user_id):
            await tx.drop(link)


def span(seconds: float) -> float:
    """`seconds` that something on paper may be valid. Raises OrderRefused."""
    if not 0 < seconds <= LONGEST_PAPER:
        raise OrderRefused("What is valid for a time is so for a year at the most.", "failed")
    return seconds
