"""Whether what somebody gave out still counts. Pure.

An invite, a reset link, a key of nobody's and an address on the list stand on the right of whoever gave them
(`giver`, an identity as `auth/access.py: Principal` has it): they end with it, and rest while it rests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, Protocol

from controller.auth.access import rights_of
from controller.auth.policy import Right
from controller.auth.rows import OPERATOR, KeyRow, UserRow, counts
from controller.config.entry import Access


class Standing(Enum):
    """Of somebody who gave something out."""

    GOOD = "good"
    RESTING = "resting"  # paused, or access.yaml has narrowed the right: it may come back
    OVER = "over"


class GiverRows(Protocol):
    """What of the door's memory is asked."""

    @property
    def keys(self) -> Mapping[str, KeyRow]: ...
    @property
    def users(self) -> Mapping[str, UserRow]: ...


def standing(giver: str, rows: GiverRows, access: Access, now: float) -> Standing:
    """Whether `giver` has the right to give out what they gave. A key has it as long as it is good, and its owner has
    it too; one of nobody's, as long as who gave that key out has it; and so on.
    """
    found = Standing.GOOD
    while giver != OPERATOR:
        kind, _, id = giver.partition(":")
        if kind == "person":
            return _worse(found, _of_person(rows.users.get(id), access))
        row = rows.keys.get(id) if kind == "key" else None
        found = _worse(found, _of_key(row, access, now))
        if row is None or found is Standing.OVER:
            return Standing.OVER
        giver = row.giver if row.user_id is None else f"person:{row.user_id}"
    return found


def _of_person(row: UserRow | None, access: Access) -> Standing:
    if row is None or row.disabled or row.role != "admin":
        return Standing.OVER
    return Standing.GOOD if Right.ADMIN in rights_of(access, "admin") else Standing.RESTING


def _of_key(row: KeyRow | None, access: Access, now: float) -> Standing:
    if row is None or row.revoked_at is not None or Right.ADMIN not in row.scopes:
        return Standing.OVER
    if row.expires_at is not None and now >= row.expires_at:
        return Standing.OVER
    resting = row.paused or not counts(row.created_at, row.expires_at, now)
    return Standing.RESTING if resting or Right.ADMIN not in rights_of(access, "key") else Standing.GOOD


_BADNESS: Final = list(Standing)


def _worse(one: Standing, other: Standing) -> Standing:
    return max(one, other, key=_BADNESS.index)
