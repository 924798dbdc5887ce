"""People, keys, invites and addresses as people and programs are shown them: JSON, never a hash, never a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from controller.auth.access import bound_of, principal_of, rights_of
from controller.auth.held.transaction import Given
from controller.auth.holders import Holders
from controller.auth.policy import Right
from controller.auth.rows import AllowRow, InviteRow, KeyRow, UserRow
from controller.auth.states import entry_state, invite_state, key_state, user_state
from controller.clock import Clock
from controller.config.schema import Config
from controller.errors import SeadragonError

_KNOWN_ANYWAY: Final = ("allow",)
"""What there is to look at without the database, too: the YAML's entries, and who is kept out."""


class Holdings:
    """Who holds what, as it is now."""

    def __init__(self, holders: Holders, clock: Clock, settings: Callable[[], Config]) -> None:
        self._holders, self._clock, self._settings = holders, clock, settings
        self._lists: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
            "keys": self.keys,
            "users": self.users,
            "invites": self.invites,
            "allow": self.allowed,
        }

    async def listed(self, what: str) -> list[dict[str, Any]]:
        """All keys, users, invites or allow, once they are known. Raises SeadragonError."""
        await self._holders.ledger.here()
        if self._holders.unread and what not in _KNOWN_ANYWAY:
            raise SeadragonError(self._holders.unread)
        return self._lists[what]()

    @property
    def keys_active(self) -> int:
        """Keys that open something now."""
        return sum(self._key_state(row) == "active" for row in self._holders.keys.values())

    @property
    def users_active(self) -> int:
        """People who may sign in."""
        return sum(not row.disabled for row in self._holders.users.values())

    @property
    def sessions_live(self) -> int:
        """Browsers somebody is signed in with."""
        return len(self._holders.sessions)

    @property
    def troubles(self) -> list[str]:
        """What is the matter with rights as such."""
        return [each for each in (self._holders.addresses_off, self._holders.barring.trouble) if each]

    # --- lists ---

    def keys(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return [self.key(row) for row in sorted(self._holders.keys.values(), key=lambda row: row.created_at)]

    def users(self) -> list[dict[str, Any]]:
        """By name."""
        return [self.user(row) for row in sorted(self._holders.users.values(), key=lambda row: row.folded)]

    def invites(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return [self.invite(row) for row in sorted(self._holders.invites.values(), key=lambda row: row.created_at)]

    def allowed(self) -> list[dict[str, Any]]:
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
        rows = sorted(self._holders.addresses.values(), key=lambda row: row.created_at)
        return [*fixed, *map(self.address, rows)]

    # --- one of them ---

    def key(self, row: KeyRow) -> dict[str, Any]:
        """Shown by its id and the end of its secret."""
        owner = self._holders.users.get(row.user_id) if row.user_id else None
        return {
            "id": row.id,
            "name": row.name,
            "last4": row.last4,
            "state": self._key_state(row),
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
            "by": self.giver(row),
            "expires_at": row.expires_at,
            "used_at": row.used_at,
            "used_from": row.used_from,
        }

    def user(self, row: UserRow) -> dict[str, Any]:
        """A person with what they may have, and what they came with."""
        sessions = self._holders.sessions.of(row.id)
        invite = self._holders.invites.get(row.invite_id) if row.invite_id else None
        return {
            "id": row.id,
            "name": row.name,
            "role": row.role,
            "state": user_state(row),
            "lane": row.lane,
            "models": list(row.models),
            "per_minute": row.per_minute,
            "running": row.running,
            "waiting": row.waiting,
            "created_at": row.created_at,
            "by": row.by,
            "invite": invite.label if invite else None,
            "sessions": len(sessions),
            "keys": len([key for key in self._holders.keys.of(row.id) if self._key_state(key) == "active"]),
            "used_at": max((each.used_at for each in sessions), default=None),
        }

    def invite(self, row: InviteRow) -> dict[str, Any]:
        """An invite with who came by it."""
        return {
            "id": row.id,
            "label": row.label,
            "role": row.role,
            "state": invite_state(row, self._holders.giving.standing(row.giver), self._clock.wall()),
            "uses": row.uses,
            "used": row.used,
            "people": [user.name for user in self._holders.users.values() if user.invite_id == row.id],
            "created_at": row.created_at,
            "by": self.giver(row),
            "expires_at": row.expires_at,
        }

    def address(self, row: AllowRow) -> dict[str, Any]:
        """An entry with those of its scopes that count now."""
        bound = bound_of(self._settings().access, "address")
        return {
            "id": row.id,
            "label": row.label,
            "cidr": row.cidr,
            "verdict": row.verdict,
            "state": entry_state(row, self._holders.giving.standing(row.giver), self._clock.wall()),
            "lane": row.lane,
            "scopes": [scope for scope in row.scopes if scope in bound],
            "models": list(row.models),
            "source": self.giver(row),
            "created_at": row.created_at,
            "expires_at": row.expires_at,
            "used_at": row.used_at,
            "hits": row.hits,
        }

    # --- as people call them ---

    def giver(self, row: Given) -> str:
        """Who gave it, as they are called now; or were then, if they are gone."""
        kind, _, id = row.giver.partition(":")
        found = self._holders.users.get(id) if kind == "person" else None
        key = self._holders.keys.get(id) if kind == "key" else None
        return found.name if found else key.name if key else row.by

    def named(self, row: Given) -> str:
        """What was given out."""
        match row:
            case KeyRow():
                return f"key {key_words(row)}"
            case InviteRow():
                return f"invite {row.id} for {row.label}"
            case AllowRow():
                return f"address {row.cidr}, {row.label}"
        user = self._holders.users.get(row.user_id or "")
        return f"reset link of {user.name if user else 'nobody'}"

    def _key_state(self, row: KeyRow) -> str:
        return key_state(row, self._holders.giving.standing(row.giver), self._clock.wall())


def key_words(row: KeyRow) -> str:
    """A key as the audit names it: enough to find it, too little to use it."""
    return f"{row.name} ({row.id} …{row.last4})"


def _scopes(rights: frozenset[Right]) -> list[str]:
    """Rights by their names, in the order of the table."""
    return [right.value for right in Right if right in rights]
