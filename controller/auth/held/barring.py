"""Who stays out whatever becomes of the database: read before it, and written along with each order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace

import msgspec

from controller.auth.barred import REMEDY, Barred, DatabaseState, FileState, barred_of, both, unknowable
from controller.auth.held.memory import HeldRows
from controller.auth.held.transaction import Transaction
from controller.auth.rows import AllowRow, InviteRow, KeyRow, RowT, UserRow
from controller.clock import Clock
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage.barred import NAME, BarredFile
from controller.storage.database import Database

Carry = Callable[[Callable[[Transaction], Awaitable[int]]], Awaitable[int]]
_About = KeyRow | UserRow | InviteRow | AllowRow


def _concerns(tx: Transaction) -> bool:
    return any(isinstance(row, _About) for row in (*tx.kept, *tx.gone))


def _gone(tx: Transaction) -> set[str]:
    return {row.id for row in tx.gone if isinstance(row, KeyRow | UserRow)}


class Barring:
    """Holds refusals to what they were. The file is wider than the database while an order is under way, and never
    narrower. The ledger calls, one call at a time.
    """

    def __init__(self, rows: HeldRows, clock: Clock, journal: Journal) -> None:
        self.addresses_off = ""
        """Why addresses alone let nobody in at this moment: nobody knows who is kept out. Empty: they do."""
        self.trouble = ""
        """Why the file does not say who is barred now; empty when it does."""
        self._rows, self._clock, self._journal = rows, clock, journal
        self._barred = Barred()  # who is, by the orders that were carried out
        self._on_disk: Barred | None = None  # what the file says; None: it is not known, or not what it should be
        self._file: BarredFile | None = None
        self._state: FileState = "missing"

    async def reopen(self) -> None:
        """Let addresses in again, who was kept out or not: the operator says so. Raises SeadragonError."""
        wanted = msgspec.structs.replace(self._barred, lost="")
        if self._file is not None:
            await asyncio.to_thread(self._file.write, wanted)
        self._barred = self._on_disk = wanted
        self.addresses_off = self.trouble = ""

    # --- at a start ---

    async def recall(self, database: Database) -> None:
        """Before anything else: an address that is kept out is so even if nothing else can be read."""
        self._file = BarredFile(database.path.with_name(NAME))
        try:
            found = await asyncio.to_thread(self._file.read)
            self._state = "missing" if found is None else "good"
            self._barred, self._on_disk = found or Barred(), found
        except SeadragonError as error:
            self._state, self.trouble = "broken", str(error)
            self._journal.say("door", f"{error} The database says who is kept out.", level="error")
        self._deny_from_memory()

    def _deny_from_memory(self) -> None:
        for denial in self._barred.denied.values():
            self._rows.take(denial.row())

    def unread(self, why: str, *, there: bool) -> None:
        """The database tells nothing. `there`: there is one."""
        self._deny_from_memory()
        self._judge("unreadable" if there else "new", why)

    async def compared(self, database: Database, carry: Carry) -> None:
        """Its rows are here: what was refused since they were written is refused still. Nobody is let in before.
        `carry` carries out an order.
        """
        found: DatabaseState = database.began or "read"
        if unknowable(self._state, found):
            lost = "The database was damaged" if found == "damaged" else "The database is gone"
            words = f"{lost}, and {NAME} cannot be read: nobody knows who was kept out."
            self._barred = msgspec.structs.replace(self._barred, lost=words)
        self._judge(found, "")
        if self._forgotten():
            await self._hold_again(carry)
        self._barred = self._barred_after(set())
        await self._keep(self._barred)

    async def _hold_again(self, carry: Carry) -> None:
        try:
            held = await carry(self._hold)
        except SeadragonError as error:
            self._hold_in_memory()
            words = f"What was refused stays so, though the database does not say it: {error}"
            self._journal.say("door", words, level="error")
        else:
            words = (
                f"The database is older than the last refusals: {held} of keys, people, invites and addresses stay "
                "refused. Whom that is wrong for: seadragon users enable, seadragon allow remove."
            )
            self._journal.say("door", words, level="warning")

    def _judge(self, database: DatabaseState, why: str) -> None:
        before = self.addresses_off
        if self._barred.lost:
            self.addresses_off = f"{self._barred.lost} So addresses alone let nobody in. {REMEDY}"
        elif unknowable(self._state, database):
            self.addresses_off = (
                f"Neither the database nor {NAME} can be read, so nobody knows who is kept out, and addresses alone "
                f"let nobody in. {why} {REMEDY}"
            )
        else:
            self.addresses_off = ""
        if self.addresses_off and self.addresses_off != before:
            self._journal.say("door", self.addresses_off, level="error")

    async def _hold(self, tx: Transaction) -> int:
        """Take back what the database has forgotten was taken back; how many that are."""
        rows = self._forgotten()
        for row in rows:
            match row:
                case AllowRow():
                    await tx.put(row)
                case UserRow():
                    await tx.change(row, disabled=True)
                    for session in self._rows.sessions.of(row.id):
                        await tx.drop(session)
                case KeyRow() | InviteRow():
                    await tx.change(row, revoked_at=self._clock.wall())
        return len(rows)

    def _hold_in_memory(self) -> None:
        for row in self._forgotten():
            match row:
                case AllowRow():
                    self._rows.take(row)
                case UserRow():
                    self._rows.take(replace(row, disabled=True))
                case KeyRow() | InviteRow():
                    self._rows.take(replace(row, revoked_at=self._clock.wall()))

    def _forgotten(self) -> list[_About]:
        """Rows that are not as they were refused."""
        keys = [self._rows.keys[id] for id in self._barred.keys & self._rows.keys.keys()]
        people = [self._rows.users[id] for id in self._barred.people & self._rows.users.keys()]
        invites = [self._rows.invites[id] for id in self._barred.invites.keys() & self._rows.invites.keys()]
        kept_out = {row.cidr for row in self._rows.allowed.values() if row.verdict == "deny"}
        denied = [each.row() for each in self._barred.denied.values() if each.cidr not in kept_out]
        return [
            *(row for row in keys if row.revoked_at is None),
            *(row for row in people if not row.disabled),
            *(row for row in invites if row.revoked_at is None),
            *denied,
        ]

    # --- with each order ---

    async def before(self, tx: Transaction) -> None:
        """Before an order is committed."""
        if _concerns(tx):
            await self._keep(both(self._barred, self._barred_after(_gone(tx), tx)))

    async def after(self, tx: Transaction | None) -> None:
        """After an order, or one that came to nothing (None): the file says what memory does."""
        if tx is not None and _concerns(tx):
            self._barred = self._barred_after(_gone(tx))
        if self._file is not None and self._on_disk is not None and not await asyncio.to_thread(self._file.exists):
            self._on_disk = None  # somebody has deleted it
        if self._on_disk != self._barred:
            await self._keep(self._barred)

    def _barred_after(self, gone: Collection[str], tx: Transaction | None = None) -> Barred:
        """Who is barred by what is in memory, or will be there after an order that has not been carried out yet."""

        def then(kind: type[RowT], rows: Mapping[str, RowT]) -> Mapping[str, RowT]:
            return rows if tx is None else tx.after(kind, rows)

        return barred_of(
            then(KeyRow, self._rows.keys),
            then(UserRow, self._rows.users),
            then(InviteRow, self._rows.invites),
            then(AllowRow, self._rows.allowed),
            before=self._barred,
            gone=gone,
            now=self._clock.wall(),
        )

    async def _keep(self, barred: Barred) -> None:
        """Write the file, if it says something else. A disk that takes nothing keeps nobody from taking a right back:
        that is told, and tried again.
        """
        if self._file is None or self._on_disk == barred:
            return
        try:
            await asyncio.to_thread(self._file.write, barred)
        except SeadragonError as error:
            if not self.trouble:
                self._journal.say("door", f"{error} What was refused is in the database alone.", level="error")
            self.trouble, self._on_disk = str(error), None
        else:
            self.trouble, self._on_disk = "", barred
