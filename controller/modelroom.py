"""Part of the roof: everything about models, built once. Names, memory, residents, the line, their health, what was
learned of them, and how an operator sees and orders it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from controller.clock import Clock
from controller.config.schema import Config
from controller.desk import JobKind
from controller.engines.ollama.accelerator import accelerator_limit
from controller.engines.ollama.aliases import Aliases
from controller.engines.ollama.client import OllamaClient, Runners
from controller.engines.ollama.needs import Kept, prompt_cache
from controller.errors import OrderRefused, Unreachable
from controller.events import Journal
from controller.logtail import Tail
from controller.readiness import Readiness
from controller.residency.effects import MemoryEffects
from controller.residency.gauge import Gauge, ram_size
from controller.residency.health import Health
from controller.residency.names import Names
from controller.residency.orders import Job, Orders
from controller.residency.planner import Planner
from controller.residency.residents import Residents
from controller.residency.rows import Rows
from controller.residency.space import MachineSpace, is_here
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
LOG_LINES = 5000  # of Ollama's log, in which its last start is looked for


class ModelRoom:
    """Built before anything runs; `run` keeps it going, `upstream` tells it how Ollama is."""

    def __init__(
        self,
        *,
        ollama: OllamaClient,
        pid: Callable[[], int | None],
        gauge: Gauge,
        readiness: Readiness,
        clock: Clock,
        journal: Journal,
        settings: Callable[[], Config],
        database: Database,
        ollama_log: Path,
        restart: Callable[[str], Awaitable[None]],
    ) -> None:
        """`restart` restarts Ollama, for the reason it is given."""
        self._ollama, self._gauge, self._clock = ollama, gauge, clock
        self._settings, self._log, self._restart = settings, ollama_log, restart
        self._database = database
        self._learned = LearnedStore(clock, journal)
        self._pid = pid
        self.names = Names(ollama, self._learned.get, settings, kept=self._kept)
        self._space = MachineSpace(gauge, journal, settings)
        rows = Rows()
        planner = Planner(rows.table, self._space)
        self._scheduler = Scheduler(rules_of(settings()), rows.table, planner)
        runners = Runners(pid)
        self._residents = self.in_memory = Residents(
            rows,
            planner,
            ollama,
            runners,
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
            readiness,
            clock,
            journal,
            settings,
            self._learned.figures,
            self._learned.keep,
        )
        self.oversight = Oversight(self.line, self._scheduler, self._residents, clock)
        self._orders.on_cut.append(self.oversight.cut)
        self._aliases = Aliases(ollama, settings, journal)
        self._health = Health(
            self.line, self._residents, Pulse(runners), ollama, clock, journal, self._learned.figures, self._give_up
        )
        readiness.learnt.append(self._forget)
        self.on_moved = self._residents.on_change
        """Told when something was loaded or unloaded, or what memory allows has changed."""
        self.known, self.look_up = self.names.known, self.names.look_up
        self.embedders = self.names.embedders  # the data plane's view of the names …
        self._tasks: asyncio.TaskGroup | None = None
        self._serving: tuple[int | None, str | None] | None = None  # the Ollama whose models we know
        self._installed: list[dict[str, Any]] | None = None
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

    def upstream(self, status: ChildStatus) -> None:
        """Ollama is another one, or as it was; it answers, or does not."""
        ready = status.state is ChildState.READY
        process = (status.pid, status.url)
        if not ready:
            gone = status.pid is None and status.url is None
            self._residents.upstream(ready=False, adopted=False, same=not gone and process == self._serving)
            if gone:
                self._serving = None
            return
        same, self._serving = process == self._serving, process
        external = self._settings().server.ollama.mode != "spawn" and status.pid is None
        self._residents.upstream(ready=True, adopted=status.adopted or external, same=same)
        if not same:
            self._forget()
            self._spawn(self._learn_accelerator())
            self._spawn(self._arrived())

    def remember(self) -> None:
        """Ollama is about to be restarted on purpose: what is in memory now comes back."""
        self._residents.remember()

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

    def _kept(self) -> Kept | None:
        """What runners are told to keep in RAM. None: by somebody else, or nobody. Of another machine's RAM nothing is
        ours to promise.
        """
        wish = self._settings().server.ollama
        if wish.mode == "spawn" or self._pid() is not None:
            return Kept(prompt_cache(self._settings().models, ram_size()))
        return None if wish.url is None or is_here(wish.url) else Kept(0, checkpoints=0)

    def _forget(self) -> None:
        """What is known of the models on disk may not be so any more."""
        self._installed_at = 0.0
        self.names.changed()

    async def _arrived(self) -> None:
        """It is another Ollama: first the aliases it is to have, then the models, for these may be aliases."""
        await self._settle()
        self._residents.load_at_start()

    async def _settle(self) -> None:
        try:
            if await self._aliases.settle():
                self._forget()
            await self.names.survey()
        except Unreachable:
            pass  # it is done once Ollama is there

    async def _learn_accelerator(self) -> None:
        with suppress(OSError):  # there is no log, or no descriptor left: what was known of it still counts
            self._gauge.accelerator = accelerator_limit(await asyncio.to_thread(_last_words, self._log))

    def _give_up(self, why: str) -> None:
        self._spawn(self._restart(why))

    # --- as an operator sees it: `Desk` ---

    def queue(self) -> dict[str, Any]:
        """`Desk.queue`."""
        return self.oversight.queue()

    async def models(self) -> list[dict[str, Any]]:
        """`Desk.models`. Raises Unreachable when Ollama has never told them."""
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

    async def _list(self) -> list[dict[str, Any]]:
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


def _last_words(log: Path) -> str:
    with Tail(log, LOG_LINES) as tail:
        return "\n".join(tail.read())
