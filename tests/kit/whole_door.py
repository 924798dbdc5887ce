"""The whole way of a person or a key through the door, wired as the roof does it: a data plane on a real socket, the
real pages, the real management API, the real rows in a real database, and the real audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from controller.answering.rhythm import Rhythm
from controller.api.late import LateApi
from controller.auth.hashing import Hashing
from controller.auth.rows import SessionRow
from controller.clock import SystemClock
from controller.config.entry import Access
from controller.config.schema import Config
from controller.doorroom import DoorRoom
from controller.pages.late import LatePages
from controller.pages.view import Traffic
from controller.readiness import Address
from tests.fakes.desk import FakeDesk
from tests.integration.plane import Plane, gateway
from tests.kit import web
from tests.kit.front_door import CHEAP, PASSWORD
from tests.kit.until import until

PROGRAM = {"Accept": "application/json", "X-Seadragon": "1"}


@dataclass
class WholeDoor:
    """All that stands in the way of a request, and behind it a desk that is only told about."""

    plane: Plane
    room: DoorRoom
    desk: FakeDesk

    async def person(self, name: str, role: Any = "member") -> str:
        """Make somebody with the usual password; their id."""
        password = await self.room.signin.hashing.hash(PASSWORD)
        return (await self.room.holders.users.create(name, role, by="tests", password=password)).id

    async def admin_key(self, name: str, user_id: str | None = None) -> tuple[str, str]:
        """Make a key that may do everything; its id and its text."""
        scopes = ("admin", "manage", "infer")
        made = await self.room.holders.keys.create(name, by="tests", user_id=user_id, scopes=scopes)
        return made.id, made.text

    def browser(self, cookie: str = "", **headers: str) -> httpx.AsyncClient:
        """A client that keeps no cookies itself, since httpx sends none that is Secure over plain http."""
        carried = {"Cookie": cookie} if cookie else {}
        return web.async_client(base_url=self.plane.url, timeout=60, headers={**carried, **headers})

    @asynccontextmanager
    async def signed_in(self, user: str) -> AsyncIterator[httpx.AsyncClient]:
        """The browser of somebody, by their id."""
        session = await self.room.holders.sessions.start(user, "a browser", "127.0.0.1")
        async with self.browser(f"__Host-sd={self.room.signin.token(session)}") as client:
            yield client

    def sessions(self, user: str) -> Sequence[SessionRow]:
        return self.room.holders.sessions.of(user)

    async def audited(self, what: str, count: int = 1) -> list[tuple[str, str, str]]:
        """Actor, target and outcome of all rows about `what`, oldest first, once there are `count`: a note is written
        within a second.
        """
        rows: list[dict[str, Any]] = []

        async def there() -> bool:
            rows[:] = await self.room.audit.rows(what=what)
            return len(rows) >= count

        await until(there)
        return [(row["actor"], row["target"], row["outcome"]) for row in reversed(rows)]


def given(answer: httpx.Response) -> str:
    """The Cookie header of a browser that got this answer; "" when nothing is to be carried any more."""
    pair, _, how = answer.headers["set-cookie"].partition(";")
    return "" if "Max-Age=0" in how else str(pair)


@asynccontextmanager
async def whole_door(
    folder: Path, upstream: Address | None = None, *, rhythm: Rhythm | None = None
) -> AsyncIterator[WholeDoor]:
    """Open it, for as long as the block lasts."""
    everything = {"roles": {"key": {"may": ["infer", "list", "embed", "manage", "admin"]}}}
    desk, clock, config = FakeDesk(folder), SystemClock(), Config(access=Access.model_validate(everything))
    desk.config = config
    room = DoorRoom(folder / "data", clock, desk.journal, lambda: config)
    hashing = room.signin.hashing = Hashing(clock, cost=CHEAP, floor=0.0)
    desk.office, desk.audit, desk.usage = room.office, room.audit, room.usage
    pages = LatePages(desk, traffic=lambda: Traffic(0, 0), metrics=lambda: lambda: (b"", ""), signin=room.signin)
    running = asyncio.create_task(room.run())
    try:
        await room.holders.ledger.known.wait()
        assert room.holders.ledger.why == ""
        async with gateway(
            upstream, using=config, rhythm=rhythm, keyring=room.keyring, pages=pages, api=LateApi(desk)
        ) as plane:
            room.holders.ledger.changed.append(plane.plane.rights_changed)
            yield WholeDoor(plane, room, desk)
            desk.phase = "stopping"  # ends the live streams, as leaving does
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        hashing.close()
