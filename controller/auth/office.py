"""What may be ordered about people, keys, invites and addresses: one table of orders, for the command line, the API and
the pages alike. Each order that changes something is in the audit afterwards, however it ended.

What it answers is JSON: for people and programs, so never a hash, and a secret only as it is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from controller.auth import rows
from controller.auth.access import bound_of, principal_of, rights_of
from controller.auth.giving import Standing
from controller.auth.held.ledger import Given
from controller.auth.holders import Holders
from controller.auth.policy import Right
from controller.auth.public import places
from controller.auth.rows import AllowRow, InviteRow, KeyRow, LinkRow, UserRow
from controller.clock import Clock
from controller.config.schema import Config
from controller.desk import AuditView, By
from controller.errors import OrderRefused, SeadragonError
from controller.storage.database import to_its_end

OPERATOR: Final = By(rows.OPERATOR, rows.OPERATOR)
"""Whoever runs `seadragon` on this machine."""
_KNOWN_ANYWAY: Final = ("allow",)
"""What there is to look at without the database, too: the YAML's entries, and who is kept out."""
_ITSELF: Final = By("seadragon", "")
"""What nobody ordered."""


@dataclass(frozen=True, slots=True)
class _Followed:
    """What became of what somebody had given out when they lost the right to."""

    ended: list[Given] = field(default_factory=list)
    handed: list[Given] = field(default_factory=list)


_FOLLOWED: Final[ContextVar[_Followed | None]] = ContextVar("followed", default=None)
"""Of the order that is being carried out here; None outside of any."""


class Office:
    """`order` is all that anybody needs of it."""

    def __init__(
        self,
        holders: Holders,
        audit: AuditView,
        clock: Clock,
        settings: Callable[[], Config],
        rotate: Callable[[], Awaitable[None]],
    ) -> None:
        """`rotate` makes a new key that sessions are signed with."""
        self._holders, self._audit, self._clock, self._settings = holders, audit, clock, settings
        self._rotate = rotate
        holders.followed = self._follow
        self._looks: Mapping[str, Callable[..., Any]] = {
            "keys": self._keys,
            "users": self._users,
            "invites": self._invites,
            "allow": self._allowed,
        }
        self._orders: Mapping[str, Callable[..., Awaitable[tuple[str, Any]]]] = {
            "keys.create": self._create_key,
            "keys.change": self._change_key,
            "keys.pause": self._pause_key,
            "keys.resume": self._resume_key,
            "keys.revoke": self._revoke_key,
            "users.add": self._add_user,
            "users.role": self._set_role,
            "users.rename": self._rename_user,
            "users.limit": self._limit_user,
            "users.disable": self._disable_user,
            "users.enable": self._enable_user,
            "users.delete": self._delete_user,
            "users.reset_link": self._reset_link,
            "users.end_sessions": self._end_sessions,
            "users.rotate_keys": self._rotate_keys,
            "invites.create": self._create_invite,
            "invites.revoke": self._revoke_invite,
            "allow.add": self._allow,
            "allow.remove": self._disallow,
            "allow.reopen": self._reopen,
            "admin_code": self._admin_code,
        }

    @property
    def keys_active(self) -> int:
        """Keys that open something now."""
        return sum(self._state(row) == "active" for row in self._holders.keys.values())

    @property
    def users_active(self) -> int:
        """People who may sign in."""
        return sum(not row.disabled for row in self._holders.users.values())

    @property
    def sessions_live(self) -> int:
        """Browsers somebody is signed in with."""
        return len(self._holders.live_sessions)

    @property
    def troubles(self) -> list[str]:
        """What is the matter with rights as such."""
        return [each for each in (self._holders.addresses_off, self._holders.barred_trouble) if each]

    async def order(self, name: str, by: By, /, **arguments: Any) -> Any:
        """Look, or carry out an order; what comes of it. Raises SeadragonError, also for what is no order."""
        await self._holders.here()
        if (look := self._looks.get(name)) is not None:
            if self._holders.unread and name not in _KNOWN_ANYWAY:
                raise SeadragonError(self._holders.unread)
            return _called(look, name, arguments)()
        work = self._orders.get(name)
        if work is None:
            raise SeadragonError(f"There is no such order. There is: {', '.join([*self._looks, *self._orders])}.")
        call = _called(work, name, {"by": by, **arguments})
        return await to_its_end(self._carry_out(name, by, call, arguments))

    async def _carry_out(
        self, name: str, by: By, call: Callable[[], Awaitable[tuple[str, Any]]], arguments: Mapping[str, Any]
    ) -> Any:
        """The deed and its row in the audit: whoever hangs up in between leaves neither without the other."""
        followed = _Followed()
        _FOLLOWED.set(followed)  # for this task, which ends with the order
        try:
            target, answer = await call()
        except SeadragonError as error:
            refused = isinstance(error, OrderRefused)
            wanted = str(arguments.get("id") or arguments.get("user") or arguments.get("name") or "")
            self._note(name, by, wanted, "refused" if refused else "failed", {"why": str(error)})
            raise
        self._note(name, by, target, "done", {key: value for key, value in arguments.items() if value is not None})
        self._note_followed(by, followed)
        return answer | self._told_followed(followed) if isinstance(answer, dict) else answer

    def _follow(self, ended: Sequence[Given], handed: Sequence[Given]) -> None:
        """Somebody lost the right to have given out these, by an order or by the clock."""
        if (followed := _FOLLOWED.get()) is None:
            return self._note_followed(_ITSELF, _Followed([*ended], [*handed]))
        followed.ended.extend(ended)
        followed.handed.extend(handed)

    def _note_followed(self, by: By, followed: _Followed) -> None:
        for row in followed.ended:
            self._note(f"{_kind(row)}.ended", by, self._named(row), "done", {"given_by": self._giver(row)})
        for row in followed.handed:
            self._note(f"{_kind(row)}.handed", by, self._named(row), "done", {"to": self._giver(row)})

    def _told_followed(self, followed: _Followed) -> dict[str, Any]:
        told = {"also_ended": [*map(self._named, followed.ended)], "handed_over": [*map(self._named, followed.handed)]}
        return {name: those for name, those in told.items() if those}

    def _named(self, row: Given) -> str:
        """What was given out, as people call it."""
        match row:
            case KeyRow():
                return f"key {_of_key(row)}"
            case InviteRow():
                return f"invite {row.id} for {row.label}"
            case AllowRow():
                return f"address {row.cidr}, {row.label}"
        user = self._holders.users.get(row.user_id or "")
        return f"reset link of {user.name if user else 'nobody'}"

    def _giver(self, row: Given) -> str:
        """Who gave it, as they are called now; or were then, if they are gone."""
        kind, _, id = row.giver.partition(":")
        found = self._holders.users.get(id) if kind == "person" else None
        key = self._holders.keys.get(id) if kind == "key" else None
        return found.name if found else key.name if key else row.by

    def _note(self, name: str, by: By, target: str, outcome: str, facts: Mapping[str, object]) -> None:
        self._audit.note(
            name, actor=by.actor, target=target, outcome=outcome, peer=by.peer, request=by.request, facts=facts
        )

    # --- keys ---

    def _keys(self) -> list[dict[str, Any]]:
        rows = sorted(self._holders.keys.values(), key=lambda row: row.created_at)
        return [self._key(row) for row in rows]

    def _key(self, row: KeyRow) -> dict[str, Any]:
        owner = self._holders.users.get(row.user_id) if row.user_id else None
        return {
            "id": row.id,
            "name": row.name,
            "last4": row.last4,
            "state": self._state(row),
            "user": owner.name if owner else None,
            "lane": row.lane,
            "scopes": list(row.scopes),
            "models": list(row.models),
            "cidrs": list(row.cidrs),
            "default_model": row.default_model,
            "per_minute": row.per_minute,
            "running": row.running,
            "waiting": row.waiting,
            "created_at": row.created_at,
            "by": self._giver(row),
            "expires_at": row.expires_at,
            "used_at": row.used_at,
            "used_from": row.used_from,
        }

    def _state(self, row: KeyRow) -> str:
        if row.revoked_at is not None:
            return "revoked"
        if self._over(row.expires_at):
            return "expired"
        if not self._counts(row):
            return "not yet"
        resting = row.user_id is None and self._holders.standing(row.giver) is not Standing.GOOD
        return "paused" if row.paused or resting else "active"

    async def _create_key(
        self, *, by: By, name: str, user: str | None = None, lasts: float | None = None, **fields: Any
    ) -> tuple[str, Any]:
        user_id = None if user is None else self._found(user).id
        expires_at = None if lasts is None else self._clock.wall() + lasts
        made = await self._holders.create_key(
            name, by=by.actor, giver=by.identity, user_id=user_id, expires_at=expires_at, **fields
        )
        row = self._holders.keys[made.id]
        return _of_key(row), {**self._key(row), "key": made.text}

    async def _change_key(self, *, by: By, id: str, **fields: Any) -> tuple[str, Any]:
        return self._told(await self._holders.change_key(id, **fields))

    async def _pause_key(self, *, by: By, id: str) -> tuple[str, Any]:
        return self._told(await self._holders.pause_key(id))

    async def _resume_key(self, *, by: By, id: str) -> tuple[str, Any]:
        return self._told(await self._holders.resume_key(id))

    async def _revoke_key(self, *, by: By, id: str, keep: str = "") -> tuple[str, Any]:
        return self._told(await self._holders.revoke_key(id, keep=keep))

    def _told(self, row: KeyRow) -> tuple[str, Any]:
        return _of_key(row), self._key(row)

    # --- people ---

    def _users(self) -> list[dict[str, Any]]:
        rows = sorted(self._holders.users.values(), key=lambda row: row.folded)
        return [self._user(row) for row in rows]

    def _user(self, row: UserRow) -> dict[str, Any]:
        sessions = self._holders.sessions(row.id)
        invite = self._holders.invites.get(row.invite_id) if row.invite_id else None
        return {
            "id": row.id,
            "name": row.name,
            "role": row.role,
            "state": "disabled" if row.disabled else "active" if row.password else "no password",
            "lane": row.lane,
            "models": list(row.models),
            "per_minute": row.per_minute,
            "running": row.running,
            "waiting": row.waiting,
            "created_at": row.created_at,
            "by": row.by,
            "invite": invite.label if invite else None,
            "sessions": len(sessions),
            "keys": len([key for key in self._holders.keys_of(row.id) if self._state(key) == "active"]),
            "used_at": max((each.used_at for each in sessions), default=None),
        }

    async def _add_user(self, *, by: By, name: str, role: str = "member") -> tuple[str, Any]:
        row = await self._holders.create_user(name, role, by=by.actor)  # type: ignore[arg-type]  # it looks itself
        return row.name, {**self._user(row), **await self._link_for(row, by)}

    async def _set_role(self, *, by: By, user: str, role: str, keep: str = "") -> tuple[str, Any]:
        id = self._found(user).id
        row = await self._holders.set_role(id, role, keep=keep)  # type: ignore[arg-type]  # it looks itself
        return row.name, self._user(row)

    async def _rename_user(self, *, by: By, user: str, name: str) -> tuple[str, Any]:
        row = await self._holders.rename_user(self._found(user).id, name)
        return row.name, self._user(row)

    async def _limit_user(
        self,
        *,
        by: By,
        user: str,
        models: Sequence[str] = (),
        lane: float | None = None,
        per_minute: int | None = None,
        running: int | None = None,
        waiting: int | None = None,
    ) -> tuple[str, Any]:
        """All of a person's limits at once: what is left out is as everywhere from now on."""
        row = await self._holders.change_user(
            self._found(user).id, models=models, lane=lane, per_minute=per_minute, running=running, waiting=waiting
        )
        return row.name, self._user(row)

    async def _disable_user(self, *, by: By, user: str, keep: str = "") -> tuple[str, Any]:
        row = await self._holders.disable_user(self._found(user).id, keep=keep)
        return row.name, self._user(row)

    async def _enable_user(self, *, by: By, user: str) -> tuple[str, Any]:
        row = await self._holders.enable_user(self._found(user).id)
        return row.name, self._user(row)

    async def _delete_user(self, *, by: By, user: str, keep: str = "") -> tuple[str, Any]:
        row = self._found(user)
        await self._holders.delete_user(row.id, keep=keep)
        return row.name, {"id": row.id, "name": row.name, "deleted": True}

    async def _reset_link(self, *, by: By, user: str) -> tuple[str, Any]:
        row = self._found(user)
        return row.name, {"id": row.id, "name": row.name, **await self._link_for(row, by)}

    async def _end_sessions(self, *, by: By, user: str) -> tuple[str, Any]:
        row = self._found(user)
        return row.name, {"id": row.id, "name": row.name, "ended": await self._holders.end_sessions(row.id)}

    async def _rotate_keys(self, *, by: By) -> tuple[str, Any]:
        await self._rotate()
        return "keys of sessions", {"rotated": True}

    async def _link_for(self, row: UserRow, by: By) -> dict[str, Any]:
        token = await self._holders.create_reset(row.id, by=by.actor, giver=by.identity)
        return self._links("reset", token.text)

    def _found(self, user: str) -> UserRow:
        """By name or id. Raises OrderRefused."""
        found = self._holders.users.get(user) or self._holders.user_named(user)
        if found is None:
            raise OrderRefused(f"There is nobody called {user!r}. See: seadragon users", "unknown")
        return found

    # --- invites and the admin code ---

    def _invites(self) -> list[dict[str, Any]]:
        rows = sorted(self._holders.invites.values(), key=lambda row: row.created_at)
        return [self._invite(row) for row in rows]

    def _invite(self, row: InviteRow) -> dict[str, Any]:
        early = "" if self._counts(row) else "not yet"
        over = "used" if row.used >= row.uses else "expired" if self._over(row.expires_at) else early
        resting = self._holders.standing(row.giver) is not Standing.GOOD
        return {
            "id": row.id,
            "label": row.label,
            "role": row.role,
            "state": "revoked" if row.revoked_at is not None else over or ("paused" if resting else "open"),
            "uses": row.uses,
            "used": row.used,
            "people": [user.name for user in self._holders.users.values() if user.invite_id == row.id],
            "created_at": row.created_at,
            "by": self._giver(row),
            "expires_at": row.expires_at,
        }

    async def _create_invite(self, *, by: By, role: str, label: str, **how: Any) -> tuple[str, Any]:
        given = {name: value for name, value in how.items() if value is not None}
        row, token = await self._holders.create_invite(role, label=label, by=by.actor, giver=by.identity, **given)  # type: ignore[arg-type]  # it looks itself
        return f"invite {row.id}", {**self._invite(row), **self._links("join", token.text)}

    async def _revoke_invite(self, *, by: By, id: str) -> tuple[str, Any]:
        row = await self._holders.revoke_invite(id)
        return f"invite {row.id}", self._invite(row)

    async def _admin_code(self, *, by: By) -> tuple[str, Any]:
        token = await self._holders.admin_code()
        return "admin code", {"code": token.text, **self._links("admin-code")}

    def _links(self, page: str, token: str = "") -> dict[str, Any]:
        """Where the token is to be used, the best place first. It stands in the fragment, which no server is sent."""
        found, fragment = places(self._settings()), f"#{token}" if token else ""
        links = {"links": [f"{url}/{page}{fragment}" for url in found.urls]}
        return {**links, "caution": found.caution} if found.caution else links

    # --- addresses ---

    def _allowed(self) -> list[dict[str, Any]]:
        """Those of access.yaml first: they are permanent, and not to be changed by an order."""
        access = self._settings().access
        rights = rights_of(access, "address")
        fixed = [
            {"id": None, "label": who.label, "cidr": cidr, "verdict": "allow", "lane": who.lane}
            | {"scopes": _scopes(who.rights), "models": list(who.models), "source": "access.yaml"}
            for entry in access.allow
            for who in (principal_of(entry, rights),)
            for cidr in entry.addresses
        ]
        rows = sorted(self._holders.allowed.values(), key=lambda row: row.created_at)
        return [*fixed, *map(self._address, rows)]

    def _address(self, row: AllowRow) -> dict[str, Any]:
        """An entry with those of its scopes that count now."""
        bound = bound_of(self._settings().access, "address")
        return {
            "id": row.id,
            "label": row.label,
            "cidr": row.cidr,
            "verdict": row.verdict,
            "state": self._state_of_entry(row),
            "lane": row.lane,
            "scopes": [scope for scope in row.scopes if scope in bound],
            "models": list(row.models),
            "source": self._giver(row),
            "created_at": row.created_at,
            "expires_at": row.expires_at,
            "used_at": row.used_at,
            "hits": row.hits,
        }

    def _state_of_entry(self, row: AllowRow) -> str:
        if self._over(row.expires_at):
            return "expired"
        if row.verdict == "allow" and not self._counts(row):
            return "not yet"
        resting = row.verdict == "allow" and self._holders.standing(row.giver) is not Standing.GOOD
        return "paused" if resting else "active"

    async def _allow(
        self, *, by: By, cidr: str, label: str, lasts: float | None = None, **fields: Any
    ) -> tuple[str, Any]:
        expires_at = None if lasts is None else self._clock.wall() + lasts
        row = await self._holders.allow_add(
            cidr, label, by=by.actor, giver=by.identity, expires_at=expires_at, **fields
        )
        return row.cidr, self._address(row)

    async def _disallow(self, *, by: By, id: str) -> tuple[str, Any]:
        row = self._holders.allowed.get(id)
        await self._holders.allow_remove(id)
        return row.cidr if row else id, {"id": id, "removed": True}

    async def _reopen(self, *, by: By) -> tuple[str, Any]:
        """Not over HTTP: whoever is at an address could not give it, and a key might be one that was taken back."""
        await self._holders.reopen()
        return "addresses", {"reopened": True}

    def _counts(self, row: KeyRow | InviteRow | AllowRow) -> bool:
        return rows.counts(row.created_at, row.expires_at, self._clock.wall())

    def _over(self, at: float | None) -> bool:
        return at is not None and at <= self._clock.wall()


def _scopes(rights: frozenset[Right]) -> list[str]:
    """Rights by their names, in the order of the table."""
    return [right.value for right in Right if right in rights]


def _kind(row: Given) -> str:
    """As the orders about it are called."""
    return {KeyRow: "keys", InviteRow: "invites", AllowRow: "allow", LinkRow: "links"}[type(row)]


def _of_key(row: KeyRow) -> str:
    """A key as the audit names it: enough to find it, too little to use it."""
    return f"{row.name} ({row.id} …{row.last4})"


def _called(work: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """`work` with its arguments. Raises SeadragonError for one too many, or one that is missing."""
    try:
        bound = inspect.signature(work).bind(**arguments)
    except TypeError as error:
        raise SeadragonError(f"This is not how `{name}` is ordered: {error}.") from None
    return lambda: work(*bound.args, **bound.kwargs)
