"""The door's memory as a test wants it, and keys that are really good."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import count
from typing import Any

from controller.auth.access import Principal
from controller.auth.rows import AllowRow, KeyRow, SessionRow, UserRow
from controller.auth.secrets import make_key

_numbers = count(1)


def _bytes(amount: int) -> bytes:
    """Other bytes at each call, the same in each run."""
    return hashlib.shake_128(str(next(_numbers)).encode()).digest(amount)


def key(name: str, **fields: Any) -> tuple[str, KeyRow]:
    """A key's text, and its row."""
    made = make_key(_bytes)
    row = KeyRow(made.id, made.hash, made.last4, name, None, 2.0, ("infer",), (), (), 0.0, "test")
    return made.text, replace(row, **fields)


class Rows:
    """What the keyring is asked of. A test puts in and takes out what it likes."""

    def __init__(self, *keys: KeyRow) -> None:
        self.keys: dict[str, KeyRow] = {row.id: row for row in keys}
        self.users: dict[str, UserRow] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.addresses: dict[str, AllowRow] = {}
        self.addresses_off = ""
        self.unread = ""
        self.uses: list[tuple[str, ...]] = []

    def used(self, who: Principal, address: str) -> None:
        self.uses.append((who.kind, who.session or who.id, address))

    def put(self, row: KeyRow) -> None:
        """A key is new, or different."""
        self.keys[row.id] = row

    def person(self, id: str, **fields: Any) -> UserRow:
        """Somebody, with a session that is called as they are."""
        user = UserRow(id, id, id, "member", "", 0.0, "test")
        self.users[id] = replace(user, **fields)
        self.sessions[id] = SessionRow(id, id, "a browser", 0.0, "", 0.0, 1e12, 0.0, "")
        return self.users[id]
