"""Invites, reset links and the admin code: rights on paper, each worth something once (or as often as it says)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from controller.auth.giving import Standing
from controller.auth.held import checks
from controller.auth.held.ledger import Entry, order
from controller.auth.held.people import People
from controller.auth.rows import OPERATOR, InviteRow, LinkKind, LinkRow, Role, UserRow, counts
from controller.auth.secrets import NewToken, hash_token, make_id, make_token
from controller.errors import OrderRefused
from controller.storage import shelf

INVITE_LASTS: Final = 72 * 3600.0  # seconds
RESET_LASTS: Final = 24 * 3600.0
CODE_LASTS: Final = 15 * 60.0
MOST_USES: Final = 1000
_LONGEST: Final = 365 * 86400.0  # seconds

NO_INVITE: Final = "This invite is not valid, or no longer. Ask whoever sent it for a new one."
NO_RESET: Final = "This link is not valid, or no longer. Ask whoever sent it for a new one."
NO_CODE: Final = "This code is not valid, or no longer. Run `seadragon admin-code` for a new one."


class Invites(People):
    """The part of the holders that keeps invites and one-time links. Wrong, used up and expired is one answer."""

    @property
    def invites(self) -> Mapping[str, InviteRow]:
        """All of them by id; those that are over too, since people came by them."""
        return MappingProxyType(self._invites)

    @order
    async def create_invite(
        self,
        entry: Entry,
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
            expires_at=now + _span(lasts),
            giver=self._gives(giver),
        )
        return await entry.put(row), token

    @order
    async def revoke_invite(self, entry: Entry, id: str) -> InviteRow:
        """Let nobody else in by it. Raises SeadragonError."""
        if (invite := self._invites.get(id)) is None:
            raise OrderRefused("There is no such invite.", "unknown")
        return await entry.change(invite, revoked_at=invite.revoked_at or self._clock.wall())

    def invite_for(self, token: str) -> InviteRow | None:
        """The invite that would be redeemed now: to greet by. `redeem` decides."""
        invite, now = self._by_hash(token), self._clock.wall()
        if invite is None or invite.used >= invite.uses or invite.revoked_at is not None:
            return None
        if not counts(invite.created_at, invite.expires_at, now):
            return None
        return invite if self.standing(invite.giver) is Standing.GOOD else None

    @order
    async def redeem(self, entry: Entry, token: str, name: str, password: str) -> UserRow:
        """Become a person by an invite; `password` is a hash. Raises SeadragonError, OrderRefused."""
        invite = self.invite_for(token)
        if invite is None or not await shelf.take_use(entry.connection, invite.hash, self._clock.wall()):
            raise OrderRefused(NO_INVITE, "failed")
        if not password:
            raise OrderRefused("A password must be given.", "failed")
        user = await self._create(entry, name, invite.role, f"invite: {invite.label}", password, invite.id, {})
        entry.keep(replace(invite, used=invite.used + 1))
        return user

    @order
    async def create_reset(
        self, entry: Entry, user_id: str, *, lasts: float = RESET_LASTS, by: str, giver: str = OPERATOR
    ) -> NewToken:
        """Make a link by which somebody sets a new password; the one before it is void. Raises SeadragonError."""
        self._user(user_id)
        for link in self._links_of(user_id):
            await entry.drop(link)
        return await self._create_link(entry, "reset", user_id, lasts, by, giver)

    def reset_for(self, token: str) -> UserRow | None:
        """Whose password a link would set now: to greet by. `redeem_reset` decides."""
        link = self._link("reset", token)
        return None if link is None or link.user_id is None else self._users.get(link.user_id)

    @order
    async def redeem_reset(self, entry: Entry, token: str, password: str) -> UserRow:
        """Set a password, which ends all sessions. Raises SeadragonError, OrderRefused."""
        link = await self._taken(entry, "reset", token)
        if link is None or link.user_id is None:
            raise OrderRefused(NO_RESET, "failed")
        return await self._set_password(entry, self._user(link.user_id), password)

    @order
    async def admin_code(self, entry: Entry) -> NewToken:
        """A code that makes its bearer an admin, within a quarter of an hour; the one before it is void.

        Only for whoever sits at this machine. Raises SeadragonError.
        """
        for link in [link for link in self._links.values() if link.kind == "admin"]:
            await entry.drop(link)
        return await self._create_link(entry, "admin", None, CODE_LASTS, "operator", OPERATOR)

    def knows_admin_code(self, token: str) -> bool:
        """Whether it would be redeemed now. `redeem_admin_code` decides."""
        return self._link("admin", token) is not None

    @order
    async def redeem_admin_code(self, entry: Entry, token: str, name: str, password: str) -> UserRow:
        """Make somebody new an admin with this password (a hash), or whoever is called so already.

        Raises SeadragonError, OrderRefused.
        """
        if await self._taken(entry, "admin", token) is None:
            raise OrderRefused(NO_CODE, "failed")
        if user := self.user_named(name):
            return await self._set_password(entry, user, password, role="admin", disabled=False)
        if not password:
            raise OrderRefused("A password must be given.", "failed")
        return await self._create(entry, name, "admin", "admin code", password, None, {})

    # --- tokens ---

    async def _create_link(
        self, entry: Entry, kind: LinkKind, user_id: str | None, lasts: float, by: str, giver: str
    ) -> NewToken:
        now, token = self._clock.wall(), make_token(self._random, kind)
        until, giver = now + _span(lasts), self._gives(giver)
        await entry.put(LinkRow(make_id(self._random), kind, token.hash, user_id, now, by, until, giver))
        return token

    async def _taken(self, entry: Entry, kind: LinkKind, token: str) -> LinkRow | None:
        """The link, used up by this; None when there is none, or somebody else was quicker."""
        link = self._link(kind, token)
        if link is None or not await shelf.take_link(entry.connection, link, self._clock.wall()):
            return None
        entry.lose(link)
        return link

    def _link(self, kind: LinkKind, token: str) -> LinkRow | None:
        hash, now = hash_token(kind, token), self._clock.wall()
        if hash is None:
            return None
        found = (link for link in self._links.values() if link.hash == hash and link.kind == kind)
        good = (link for link in found if counts(link.created_at, link.expires_at, now))
        return next((link for link in good if self.standing(link.giver) is Standing.GOOD), None)

    def _by_hash(self, token: str) -> InviteRow | None:
        hash = hash_token("invite", token)
        return next((each for each in self._invites.values() if each.hash == hash), None) if hash else None


def _span(seconds: float) -> float:
    if not 0 < seconds <= _LONGEST:
        raise OrderRefused("What is valid for a time is so for a year at the most.", "failed")
    return seconds
