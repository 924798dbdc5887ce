"""People: their names, their roles, and what ends with them."""

from __future__ import annotations

from typing import TypedDict, Unpack

from controller.auth.held import checks
from controller.auth.held.checks import UserFields
from controller.auth.held.keys import Keys
from controller.auth.held.ledger import Entry, order
from controller.auth.held.sessions import Sessions
from controller.auth.rows import ROLES, LinkRow, Role, UserRow
from controller.auth.secrets import make_id
from controller.errors import OrderRefused
from controller.storage.shelf import Row


class _Also(TypedDict, total=False):
    """What may change along with a password."""

    role: Role
    disabled: bool


class People(Keys, Sessions):
    """The part of the holders that keeps people. Passwords come hashed; here they are text like any other."""

    @order
    async def create_user(
        self, entry: Entry, name: str, role: Role, *, by: str, password: str = "", **fields: Unpack[UserFields]
    ) -> UserRow:
        """Make a person. Raises SeadragonError."""
        return await self._create(entry, name, role, by, password, None, fields)

    @order
    async def change_user(self, entry: Entry, id: str, **fields: Unpack[UserFields]) -> UserRow:
        """Give them other limits. Raises SeadragonError."""
        changes = checks.fields(fields, checks.USER, self._clock.wall())
        return await entry.change(self._user(id), **changes)

    @order
    async def rename_user(self, entry: Entry, id: str, name: str) -> UserRow:
        """Call somebody something else. Raises SeadragonError."""
        user, (written, compared) = self._user(id), self._free_person(name, but=id)
        return await entry.change(user, name=written, folded=compared)

    @order
    async def set_role(self, entry: Entry, id: str, role: Role, *, keep: str = "") -> UserRow:
        """Give a role. Whoever comes down by it is signed out everywhere, and what an admin gave out ends, or goes to
        the admin `keep`. Raises SeadragonError.
        """
        user, wanted = self._user(id), checks.role(role)
        if wanted != "admin":
            self._not_the_last_admin(user)
        entry.heir = self._heir(keep, f"person:{id}")
        if ROLES.index(wanted) < ROLES.index(user.role):
            await self._end_sessions(entry, id)
        return await entry.change(user, role=wanted)

    @order
    async def set_password(
        self, entry: Entry, id: str, password: str, *, keep: str = "", checked: str | None = None
    ) -> UserRow:
        """Set a password's hash. Every session ends but the one whose sid is `keep`, and every reset link; who has
        given the old password and is not signed in yet will not be. `checked`: the hash that the old one was held
        against. Raises SeadragonError.
        """
        user = self._user(id)
        self._still(user, checked)
        return await self._set_password(entry, user, password, keep)

    @order
    async def rehash(self, entry: Entry, id: str, password: str, *, instead: str) -> UserRow:
        """Keep a better hash of the same password. Nobody is signed out; a password that was set meanwhile stays.

        Raises SeadragonError.
        """
        user = self._user(id)
        if user.password != instead:
            return user
        self._rehashed[id] = instead
        return await entry.change(user, password=password)

    @order
    async def disable_user(self, entry: Entry, id: str, *, keep: str = "") -> UserRow:
        """Refuse somebody and their keys until they are enabled; their sessions end, and what they gave out, unless
        that goes to the admin `keep`. Raises SeadragonError.
        """
        user = self._user(id)
        self._not_the_last_admin(user)
        entry.heir = self._heir(keep, f"person:{id}")
        await self._end_sessions(entry, id)
        return await self._switch(entry, user, disabled=True)

    @order
    async def enable_user(self, entry: Entry, id: str) -> UserRow:
        """Take somebody and their keys again. Raises SeadragonError."""
        return await self._switch(entry, self._user(id), disabled=False)

    @order
    async def delete_user(self, entry: Entry, id: str, *, keep: str = "") -> None:
        """Forget somebody, with their sessions, keys and links, and end what they gave out, unless that goes to the
        admin `keep`. What they used stays counted. Raises SeadragonError.
        """
        user = self._user(id)
        self._not_the_last_admin(user)
        entry.heir = self._heir(keep, f"person:{id}")
        rows: list[Row] = [*self.sessions(id), *self.keys_of(id), *self._links_of(id), user]
        for row in rows:
            await entry.drop(row)

    # --- for the orders of this and other parts ---

    async def _create(
        self,
        entry: Entry,
        name: str,
        role: Role,
        by: str,
        password: str,
        invite_id: str | None,
        fields: UserFields,
    ) -> UserRow:
        written, compared = self._free_person(name)
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
            **checks.fields(fields, checks.USER, now),
        )
        return await entry.put(row)

    async def _set_password(
        self, entry: Entry, user: UserRow, password: str, keep: str = "", **also: Unpack[_Also]
    ) -> UserRow:
        if not password:
            raise OrderRefused("A password must be given.", "failed")
        self._rehashed.pop(user.id, None)
        await self._end_sessions(entry, user.id, keep)
        for link in self._links_of(user.id):
            await entry.drop(link)
        return await entry.change(user, password=password, password_at=self._clock.wall(), **also)

    async def _switch(self, entry: Entry, user: UserRow, *, disabled: bool) -> UserRow:
        for key in self.keys_of(user.id):
            entry.keep(key)  # the same as it was, but whether it is taken is different now
        return await entry.change(user, disabled=disabled)

    def _links_of(self, user_id: str) -> list[LinkRow]:
        return [link for link in self._links.values() if link.user_id == user_id]

    def _user(self, id: str) -> UserRow:
        """Whom an order is about. Raises OrderRefused."""
        if (user := self._users.get(id)) is None:
            raise OrderRefused("There is no such person.", "unknown")
        return user

    def _free_person(self, name: str, but: str = "") -> tuple[str, str]:
        """A name that nobody else has, as it is written and as it is compared. Raises OrderRefused."""
        written, compared = checks.person(name)
        return self._free(written, but), compared

    def _not_the_last_admin(self, user: UserRow) -> None:
        admins = [each.id for each in self._users.values() if each.role == "admin" and not each.disabled]
        if admins == [user.id]:
            raise OrderRefused(f"{user.name} is the last admin. Make somebody else one first.", "conflict")
