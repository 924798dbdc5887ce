"""What is done about keys, people, invites and addresses: one function for each row of `orders/rights.py`.

Each returns what it was done to, as the audit calls it, and its answer as JSON: never a hash, and a secret only as it
is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from controller.auth.holders import Holders
from controller.auth.holdings import Holdings, key_words
from controller.auth.public import places
from controller.auth.rows import KeyRow, Role, UserRow
from controller.clock import Clock
from controller.config.schema import Config
from controller.desk import By
from controller.errors import OrderRefused

Done: TypeAlias = tuple[str, Any]
Deed: TypeAlias = Callable[..., Awaitable[Done]]
"""Called with `Means`, who orders, and the order's fields by name."""
D = TypeVar("D", bound=Deed)
DEEDS: Final[dict[str, Deed]] = {}
"""By the name of the order."""


def does(name: str) -> Callable[[D], D]:
    """What carries out the order `name`."""

    def kept(deed: D) -> D:
        DEEDS[name] = deed
        return deed

    return kept


class Means:
    """What it takes: the rows, how they are shown, the time, and where links lead."""

    def __init__(
        self,
        holders: Holders,
        shown: Holdings,
        clock: Clock,
        settings: Callable[[], Config],
        rotate: Callable[[], Awaitable[None]],
    ) -> None:
        """`rotate` makes a new key that sessions are signed with."""
        self.holders, self.shown, self.clock, self.settings, self.rotate = holders, shown, clock, settings, rotate

    def until(self, lasts: float | None) -> float | None:
        """When what lasts so many seconds from now ends."""
        return None if lasts is None else self.clock.wall() + lasts

    def found(self, user: str) -> UserRow:
        """By name or id. Raises OrderRefused."""
        found = self.holders.users.get(user) or self.holders.users.named(user)
        if found is None:
            raise OrderRefused(f"There is nobody called {user!r}. See: seadragon users", "unknown")
        return found

    def links(self, page: str, token: str = "") -> dict[str, Any]:
        """Where the token is to be used, the best place first. It stands in the fragment, which no server is sent."""
        found, fragment = places(self.settings()), f"#{token}" if token else ""
        links = {"links": [f"{url}/{page}{fragment}" for url in found.urls]}
        return {**links, "caution": found.caution} if found.caution else links

    async def reset_link(self, row: UserRow, by: By) -> dict[str, Any]:
        """The link by which somebody sets a password."""
        token = await self.holders.resets.create(row.id, by=by.actor, giver=by.identity)
        return self.links("reset", token.text)

    def key(self, row: KeyRow) -> Done:
        """A key that something was done to."""
        return key_words(row), self.shown.key(row)

    def user(self, row: UserRow) -> Done:
        """Somebody whom something was done to."""
        return row.name, self.shown.user(row)


# --- keys ---


@does("keys.create")
async def create_key(
    at: Means, by: By, *, name: str, user: str | None = None, lasts: float | None = None, **fields: Any
) -> Done:
    made = await at.holders.keys.create(
        name,
        by=by.actor,
        giver=by.identity,
        user_id=None if user is None else at.found(user).id,
        expires_at=at.until(lasts),
        **fields,
    )
    target, document = at.key(at.holders.keys[made.id])
    return target, {**document, "key": made.text}


@does("keys.change")
async def change_key(at: Means, by: By, *, id: str, **fields: Any) -> Done:
    """What is left out stays as it is."""
    if not fields:
        raise OrderRefused("Say what is to change in the key. What may: seadragon keys change --help", "failed")
    if "lasts" in fields:
        fields["expires_at"] = at.until(fields.pop("lasts"))
    if fields.get("default_model", "") is None:
        fields["default_model"] = ""
    return at.key(await at.holders.keys.change(id, **fields))


@does("keys.pause")
async def pause_key(at: Means, by: By, *, id: str) -> Done:
    return at.key(await at.holders.keys.pause(id))


@does("keys.resume")
async def resume_key(at: Means, by: By, *, id: str) -> Done:
    return at.key(await at.holders.keys.resume(id))


@does("keys.revoke")
async def revoke_key(at: Means, by: By, *, id: str, keep: str = "") -> Done:
    return at.key(await at.holders.keys.revoke(id, keep=keep))


# --- people ---


@does("users.add")
async def add_user(at: Means, by: By, *, name: str, role: Role = "member") -> Done:
    row = await at.holders.users.create(name, role, by=by.actor)
    return row.name, {**at.shown.user(row), **await at.reset_link(row, by)}


@does("users.role")
async def set_role(at: Means, by: By, *, user: str, role: Role, keep: str = "") -> Done:
    return at.user(await at.holders.users.set_role(at.found(user).id, role, keep=keep))


@does("users.rename")
async def rename_user(at: Means, by: By, *, user: str, name: str) -> Done:
    return at.user(await at.holders.users.rename(at.found(user).id, name))


@does("users.limit")
async def limit_user(
    at: Means,
    by: By,
    *,
    user: str,
    models: Sequence[str] = (),
    lane: float | None = None,
    per_minute: int | None = None,
    running: int | None = None,
    waiting: int | None = None,
) -> Done:
    """All of a person's limits at once: what is left out is as everywhere from now on."""
    row = await at.holders.users.change(
        at.found(user).id, models=models, lane=lane, per_minute=per_minute, running=running, waiting=waiting
    )
    return at.user(row)


@does("users.disable")
async def disable_user(at: Means, by: By, *, user: str, keep: str = "") -> Done:
    return at.user(await at.holders.users.disable(at.found(user).id, keep=keep))


@does("users.enable")
async def enable_user(at: Means, by: By, *, user: str) -> Done:
    return at.user(await at.holders.users.enable(at.found(user).id))


@does("users.delete")
async def delete_user(at: Means, by: By, *, user: str, keep: str = "") -> Done:
    row = at.found(user)
    await at.holders.users.delete(row.id, keep=keep)
    return row.name, {"id": row.id, "name": row.name, "deleted": True}


@does("users.reset_link")
async def reset_link(at: Means, by: By, *, user: str) -> Done:
    row = at.found(user)
    return row.name, {"id": row.id, "name": row.name, **await at.reset_link(row, by)}


@does("users.end_sessions")
async def end_sessions(at: Means, by: By, *, user: str) -> Done:
    row = at.found(user)
    return row.name, {"id": row.id, "name": row.name, "ended": await at.holders.sessions.end_all(row.id)}


@does("users.rotate_keys")
async def rotate_keys(at: Means, by: By) -> Done:
    await at.rotate()
    return "keys of sessions", {"rotated": True}


@does("users.admin_code")
async def admin_code(at: Means, by: By) -> Done:
    token = await at.holders.codes.create()
    return "admin code", {"code": token.text, **at.links("admin-code")}


# --- invites ---


@does("invites.create")
async def create_invite(at: Means, by: By, *, role: Role, label: str, **how: Any) -> Done:
    row, token = await at.holders.invites.create(role, label=label, by=by.actor, giver=by.identity, **how)
    return f"invite {row.id}", {**at.shown.invite(row), **at.links("join", token.text)}


@does("invites.revoke")
async def revoke_invite(at: Means, by: By, *, id: str) -> Done:
    row = await at.holders.invites.revoke(id)
    return f"invite {row.id}", at.shown.invite(row)


# --- addresses ---


@does("allow.add")
async def allow(at: Means, by: By, *, cidr: str, label: str, lasts: float | None = None, **fields: Any) -> Done:
    row = await at.holders.addresses.add(
        cidr, label, by=by.actor, giver=by.identity, expires_at=at.until(lasts), **fields
    )
    return row.cidr, at.shown.address(row)


@does("allow.remove")
async def disallow(at: Means, by: By, *, id: str) -> Done:
    row = at.holders.addresses.get(id)
    await at.holders.addresses.remove(id)
    return row.cidr if row else id, {"id": id, "removed": True}


@does("allow.reopen")
async def reopen(at: Means, by: By) -> Done:
    """Not over HTTP: whoever is at an address could not give it, and a key might be one that was taken back."""
    await at.holders.ledger.reopen()
    return "addresses", {"reopened": True}
