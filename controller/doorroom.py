"""Part of the roof: everything about the door, built once. The one database; who holds a key, has an account or a
session; who has used how much; and what was done and refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.auth import signing
from controller.auth.deeds import Means
from controller.auth.hashing import Hashing
from controller.auth.holders import Holders
from controller.auth.holdings import Holdings
from controller.auth.keyring import Keyring
from controller.auth.office import Office
from controller.auth.signin import SignIn
from controller.clock import Clock
from controller.config.schema import Config
from controller.events import Journal
from controller.proxy.noted import Noting
from controller.storage.audit import Audit
from controller.storage.backup import by_hand
from controller.storage.database import Database, patiently, to_its_end
from controller.storage.file import NAME
from controller.storage.nightly import Nightly
from controller.storage.usage import UsageStore

LOOK: Final = 15.0  # seconds between two looks at whether our files are still there


class DoorRoom:
    """Built before anything runs; `run` keeps it going. Raises SeadragonError when the keys that sign sessions are not
    fit to: then nobody may come in, rather than anybody.
    """

    def __init__(self, data: Path, clock: Clock, journal: Journal, settings: Callable[[], Config]) -> None:
        self.database = Database(data / NAME, clock, journal)
        self.holders = Holders(clock, journal, access=lambda: settings().access)
        self.usage = UsageStore(clock, journal, lambda: settings().server.usage)
        self.audit = Audit(clock, journal, lambda: settings().server.audit)
        shown = Holdings(self.holders, clock, settings)
        self.office = Office(Means(self.holders, shown, clock, settings, self._rotate), self.audit)
        self._data, self._clock, self._rotating = data, clock, asyncio.Lock()
        self._hashing = Hashing(clock)
        self.signin = SignIn(self.holders, self._hashing, signing.load(data), clock, self.audit.note)
        self.keyring = Keyring(self.holders, self.signin.session_of)
        self.noting = Noting(self.audit)
        self._nightly = Nightly(self.database.path, lambda: settings().server.backup, clock, journal)

    @property
    def trouble(self) -> str:
        """Why the database is of no use at this moment; empty when it is."""
        return self.holders.unread or self.database.lost

    async def back_up(self, target: Path | None = None) -> Path:
        """Copy the database to `target`, or beside it; where it is. Raises SeadragonError."""
        await self.database.look()  # one that was deleted is put back first
        return await asyncio.to_thread(by_hand, self.database.path, self._clock.wall(), target)

    async def _rotate(self) -> None:
        """Sign sessions with a new key from now on; who is signed in stays so. Raises SeadragonError."""
        await to_its_end(self._rotated())

    async def _rotated(self) -> None:
        async with self._rotating:
            self.signin.keys = await asyncio.to_thread(signing.rotate, self._data)

    async def run(self) -> None:
        """Until it is cancelled; what is still to be written is written then.

        While the database cannot be opened nobody knows who has a key or an account, which the journal tells, and the
        rest goes on.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.holders.ledger.run(self.database), name="holders")
                tasks.create_task(self._nightly.run(), name="nightly")
                tasks.create_task(self._write_behind(), name="usage")
                tasks.create_task(self._look_after(), name="database")
        finally:
            self._hashing.close()

    async def _look_after(self) -> None:
        """What is deleted under us is put back from memory, or from what is still open."""
        while True:
            await self._clock.sleep(LOOK)
            await self.database.look()
            with suppress(OSError):  # the disk takes nothing: the next look tries again
                async with self._rotating:
                    await asyncio.to_thread(signing.keep, self._data, self.signin.keys)

    async def _write_behind(self) -> None:
        async def work() -> None:
            async with self.database, asyncio.TaskGroup() as tasks:
                tasks.create_task(self.usage.run(self.database))
                tasks.create_task(self.audit.run(self.database))

        await patiently(self._clock, work, lambda why: None)  # the holders, who open it too, tell why
