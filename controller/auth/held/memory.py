"""All rows of the door in memory, kind by kind, and when which of them end. Pure: it is handed the time."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Generic, Literal, cast

from controller.auth.rows import AllowRow, HeldRow, InviteRow, KeyRow, LinkRow, RowT, SessionRow, UserRow, folded

What = Literal["key", "user", "session", "invite", "allow", "link"]


class RowSet(dict[str, RowT], Generic[RowT]):
    """The rows of one kind, by id: everybody reads, and only the ledger's memory writes."""

    def __init__(self, kind: type[RowT], what: What, *, vanish: bool = False) -> None:
        """`what`: the kind as it is told. `vanish`: whether a row that has expired is deleted; else it stays, since it
        gives a name to what was done with it.
        """
        super().__init__()
        self.kind: type[RowT] = kind
        self.what: What = what
        self.vanish = vanish

    def take(self, row: RowT) -> None:
        """A row that is new or different."""
        self[row.id] = row

    def forget(self, row: RowT) -> None:
        """The row no longer."""
        self.pop(row.id, None)


class UserRows(RowSet[UserRow]):
    """People, also by their names."""

    def __init__(self) -> None:
        super().__init__(UserRow, "user")
        self._named: dict[str, UserRow] = {}  # as they are compared

    def named(self, name: str) -> UserRow | None:
        """Who is called that, however it is spelled."""
        return self._named.get(folded(name))

    def take(self, row: UserRow) -> None:
        if (before := self.get(row.id)) is not None:
            self._named.pop(before.folded, None)
        super().take(row)
        self._named[row.folded] = row

    def forget(self, row: UserRow) -> None:
        super().forget(row)
        self._named.pop(row.folded, None)

    def clear(self) -> None:
        super().clear()
        self._named.clear()


class SessionRows(RowSet[SessionRow]):
    """Sessions, also by whose they are."""

    def __init__(self) -> None:
        super().__init__(SessionRow, "session", vanish=True)
        self._theirs: dict[str, dict[str, SessionRow]] = {}

    def of(self, user_id: str) -> list[SessionRow]:
        """A person's, newest first."""
        return sorted(self._theirs.get(user_id, {}).values(), key=lambda row: row.started_at, reverse=True)

    def take(self, row: SessionRow) -> None:
        super().take(row)
        self._theirs.setdefault(row.user_id, {})[row.id] = row

    def forget(self, row: SessionRow) -> None:
        super().forget(row)
        theirs = self._theirs.get(row.user_id, {})
        theirs.pop(row.id, None)
        if not theirs:
            self._theirs.pop(row.user_id, None)

    def clear(self) -> None:
        super().clear()
        self._theirs.clear()


class HeldRows:
    """Every kind of row there is. A new kind is one more line here, and a store that gives its orders."""

    def __init__(self) -> None:
        self.invites = RowSet(InviteRow, "invite")
        self.users = UserRows()
        self.sessions = SessionRows()
        self.keys = RowSet(KeyRow, "key")
        self.allowed = RowSet(AllowRow, "allow")
        self.links = RowSet(LinkRow, "link", vanish=True)
        kinds = (self.invites, self.users, self.sessions, self.keys, self.allowed, self.links)
        self._sets: dict[type[HeldRow], RowSet[Any]] = {each.kind: each for each in kinds}
        self._by_what: dict[What, RowSet[Any]] = {each.what: each for each in kinds}
        self._ends: list[tuple[float, What, str]] = []  # a heap: when, and what

    def sets(self) -> Iterator[RowSet[Any]]:
        """One for each kind."""
        return iter(self._sets.values())

    def of(self, kind: type[RowT]) -> RowSet[RowT]:
        """Those of one kind."""
        return cast("RowSet[RowT]", self._sets[cast("type[HeldRow]", kind)])

    def what(self, row: HeldRow) -> What:
        """Its kind, as it is told."""
        return self._sets[type(row)].what

    def take(self, row: HeldRow) -> None:
        """A row that is new or different."""
        rows = self._sets[type(row)]
        before = rows.get(row.id)
        rows.take(row)
        ends = None if isinstance(row, UserRow) else row.expires_at
        if ends is not None and (before is None or before.expires_at != ends):
            heapq.heappush(self._ends, (ends, rows.what, row.id))

    def forget(self, row: HeldRow) -> None:
        """The row no longer."""
        self._sets[type(row)].forget(row)

    def ended(self, now: float) -> Iterator[HeldRow]:
        """Those that have expired since this was last asked, in seconds since the epoch."""
        while self._ends and self._ends[0][0] <= now:
            at, what, id = heapq.heappop(self._ends)
            row = self._by_what[what].get(id)
            if row is not None and row.expires_at == at:
                yield row
