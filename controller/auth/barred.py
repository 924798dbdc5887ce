"""Who stays out whatever becomes of the database: the addresses that are kept out, the keys and invites that were taken
back, the people who were shut out. Pure.

A refusal must survive its store. So these few are also kept in a small file, written with each change and read first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_network
from typing import Final, Literal

import msgspec

from controller.auth.rows import AllowRow, InviteRow, KeyRow, UserRow

FileState = Literal["good", "missing", "broken"]
DatabaseState = Literal["read", "new", "damaged", "unreadable"]
"""read: its rows are known. new: there was none. damaged: it was set aside for an empty one. unreadable: it exists."""
REMEDY: Final = "To let addresses in again: seadragon allow reopen"


class Denial(msgspec.Struct, frozen=True):
    """An address that is kept out: what of an `AllowRow` it takes to know that."""

    id: str
    label: str
    cidr: str
    created_at: float
    by: str
    expires_at: float | None = None

    def row(self) -> AllowRow:
        """The same as a row. It lets nobody in, so it says nothing of what they might do."""
        return AllowRow(
            self.id, self.label, self.cidr, "deny", 1.0, ("infer",), (), self.created_at, self.by, self.expires_at
        )


class Barred(msgspec.Struct, frozen=True):
    """All of them. Ids of rows that are gone stay: a copy of the database may bring them back."""

    denied: dict[str, Denial] = {}  # by id
    keys: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    invites: dict[str, float] = {}  # by id: when it would have ended, seconds since the epoch
    lost: str = ""  # why it is not known who else was kept out; "": it is


def read(document: bytes) -> Barred:
    """What a file says. Raises ValueError when it cannot be what we wrote."""
    try:
        found = msgspec.json.decode(document, type=Barred)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    for id, denial in found.denied.items():
        ip_network(denial.cidr)  # ValueError
        if id != denial.id:
            raise ValueError(f"{id} is not the id of what stands under it")
    return found


def written(barred: Barred) -> bytes:
    """What the file says."""
    return msgspec.json.format(msgspec.json.encode(barred, order="deterministic"), indent=1) + b"\n"


def barred_of(
    keys: Mapping[str, KeyRow],
    users: Mapping[str, UserRow],
    invites: Mapping[str, InviteRow],
    allowed: Mapping[str, AllowRow],
    *,
    before: Barred,
    gone: Collection[str],
    now: float,
) -> Barred:
    """Who is barred by these rows. `gone`: ids of keys and people that have just been deleted."""
    invited = {id: until for id, until in before.invites.items() if id not in invites}
    invited |= {row.id: row.expires_at for row in invites.values() if row.revoked_at is not None}
    denied = [row for row in allowed.values() if row.verdict == "deny"]
    return Barred(
        {
            row.id: Denial(row.id, row.label, row.cidr, row.created_at, row.by, row.expires_at)
            for row in denied
            if row.expires_at is None or row.expires_at > now
        },
        frozenset(_of(before.keys, keys, (row.id for row in keys.values() if row.revoked_at is not None), gone)),
        frozenset(_of(before.people, users, (row.id for row in users.values() if row.disabled), gone)),
        {id: until for id, until in invited.items() if until > now},
        before.lost,
    )


def _of(before: Collection[str], rows: Collection[str], out: Iterable[str], gone: Collection[str]) -> Iterable[str]:
    yield from out
    yield from (id for id in before if id not in rows)
    yield from gone


def both(one: Barred, other: Barred) -> Barred:
    """Whoever is barred by either."""
    return Barred(
        one.denied | other.denied,
        one.keys | other.keys,
        one.people | other.people,
        one.invites | other.invites,
        one.lost or other.lost,
    )


def unknowable(file: FileState, database: DatabaseState) -> bool:
    """Whether nobody can know who is kept out: neither the one nor the other tells. Where there was neither, nobody
    was ever refused.
    """
    if file == "good" or database == "read":
        return False
    return database != "new" or file == "broken"
