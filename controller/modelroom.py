"""Part of the roof: everything about models, built once. Names, memory, residents, the line, their health, what was
learned of them, and how an operator sees and orders it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from controller.clock import Clock
from controller.config.schema import Config
from controller.desk import JobKind
from controller.engines.engine import Accelerator, Engine, ListedModel
from controller.errors import OrderRefused, Unreachable
from controller.events import Journal
from controller.residency.effects import MemoryEffects
from controller.residency.gauge import Gauge
from controller.residency.health import Health
from controller.residency.names import ModelNames
from controller.residency.orders import Job, Orders
from controller.residency.planner import Planner
from controller.residency.residents import Residents
from controller.residency.rows import Rows
from controller.residency.space import MachineSpace
from controller.residency.view import memory_document, models_document
from controller.residency.vitals import Pulse
from controller.scheduling.dispatcher import Dispatcher
from controller.scheduling.line import rules_of
from controller.scheduling.oversight import Oversight
from controller.scheduling.scheduler import Scheduler
from controller.scheduling.ticket import End
from controller.storage.database import Database
from controller.storage.learned import LearnedStore
from controller.supervision.spec import ChildState, ChildStatus

LISTED_FOR = 5.0  # seconds that the names of the installed models count as known
"""Pages and metrics ask for them once a second."""


class ModelRoom:
    """Built before anything runs; `run` keeps it going, `upstream` tells it how an engine is."""

    def __init__(
        self,
        *,
        engines: Sequence[Engine],
        gauge: Gauge,
        clock: Clock,
        journal: Journal,
        settings: Callable[[], Config],
        database: Database,
        restart: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """`restart` restarts the engine of this name, for the reason it is given."""
        self.engines = {each.name: each for each in engines}
        self._gauge, self._clock = gauge, clock
        self._settings, self._restart = settings, restart
        self._database = database
        self._learned = LearnedStore(clock, journal)
        self.names = ModelNames(engines, self._learned.get, settings)
        self._space = MachineSpace(gauge, self.engines, journal, settings)
        rows = Rows()
        planner = Planner(rows.table, self._space)
        self._scheduler = Scheduler(rules_of(settings()), rows.table, planner)
        self._residents = self.in_memory = Residents(
            rows,
            planner,
            self.engines,
            self._scheduler,
            self.names,
            self._space,
            self._learned,
            clock,
            journal,
            settings,
        )
        self._orders = Orders(self._residents, self._scheduler, self.names, clock, settings)
        self.line = Dispatcher(
            self._scheduler,
            self._residents,
            MemoryEffects(self._residents, self._orders),
            self.names,
            {name: each.readiness for name, each in self.engines.items()},
            clock,
            journal,
            settings,
            self._learned.figures,
            self._learned.keep,
        )
        self.oversight = Oversight(self.line, self._scheduler, self._residents, clock)
        self._orders.on_cut.append(self.oversight.cut)
        self._health = Health(
            self.line,
            self._residents,
            Pulse(self.engines),
            self.engines,
            clock,
            journal,
            self._learned.figures,
            self._give_up,
        )
        for each in engines:
            each.changed.append(self._forget)
        self.on_moved = self._residents.on_change
        """Told when something was loaded or unloaded, or what memory allows has changed."""
        self.known, self.look_up = self.names.known, self.names.look_up
        self.embedders = self.names.embedders  # the data plane's view of the names …
        self._tasks: asyncio.TaskGroup | None = None
        self._serving: dict[str, tuple[int | None, str | None] | None] = {}  # by engine: the one whose models we know
        self._accelerators: dict[str, Accelerator | None] = {}  # by engine
        self._installed: list[ListedModel] | None = None
        self._installed_at = 0.0

    # --- running ---

    async def run(self) -> None:
        """Until it is cancelled; what is loaded stays loaded."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for part in (self.line.run(), self._residents.run(), self._health.run()):
                    tasks.create_task(part)
                tasks.create_task(self._learned.run(self._database), name="learned")
                await asyncio.get_running_loop().create_future()
            finally:
                self._tasks = None

    def upstream(self, engine: str, status: ChildStatus) -> None:
        """An engine is another one, or as it was; it answers, or does not."""
        ready, serving = status.state is ChildState.READY, self._serving.get(engine)
        process = (status.pid, status.url)
        if not ready:
            gone = status.pid is None and status.url is None
            self._residents.upstream(engine, ready=False, adopted=False, same=not gone and process == serving)
            if gone:
                self._serving[engine] = None
            return
        same, self._serving[engine] = process == serving, process
        self._residents.upstream(engine, ready=True, adopted=status.adopted or status.pid is None, same=same)
        if not same:
            self._forget()
            self._spawn(self._learn_accelerator(engine))
            self._spawn(self._arrived(engine))

    def remember(self, engine: str) -> None:
        """It is about to be restarted on purpose: what it holds now comes back."""
        self._residents.remember(engine)

    def changed(self) -> None:  # … with this
        """Models were made, deleted or pulled, or the settings that make aliases changed."""
        self._forget()
        self._spawn(self._settle())

    def reconfigured(self) -> None:
        """The configuration is another one."""
        self.line.reconfigure()
        self.changed()

    def refuse_waiting(self, words: str) -> None:
        """Whoever still waits is told why it does not come to anything."""
        self.line.refuse_waiting(End.DOWN, words)

    def _spawn(self, work: Any) -> None:
        if self._tasks is None:
            work.close()
        else:
            self._tasks.create_task(work)

    def _forget(self) -> None:
        """What is known of the models on disk may not be so any more."""
        self._installed_at = 0.0
        self.names.changed()

    async def _arrived(self, engine: str) -> None:
        """It is another process: first the aliases it is to have, then the models, for these may be aliases."""
        await self._settle()
        self._residents.load_at_start(engine)

    async def _settle(self) -> None:
        for each in self.engines.values():
            with suppress(Unreachable):  # it is done once that is there
                if await each.settle():
                    self._forget()
        with suppress(Unreachable):
            await self.names.survey()

    async def _learn_accelerator(self, engine: str) -> None:
        with suppress(OSError):  # there is no log, or no descriptor left: what was known of it still counts
            self._accelerators[engine] = await self.engines[engine].accelerator()
            self._gauge.accelerator = next((each for each in self._accelerators.values() if each), None)

    def _give_up(self, engine: str, why: str) -> None:
        self._spawn(self._restart(engine, why))

    # --- as an operator sees it: `Desk` ---

    def queue(self) -> dict[str, Any]:
        """`Desk.queue`."""
        return self.oversight.queue()

    async def models(self) -> list[dict[str, Any]]:
        """`Desk.models`. Raises Unreachable when no engine has ever told them."""
        listed = await self._list()
        return models_document(
            listed,
            self.names.known,
            self._residents.table,
            self._scheduler.waiting(),
            self._scheduler.running(),
            lambda key: self._residents.quarantined(key) is not None,
            self._learned.figures,
            self._clock.now(),
        )

    async def _list(self) -> list[ListedModel]:
        now = self._clock.now()
        if self._installed is None or now - self._installed_at > LISTED_FOR:
            try:
                self._installed = await self.names.survey()
                self._installed_at = now
            except Unreachable:
                if self._installed is None:
                    raise
        return self._installed

    def memory(self) -> dict[str, Any]:
        """`Desk.memory`."""
        space = self._space
        return memory_document(
            space.reading,
            space.budget,
            self._residents.table,
            self.names.names_of,
            may_load=space.may_load,
            may_grant=space.may_grant,
        )

    async def order(self, kind: JobKind, model: str, **options: Any) -> Job:
        """`Desk.order`. Raises OrderRefused."""
        give: Mapping[str, Callable[..., Awaitable[Job]]] = {
            "load": self._orders.load,
            "unload": self._orders.unload,
            "switch": self._orders.switch,
            "pin": self._orders.pin,
        }
        if options.get("from_") is not None:
            options["from_"] = self.meant(options["from_"])
        return await give[kind](self.meant(model), **options)

    def meant(self, model: str) -> str:
        """`Desk.meant`."""
        return self.names.meant(model)

    def job(self, id: str) -> Job | None:
        """`Desk.job`."""
        return self._orders.jobs.get(id)

    async def pause(self, lane: float | None = None, model: str | None = None) -> None:
        """`Desk.pause`. Raises OrderRefused."""
        self.oversight.pause(lane, await self._key(model))

    async def resume(self, lane: float | None = None, model: str | None = None) -> None:
        """`Desk.resume`. Raises OrderRefused."""
        self.oversight.resume(lane, await self._key(model))

    def cancel(self, number: int, sees: Callable[[str], bool]) -> None:
        """`Desk.cancel`. Raises OrderRefused."""
        if not self.oversight.cancel(number, sees):
            raise OrderRefused(f"There is no request {number}, or not any more. Look at the line again.", "unknown")

    async def _key(self, model: str | None) -> str | None:
        if model is None:
            return None
        model = self.meant(model)
        try:
            runner = self.names.known(model) or await self.names.look_up(model)
        except Unreachable as problem:
            raise OrderRefused(str(problem), "busy") from problem
        if runner is None:
            raise OrderRefused(f"There is no model {model}.", "unknown")
        return runner.key
