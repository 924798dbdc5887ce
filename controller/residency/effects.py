"""What the line asks for, done by the residents and by orders."""

from __future__ import annotations

from typing import Final

from controller.engines.runner import Runner
from controller.errors import OrderRefused
from controller.residency.orders import Orders
from controller.residency.resident import Swap
from controller.residency.residents import Residents
from controller.scheduling.effects import Sign
from controller.scheduling.ticket import Ticket

UNLOAD_LIMIT: Final = 60.0  # seconds that somebody who asked for it waits for a runner to be gone


class MemoryEffects:
    """Implements `scheduling/effects.py: Effects`."""

    def __init__(self, residents: Residents, orders: Orders) -> None:
        self._residents = residents
        self._orders = orders

    def begin(self, swap: Swap) -> None:
        self._residents.begin(swap)

    def freed(self, key: str) -> None:
        self._residents.freed(key)

    def stay(self, key: str) -> None:
        self._residents.stay(key)

    def seen(self, ticket: Ticket, sign: Sign) -> None:
        key = ticket.runner.key
        match sign:
            case "works":
                self._residents.proven(key, ticket.granted or 0.0)
            case "doubt":
                self._residents.left(key)
            case "death":
                self._residents.died(key, f"request {ticket.number}")

    async def suspect(self, key: str) -> bool:
        return await self._residents.suspect(key)

    async def unload(self, runner: Runner) -> None:
        """As an operator's order does; where it is not loaded that is at once."""
        if runner.key not in self._residents.table:
            return
        job = await self._orders.unload(runner.name)
        await job.wait(UNLOAD_LIMIT)
        if job.state != "done":
            raise OrderRefused(job.text, "failed" if job.state == "failed" else "busy")
