"""Whether a key, an invite, an entry of the allow-list or a person counts now, in a word. Pure: said here alone."""

from __future__ import annotations

from typing import Literal, TypeAlias

from controller.auth.giving import Standing
from controller.auth.rows import AllowRow, InviteRow, KeyRow, UserRow, counts

KeyState: TypeAlias = Literal["revoked", "expired", "not yet", "paused", "active"]
InviteState: TypeAlias = Literal["revoked", "used", "expired", "not yet", "paused", "open"]
EntryState: TypeAlias = Literal["expired", "not yet", "paused", "active"]
UserState: TypeAlias = Literal["disabled", "no password", "active"]


def key_state(row: KeyRow, giver: Standing, now: float) -> KeyState:
    """`giver` is how who gave it out stands; a person's own key does not lean on that."""
    if row.revoked_at is not None:
        return "revoked"
    if _over(row.expires_at, now):
        return "expired"
    if not counts(row.created_at, row.expires_at, now):
        return "not yet"
    resting = row.user_id is None and giver is not Standing.GOOD
    return "paused" if row.paused or resting else "active"


def invite_state(row: InviteRow, giver: Standing, now: float) -> InviteState:
    """One that was used up stays so when its time is over."""
    if row.revoked_at is not None:
        return "revoked"
    if row.used >= row.uses:
        return "used"
    if _over(row.expires_at, now):
        return "expired"
    if not counts(row.created_at, row.expires_at, now):
        return "not yet"
    return "open" if giver is Standing.GOOD else "paused"


def entry_state(row: AllowRow, giver: Standing, now: float) -> EntryState:
    """What keeps an address out leans on nobody."""
    if _over(row.expires_at, now):
        return "expired"
    if row.verdict == "allow" and not counts(row.created_at, row.expires_at, now):
        return "not yet"
    return "paused" if row.verdict == "allow" and giver is not Standing.GOOD else "active"


def user_state(row: UserRow) -> UserState:
    """Who has no password yet was added, and has not come in."""
    return "disabled" if row.disabled else "active" if row.password else "no password"


def _over(at: float | None, now: float) -> bool:
    return at is not None and at <= now
