"""People: their names, their roles, and what ends with them."""

from __future__ import annotations

from typing import TypedDict, Unpack

from controller.auth.held import checks
from controller.auth.held.checks import UserFields
from controller.auth.held.given import Giving
from controller.auth.held.keys import KeyStore
from controller.auth.held.ledger import Ledger
from controller.auth.held.links import LinkStore
from controller.auth.held.memory import HeldRows
from controller.auth.held.named import NamesInUse
from controller.auth.held.sessions import SessionStore
from controller.auth.held.store import RowStore, order
from controller.auth.held.transaction import Transaction
from controller.auth.rows import ROLES, HeldRow, Role, UserRow
from controller.auth.secrets import Random, make_id
from controller.clock import Clock
from controller.errors import OrderRefused


class _Also(TypedDict, total=False):
    """What may change along with a password."""

    role: Role
    disabled: bool


class UserStore(RowStore[UserRow]):
    """All people by id, disabled ones too. Passwords come hashed; here they are text like any other."""

    def __init__(
        self,
        ledger: Ledger,
        rows: HeldRows,
        giving: Giving,
        names: NamesInUse,
        keys: KeyStore,
        sessions: SessionStore,
        links: LinkStore,
        clock: Clock,
        random: Random,
    ) -> None:
        super().__init__(ledger, rows.users)
        self._rows, self._giving, self._names, self._clock, self._random = rows, giving, names, clock, random
        self._keys, self._sessions, self._links = keys, sessions, links

    def named(self, name: str) -> UserRow | None:
        """Who is called that, however it is spelled."""
        return self._rows.users.named(name)

    @order
    async def create(
        self, tx: Transaction, name: str, role: Role, *, by: str, password: str = "", **fields: Unpack[UserFields]
    ) -> UserRow:
        """Make a person. Raises SeadragonError."""
        return await self.make(tx, name, role, by=by, password=password, fields=fields)

    @order
    async def change(self, tx: Transaction, id: str, **fields: Unpack[UserFields]) -> UserRow:
        """Give them other limits. Raises SeadragonError."""
        changes = checks.fields(fields, checks.USER, self._clock.wall())
        return await tx.change(self.known(id), **changes)

    @order
    async def rename(self, tx: Transaction, id: str, name: str) -> UserRow:
        """Call somebody something else. Raises SeadragonError."""
        user, (written, compared) = self.known(id), self._free(name, but=id)
        return await tx.change(user, name=written, folded=compared)

    @order
    async def set_role(self, tx: Transaction, id: str, role: Role, *, keep: str = "") -> UserRow:
        """Give a role. Whoever comes down by it is signed out everywhere, and what an admin gave out ends, or goes to
        the admin `keep`. Raises SeadragonError.
        """
        user, wanted = self.known(id), checks.role(role)
        if wanted != "admin":
            self._not_the_last_admin(user)
        tx.heir = self._giving.heir(keep, f"person:{id}")
        if ROLES.index(wanted) < ROLES.index(user.role):
            await self._sessions.drop_all(tx, id)
        return await tx.change(user, role=wanted)

    @order
    async def set_password(
        self, tx: Transaction, id: str, password: str, *, keep: str = "", checked: str | None = None
    ) -> UserRow:
        """Set a password's hash. Every session ends but the one whose sid is `keep`, and every reset link; who has
        given the old password and is not signed in yet will not be. `checked`: the hash that the old one was held
        against. Raises SeadragonError.
        """
        user = self.known(id)
        self._sessions.still(user, checked)
        return await self.give_password(tx, user, password, keep)

    @order
    async def rehash(self, tx: Transaction, id: str, password: str, *, instead: str) -> UserRow:
        """Keep a better hash of the same password. Nobody is signed out; a password that was set meanwhile stays.

        Raises SeadragonError.
        """
        user = self.known(id)
        if user.password != instead:
            return user
        self._sessions.rehashed(user)
        return await tx.change(user, password=password)

    @order
    async def disable(self, tx: Transaction, id: str, *, keep: str = "") -> UserRow:
        """Refuse somebody and their keys until they are enabled; their sessions end, and what they gave out, unless
        that goes to the admin `keep`. Raises SeadragonError.
        """
        user = self.known(id)
        self._not_the_last_admin(user)
        tx.heir = self._giving.heir(keep, f"person:{id}")
        await self._sessions.drop_all(tx, id)
        return await self._switch(tx, user, disabled=True)

    @order
    async def enable(self, tx: Transaction, id: str) -> UserRow:
        """Take somebody and their keys again. Raises SeadragonError."""
        return await self._switch(tx, self.known(id), disabled=False)

    @order
    async def delete(self, tx: Transaction, id: str, *, keep: str = "") -> None:
        """Forget somebody, with their sessions, keys and links, and end what they gave out, unless that goes to the
        admin `keep`. What they used stays counted. Raises SeadragonError.
        """
        user = self.known(id)
        self._not_the_last_admin(user)
        tx.heir = self._giving.heir(keep, f"person:{id}")
        rows: list[HeldRow] = [*self._sessions.of(id), *self._keys.of(id), *self._links.of(id), user]
        for row in rows:
            await tx.drop(row)

    # --- within other orders ---

    async def make(
        self,
        tx: Transaction,
        name: str,
        role: Role,
        *,
        by: str,
        password: str,
        invite_id: str | None = None,
        fields: UserFields | None = None,
    ) -> UserRow:
        """A new person. Raises OrderRefused."""
        written, compared = self._free(name)
        now = self._clock.wall()
        row = UserRow(
            id=make_id(self._random),
            name=written,
            folded=compared,
            role=checks.role(role),
            password=password,
            created_at=now,
            by=by,
            invite_id=invite_id,
            password_at=now if password else None,
            **checks.fields(fields or {}, checks.USER, now),
        )
        return await tx.put(row)

    async def give_password(
        self, tx: Transaction, user: UserRow, password: str, keep: str = "", **also: Unpack[_Also]
    ) -> UserRow:
        """As `set_password`. Raises OrderRefused."""
        if not password:
            raise OrderRefused("A password must be given.", "failed")
        await self._sessions.password_changed(tx, user.id, keep)
        await self._links.drop_all(tx, user.id)
        return await tx.change(user, password=password, password_at=self._clock.wall(), **also)

    def known(self, id: str) -> UserRow:
        """Whom an order is about. Raises OrderRefused."""
        if (user := self.get(id)) is None:
            raise OrderRefused("There is no such person.", "unknown")
        return user

    async def _switch(self, tx: Transaction, user: UserRow, *, disabled: bool) -> UserRow:
        for key in self._keys.of(user.id):
            tx.keep(key)  # the same as it was, but whether it is taken is different now
        return await tx.change(user, disabled=disabled)

    def _free(self, name: str, but: str = "") -> tuple[str, str]:
        """A name that nobody else has, as it is written and as it is compared. Raises OrderRefused."""
        written, compared = checks.person(name)
        return self._names.free(written, but), compared

    def _not_the_last_admin(self, user: UserRow) -> None:
        admins = [each.id for each in self.values() if each.role == "admin" and not each.disabled]
        if admins == [user.id]:
            raise OrderRefused(f"{user.name} is the last admin. Make somebody else one first.", "conflict")
