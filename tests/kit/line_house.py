"""A line around the real scheduler, with residents that load on the test's word and a clock wound by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from controller.config.schema import Config
from controller.engines.runner import Runner
from controller.events import Journal
from controller.readiness import Address, Readiness
from controller.residency.learned import Learned
from controller.scheduling.dispatcher import Dispatcher
from controller.scheduling.line import rules_of
from controller.scheduling.oversight import Oversight
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import Caps, State, Ticket, Turned, Wish
from tests.fakes.clock import WoundClock
from tests.fakes.residents import FakeResidents, runner

HERE = Address("127.0.0.1", 1, 1)
A, B = runner("a"), runner("b")


class FakeNames:
    """What each name means; an exception stands for an Ollama that does not answer."""

    def __init__(self) -> None:
        self.epoch = 0
        self.means: dict[str, Runner | None | Exception] = {"a": A, "b": B}

    def known(self, model: str) -> Runner | None:
        found = self.means.get(model)
        return found if isinstance(found, Runner) else None

    async def look_up(self, model: str) -> Runner | None:
        await asyncio.sleep(0)
        found = self.means[model]
        if isinstance(found, Exception):
            raise found
        return found

    def change(self, model: str, means: Runner | None | Exception) -> None:
        self.means[model] = means
        self.epoch += 1


@dataclass
class House:
    clock: WoundClock
    readiness: Readiness
    residents: FakeResidents
    names: FakeNames
    scheduler: Scheduler
    dispatcher: Dispatcher
    oversight: Oversight
    journal: Journal
    learned: dict[str, Learned]
    config: list[Config]

    def granted(self, ticket: Ticket) -> bool:
        return ticket.state is State.GRANTED

    def ask(self, model: str = "a", caller: str = "anna", *, lane: float = 1.0, caps: Caps = Caps()) -> Ticket:  # noqa: B008
        entered = self.try_(model, caller, lane=lane, caps=caps)
        assert isinstance(entered, Ticket)
        return entered

    def try_(
        self,
        model: str = "a",
        caller: str = "anna",
        *,
        lane: float = 1.0,
        caps: Caps = Caps(),  # noqa: B008 - frozen
    ) -> Ticket | Turned:
        meant = self.names.means[model]
        assert isinstance(meant, Runner)
        return self.dispatcher.enter(Wish(caller, lane, model, meant, 100, 1, 1800.0, caps))

    async def settle(self) -> None:
        await self.clock.wind(0)


@asynccontextmanager
async def house(*, ready: bool = True, most: int = 1) -> AsyncIterator[House]:
    clock, readiness, names, learned = WoundClock(), Readiness("Ollama"), FakeNames(), dict[str, Learned]()
    config = [Config()]
    residents = FakeResidents(clock, most=most)
    scheduler = Scheduler(rules_of(config[0]), residents.table, residents)
    journal = Journal(clock)
    dispatcher = Dispatcher(
        scheduler,
        residents,
        residents,
        names,
        {"ollama": readiness},
        clock,
        journal,
        lambda: config[0],
        learned,
        learned.__setitem__,
    )
    oversight = Oversight(dispatcher, scheduler, residents, clock)
    running = asyncio.create_task(dispatcher.run())
    if ready:
        readiness.set("ready", "Ollama answers.", HERE)
    await clock.wind(0)
    try:
        yield House(clock, readiness, residents, names, scheduler, dispatcher, oversight, journal, learned, config)
    finally:
        running.cancel()
        await asyncio.wait([running])
