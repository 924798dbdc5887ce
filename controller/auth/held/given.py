"""What was given out, and its end: with the right of whoever gave it, in the order that takes that right away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from controller.auth.giving import Standing, standing
from controller.auth.held.ledger import Entry, Given, order
from controller.auth.held.named import Named
from controller.auth.rows import AllowRow, InviteRow, KeyRow, LinkRow, UserRow, folded
from controller.errors import OrderRefused


class Giving(Named):
    """The part of the holders that ends what was given out. It goes by what the rows are after an order, not by which
    order it was, so that none can forget it.
    """

    def standing(self, giver: str) -> Standing:
        """Of whoever gave something out, at this moment."""
        return standing(giver, self, self._access(), self._clock.wall())

    def _gives(self, giver: str) -> str:
        """`giver`, whose right to give may have ended since they ordered it. Raises OrderRefused."""
        if self.standing(giver) is not Standing.GOOD:
            raise OrderRefused("Nobody can give out what they have no right to give any more.", "failed")
        return giver

    @property
    def users(self) -> Mapping[str, UserRow]:
        """All of them by id, disabled ones too."""
        return MappingProxyType(self._users)

    @property
    def keys(self) -> Mapping[str, KeyRow]:
        """All of them by their public ids, revoked and expired ones too."""
        return MappingProxyType(self._keys)

    def user_named(self, name: str) -> UserRow | None:
        """Who is called that, however it is spelled."""
        return self._named.get(folded(name))

    @order
    async def _end_lapsed(self, entry: Entry) -> None:
        """End what was given out by those whose right has ended by itself."""
        entry.settles = True

    async def _settle(self, entry: Entry) -> None:
        if not (entry.settles or any(isinstance(row, KeyRow | UserRow) for row in (*entry.kept, *entry.gone))):
            return
        while papers := [paper for paper in self._given(entry) if self._over(paper, entry)]:
            for paper in papers:
                stood = self.standing(paper.giver) is not Standing.OVER  # it is this order that ends it
                await (self._hand_over if entry.heir and stood else self._end)(entry, paper)

    def _over(self, paper: Given, entry: Entry) -> bool:
        return standing(paper.giver, _After(self, entry), self._access(), self._clock.wall()) is Standing.OVER

    def _given(self, entry: Entry) -> Iterator[Given]:
        """What still counts, or may count again, and is nobody's but its giver's to answer for."""
        now = self._clock.wall()
        for invite in entry.after(InviteRow, self._invites).values():
            if invite.revoked_at is None and invite.used < invite.uses and invite.expires_at > now:
                yield invite
        yield from (link for link in entry.after(LinkRow, self._links).values())
        for key in entry.after(KeyRow, self._keys).values():
            if key.user_id is None and key.revoked_at is None:
                yield key
        yield from (each for each in entry.after(AllowRow, self._allowed).values() if each.verdict == "allow")

    async def _hand_over(self, entry: Entry, paper: Given) -> None:
        entry.handed.append(await entry.change(paper, giver=entry.heir))

    async def _end(self, entry: Entry, paper: Given) -> None:
        if isinstance(paper, LinkRow | AllowRow):
            await entry.drop(paper)
        else:
            await entry.change(paper, revoked_at=self._clock.wall())
        entry.ended.append(paper)

    def _heir(self, keep: str, loses: str) -> str:
        """Who is to answer for what is left, of the admin called `keep`; "" when nobody is named. `loses`: the identity
        of who answers for it now. Raises OrderRefused.
        """
        if not keep:
            return ""
        user = self._users.get(keep) or self.user_named(keep)
        heir = f"person:{user.id}" if user else ""
        if not heir or heir == loses or self.standing(heir) is not Standing.GOOD:
            raise OrderRefused(f"What is left can only go to an admin, and {keep} is none.", "conflict")
        return heir


class _After:
    """The rows as they will be after an order."""

    def __init__(self, ledger: Giving, entry: Entry) -> None:
        self.users: Mapping[str, Any] = entry.after(UserRow, ledger.users)
        self.keys: Mapping[str, Any] = entry.after(KeyRow, ledger.keys)
