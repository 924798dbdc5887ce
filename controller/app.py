"""The roof: builds each part once, enters it, leaves it in reverse. What decides or acts lives on the floors below."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from controller import wanted
from controller.answering.refusals import CUT
from controller.answering.shared import Shared
from controller.api.late import LateApi
from controller.auth.visitor import arrival
from controller.clock import SystemClock
from controller.config.change import Change
from controller.config.last_good import load_last_good
from controller.config.load import load
from controller.config.problem import ConfigInvalid
from controller.config.processes import TUNNEL
from controller.config.schema import Config, Server
from controller.config.start import StartPlan, how_to_start
from controller.config.watch import Watch
from controller.control import server as control
from controller.desk import OPERATOR, JobKind, JobView, every_model
from controller.doorroom import DoorRoom
from controller.engines.ollama.client import OllamaClient
from controller.engines.ollama.inside import KnownInside
from controller.engines.ollama.ollama import Ollama
from controller.engines.ollama.program import OllamaServe
from controller.engines.ollama.renewal import Disk
from controller.engines.ollama.renewing import Renewing
from controller.engines.ollama.settings import OLLAMA
from controller.errors import SeadragonError
from controller.events import Journal
from controller.histogram import BOUNDS
from controller.listeners import Listeners
from controller.logs import Log, terminal
from controller.machine import heap, lock, openfiles
from controller.machine.eventloop import new_loop
from controller.machine.power import Power
from controller.machine.socketpath import private_folder
from controller.modelroom import ModelRoom
from controller.pages.late import LatePages
from controller.pages.view import Traffic
from controller.paths import Paths
from controller.plain import fault_words
from controller.presence import can_be_found, stay_found
from controller.proxy.app import DataPlane
from controller.proxy.routes import ROUTES
from controller.proxy.tally import Tally
from controller.readiness import Readiness
from controller.refusal import Reason
from controller.residency.gauge import Gauge, gauge_for_this_machine, ram_size
from controller.supervision.programs import Program, Workspace
from controller.supervision.roster import Roster
from controller.supervision.spec import ChildState, ChildStatus
from controller.supervision.supervisor import Supervisor

Outcome = Literal["left", "restart", "failed"]
Leave = Literal["left", "restart", "rest"]
"""What leaving comes to. rest: stay up with everything stopped, since a service manager restarts whatever exits."""

RESTARTED = "SEADRAGON_RESTARTED"
"""In the environment of a controller that takes another's place: what that one had loaded is not to be lost."""
LOOK_FOR_ADDRESSES = 5.0  # seconds between two tries to open the listeners that could not be opened
LOOK_AT_CERTIFICATES = 60.0  # seconds between two looks at whether one was renewed
LAST_BYTES = 2.0  # seconds that connections get to take what is already written for them


def run(
    paths: Paths,
    port: int | None = None,
    service: bool = False,
    *,
    gauge: Gauge | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] = new_loop,
) -> int:
    """Serve until told to leave; the exit code.

    `port` replaces the first direct listener's. `service`: a service manager restarts what exits, so a broken YAML is
    no reason to. `gauge` stands in for the machine's memory, `loop` makes another loop than this platform's: for tests
    alone, no setting reaches them.
    """
    os.umask(0o077)
    restarted = os.environ.pop(RESTARTED, "") != ""
    try:
        _make_ours(paths)
        with lock.held(paths.data, time.time()) as held:
            start = _decide(paths, service)
            if start.kind == "leave":
                print(*start.lines, sep="\n", file=sys.stderr)
                return 2
            instead = Instead(gauge)
            controller = Controller(paths, start, instead, held, port=port, service=service, restarted=restarted)
            with asyncio.Runner(loop_factory=loop) as runner:
                outcome = runner.run(controller.live())
    except SeadragonError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Seadragon cannot run: {fault_words(error)}.", file=sys.stderr)
        return 1
    if outcome == "restart":
        return _begin_anew()
    return 1 if outcome == "failed" else 0


def _begin_anew() -> int:
    """Become the next controller, started as this one was: script or -m, any folder. Returns only when that fails.

    The same process, under a service manager too: one that sees it leave may wait longer before it starts the next than
    the keepers hold their children, and all that is loaded would be lost.
    """
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, RESTARTED: "yes"})
    except OSError as error:
        print(f"Seadragon has left and cannot begin anew: {fault_words(error)}.", file=sys.stderr)
    return 1


def _make_ours(paths: Paths) -> None:
    """The folders that are written to. Raises SeadragonError, naming the one that cannot be had."""
    for option, folder in (("--data", paths.data), ("--logs", paths.logs)):
        try:
            private_folder(folder)
        except OSError as error:
            raise SeadragonError(f"{fault_words(error)}. Choose a folder of your own with {option}.") from error


def _decide(paths: Paths, service: bool) -> StartPlan:
    try:
        return how_to_start(load(paths.config, os.environ), None, attended=not service)
    except ConfigInvalid as invalid:
        kept = load_last_good(paths.data, paths.config, os.environ) if service else None
        return how_to_start(invalid.problems, kept, attended=not service)


@dataclass(frozen=True, slots=True)
class Instead:
    """What tests put in the place of the real thing."""

    gauge: Gauge | None = None


class Controller:
    """Everything that runs, built once. It is the `Desk` that the control socket and the pages talk to."""

    def __init__(
        self,
        paths: Paths,
        start: StartPlan,
        instead: Instead,
        held: lock.Lock,
        *,
        port: int | None,
        service: bool,
        restarted: bool,
    ) -> None:
        self.version = version("seadragon")
        self.started_at = time.time()
        self.data, self.logs = paths.data, paths.logs
        self.phase = "safe" if start.kind == "safe" else "running"
        self._paths, self._start, self._port, self._service = paths, start, port, service
        self._restarted = restarted
        self._lock = held
        self._leaving = asyncio.Event()
        self._hurry = asyncio.Event()
        self._leave: Leave = "left"
        self._before = self.phase  # it began to leave
        self._listened = False
        first = start.loaded.config if start.loaded else Config()
        clock = self._clock = SystemClock()
        self._log = Log(paths.log, first.server.log, console=terminal())
        self.journal = Journal(clock, said=self._log.event)
        self._watch = Watch(
            paths.config,
            start,
            data=paths.data,
            apply=self._apply,
            journal=self.journal,
            clock=clock,
            environment=os.environ,
        )
        self.readiness, self._inside = Readiness("Ollama"), KnownInside()
        door = self._door = DoorRoom(paths.data, clock, self.journal, lambda: wanted.on_port(self.config, port))
        self.office, self.usage, self.audit = door.office, door.usage, door.audit
        self._ollama = Ollama(
            OllamaClient(lambda: self._child(OLLAMA).url, lambda: self._inside.now),
            lambda: self._child(OLLAMA).pid,
            self._inside,
            self.readiness,
            lambda: self.config,
            clock,
            self.journal,
            log=paths.logs / f"{OLLAMA}.log",
            ram=ram_size,
        )
        self._models = ModelRoom(
            engines=[self._ollama],
            gauge=instead.gauge or gauge_for_this_machine(),
            clock=clock,
            journal=self.journal,
            settings=lambda: self.config,
            database=door.database,
            restart=self._restart_hung,
        )
        tally = self._tally = Tally()
        self._pages = LatePages(
            self,
            traffic=lambda: Traffic(tally.runs.streams, tally.runs.held),
            metrics=self._metrics,
            signin=door.signin,
        )
        self._api = LateApi(self)
        self._answering = Shared(
            [self._ollama], self._models.line, self._models, clock, tally.runs, used=door.usage.note
        )
        self._plane = DataPlane(
            self._answering,
            settings=lambda: self.config,
            pages=self._pages,
            api=self._api,
            in_memory=self._models.in_memory,
            tally=tally,
            access_log=self._log.access,
            noted=door.noting,
            keyring=door.keyring,
            https_doors=lambda: self._listeners.https_doors,
            known=door.holders.ledger.known,
        )
        door.holders.ledger.changed.append(self._plane.rights_changed)
        self._models.oversight.on_cut.append(self._answering.open.cut_short)
        self._models.on_moved.append(self._plane.models_moved)
        self._power = Power(
            lambda: self.config.server.power.awake,
            lambda: self._answering.busy or self._models.in_memory.moving,
            clock,
            self.journal,
        )
        self._renewing = Renewing(
            lambda: self.config.server.ollama.renew,
            self._on_disk,
            lambda: self.phase != "running" or self._answering.busy or self._models.in_memory.moving,
            lambda program: self._wanted_ollama().attempt(program),
            lambda: self._roster.restart(OLLAMA),
            clock,
            self.journal,
        )
        self._listeners = Listeners(lambda listener: self._plane.listener(arrival(listener)))
        self._roster: Roster

    def _metrics(self) -> Callable[[], tuple[bytes, str]]:
        from controller.metrics import Metrics  # with the pages, once it listens

        return Metrics(
            self,
            self._tally,
            self._models.line.tally,
            routes=[(route.dialect.value, route.path) for route in ROUTES],
            reasons=list(Reason),
            bounds=BOUNDS,
            log_dropped=lambda: self._log.dropped,
        ).text

    # --- what an operator may ask ---

    @property
    def config(self) -> Config:
        return self._watch.running

    @property
    def config_problems(self) -> list[str]:
        return list(self._watch.problems)

    @property
    def listeners(self) -> list[dict[str, object]]:
        return [one.to_json() for one in self._listeners]

    @property
    def awaited(self) -> list[dict[str, str]]:
        return [one.to_json() for one in self._listeners.awaited]

    @property
    def storage_trouble(self) -> str:
        return self._door.trouble

    @property
    def ready(self) -> bool:
        return self._plane.ready

    def children(self) -> list[ChildStatus]:
        return list(self._roster)

    async def start_child(self, name: str) -> None:
        await self._roster.start(name)

    async def stop_child(self, name: str) -> None:
        await self._roster.stop(name)

    async def restart_child(self, name: str) -> None:
        await self._roster.restart(name)

    async def reload(self) -> list[str]:
        changes = await self._watch.reload_now()
        self._renew()
        return [*changes, *self._unopened()]

    def queue(self) -> dict[str, Any]:
        return self._models.queue()

    async def models(self) -> list[dict[str, Any]]:
        return await self._models.models()

    def memory(self) -> dict[str, Any]:
        return self._models.memory()

    def meant(self, model: str) -> str:
        return self._models.meant(model)

    async def order(self, kind: JobKind, model: str, **options: Any) -> JobView:
        return await self._models.order(kind, model, **options)

    def job(self, id: str) -> JobView | None:
        return self._models.job(id)

    async def pause(self, lane: float | None = None, model: str | None = None) -> None:
        await self._models.pause(lane, model)

    async def resume(self, lane: float | None = None, model: str | None = None) -> None:
        await self._models.resume(lane, model)

    async def cancel(self, number: int, sees: Callable[[str], bool] = every_model) -> None:
        self._models.cancel(number, sees)

    async def back_up(self, target: Path | None = None) -> Path:
        return await self._door.back_up(target)

    def leave(self, *, keep_children: bool) -> None:
        self._begin_to("restart" if keep_children else "rest" if self._service else "left")

    def _begin_to(self, leave: Leave) -> None:
        """Asked again, it hurries; but whoever only rests may still be told to leave."""
        if self._leaving.is_set() and (self._leave != "rest" or leave == "rest"):
            self._hurry.set()
            return
        self._leave, self._before, self.phase = leave, self.phase, "draining"
        self._leaving.set()

    # --- the life of the controller ---

    async def live(self) -> Outcome:
        """From the first listener to the last goodbye. A loop that fails ends it all, loudly: "failed".

        Raises SeadragonError or OSError for what kept it from listening.
        """
        with self._log:
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._serve(tasks)
            except ExceptionGroup as group:
                first, *_ = causes = list(_causes(group))
                if not self._listened and isinstance(first, SeadragonError | OSError):
                    raise first from None
                told, trace = ", ".join(map(repr, causes)), "".join(traceback.format_exception(group))
                words = f"A part of Seadragon failed, so it leaves: {told}"
                self.journal.say("controller", words, level="error", trace=trace)
                return "failed"
        return "restart" if self._leave == "restart" else "left"

    async def _serve(self, tasks: asyncio.TaskGroup) -> None:
        self._roster = Roster(tasks, self._supervisor, self._quiet)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._signals())
            stack.push_async_callback(self._answering.close)
            stack.push_async_callback(self._listeners.close, LAST_BYTES)
            await self._listen(self.config)
            counter = await stack.enter_async_context(control.serve(self, self._paths.socket))
            stack.callback(self._roster.let_go)
            if self.phase == "safe":
                self.readiness.set("down", "The configuration is broken; its owner must put it right first.")
            else:
                self._roster.become(self._programs(self.config))
            stack.callback(tasks.create_task(self._models.run(), name="models").cancel)
            stack.callback(tasks.create_task(self._door.run(), name="door").cancel)
            stack.callback(tasks.create_task(self._watch.run(), name="config").cancel)
            stack.callback(tasks.create_task(self._renew_certificates(), name="certificates").cancel)
            stack.callback(tasks.create_task(self._await_addresses(), name="addresses").cancel)
            stay = stay_found(self._lock, counter, self._paths, self._clock, self.journal)
            stack.callback(tasks.create_task(stay, name="found").cancel)
            stack.callback(tasks.create_task(self._power.run(), name="power").cancel)
            stack.callback(tasks.create_task(self._renewing.run(), name="renewing").cancel)
            self._greet()
            stack.callback(tasks.create_task(self._settle(), name="settle").cancel)
            while not await self._left():
                self._rest()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop, numbers = asyncio.get_running_loop(), [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which is what `nohup` asks for
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._begin_to, "left")
        yield
        for number in numbers:
            loop.remove_signal_handler(number)

    async def _settle(self) -> None:
        """What can wait until clients are heard."""
        await self._pages.warm()
        await self._api.warm()
        await self._door.holders.ledger.known.wait()  # the database is open then, or will not be
        self._door.holders.names.tell_mistaken()
        heap.settle()

    async def _renew_certificates(self) -> None:
        while True:
            await self._clock.sleep(LOOK_AT_CERTIFICATES)
            self._renew()

    async def _await_addresses(self) -> None:
        """A service may start before the network or a VPN does, and another program may leave its port."""
        while True:
            await self._clock.sleep(LOOK_FOR_ADDRESSES)
            for address in await self._listeners.look_again():
                self.journal.say("controller", f"Seadragon listens on {address} now, too.")

    def _renew(self) -> None:
        for each in self._listeners.renew():
            self.journal.say("controller", each.text, level="info" if each.good else "warning")

    def _greet(self) -> None:
        where = " and ".join(str(one["url"]) for one in self.listeners)
        self._listened = True
        self.journal.say("controller", f"Seadragon {self.version} listens on {where or 'nothing'}.", pid=os.getpid())
        for line in self._start.lines:
            self.journal.say("config", line, level="warning" if self._start.kind == "run" else "error")

    async def _left(self) -> bool:
        """Wait until it is told to leave, and do so; False when it only rests."""
        await self._leaving.wait()
        await self._drain()
        return self._leave != "rest"

    def _rest(self) -> None:
        self._leaving.clear()
        self._hurry.clear()
        self._answering.open.draining = False
        self.phase = self._before
        words = "Everything is stopped. Seadragon itself stays up: its service manager would only start it again."
        self.journal.say("controller", words)

    async def _drain(self) -> None:
        """Tunnel, answers in flight, children: in that order, each only as long as it may take; less when hurried."""
        self.journal.say("controller", "Leaving: answers in flight may finish, nothing new is taken.")
        last: list[Coroutine[None, None, Any]] = [self._answering.open.drained(self.config.server.drain)]
        if self._leave != "restart" and any(child.name == TUNNEL for child in self.children()):
            last.append(self._roster.stop(TUNNEL))
        await _unless(self._hurry, *last)
        self._models.refuse_waiting(CUT.text)
        await self._answering.open.cut()
        self.phase = "stopping"
        if self._leave != "restart" or not can_be_found(self._paths, self.children()):
            await self._roster.stop_all()

    # --- a configuration at work ---

    async def _apply(self, old: Config, new: Config, change: Change) -> None:
        """Put `new` to work. First what can fail, the tunnel's rules and the listeners: then nothing has changed."""
        programs = self._programs(new)
        if old.server.tunnel != new.server.tunnel or old.server.listeners != new.server.listeners:
            await wanted.accept(programs)
        await self._listen(new)
        self._log.apply(new.server.log)
        if self.phase == "safe":
            self.phase = "running"
        self._models.reconfigured()
        self._roster.become(programs, change.drains)
        self._door.holders.names.tell_mistaken()
        self.audit.note("configuration.change", actor=OPERATOR.actor, facts={"changes": list(change.sentences)})

    async def _listen(self, config: Config) -> None:
        server = config.server
        self._make_room(server)
        goal = wanted.listeners(wanted.on_port(config, self._port), self._paths.run)
        attended = not (self._service or self._restarted)  # else nothing would be gained by leaving
        before = {one["address"] for one in self.awaited}
        await self._listeners.become(goal, server.limits, server.drain, patient=not attended and not self._listened)
        for words in self._unopened(before):
            self.journal.say("controller", words, level="warning")

    def _unopened(self, known: Collection[str] = ()) -> list[str]:
        """What there is to tell of listeners that could not be opened, but for those that were told of before."""
        fresh = [one for one in self.awaited if one["address"] not in known]
        return [f"{one['address']} is not open yet: {one['why']}. It is tried every few seconds." for one in fresh]

    def _make_room(self, server: Server) -> None:
        openfiles.allow_at_least(max(openfiles.USUAL, server.files_needed))
        if (files := openfiles.now()) < server.files_needed:
            words = (
                f"Only {files} files may be open at a time here, and all connections together may need "
                f"{server.files_needed}: raise the system's limit (ulimit -Hn shows it), or lower limits.connections."
            )
            self.journal.say("controller", words, level="warning")

    def _programs(self, config: Config) -> list[Program]:
        return wanted.programs(config, self._paths, os.environ, lambda place: self._serve_ollama(config, place))

    def _supervisor(self, program: Program) -> Supervisor:
        grace: Callable[[], float] = lambda: self.config.server.adopt_grace  # noqa: E731
        supervisor = Supervisor(
            program, home=self._paths.run, clock=self._clock, journal=self.journal, adopt_grace=grace
        )
        if program.name == OLLAMA:
            supervisor.on_change.append(self._ollama_changed)
        return supervisor

    @contextlib.asynccontextmanager
    async def _quiet(self, name: str) -> AsyncIterator[None]:
        """Nothing that uses the child is under way: its answers are finished, and new requests are held."""
        if name != OLLAMA:
            yield
            return
        with self.readiness.paused("Ollama restarts."):
            await self._answering.open.quiet(self.config.server.drain)
            self._models.remember(OLLAMA)
            yield

    # --- Ollama, as the gateway and the pages need it ---

    def _child(self, name: str) -> ChildStatus:
        return next(child for child in self._roster if child.name == name)

    def _ollama_changed(self, status: ChildStatus) -> None:
        if status.state is ChildState.READY:
            self._plane.models_changed()
        self._models.upstream(OLLAMA, status)

    def _wanted_ollama(self) -> OllamaServe:
        return self._serve_ollama(self.config, wanted.workspace(self.config, self._paths, os.environ))

    def _serve_ollama(self, config: Config, place: Workspace) -> OllamaServe:
        return OllamaServe(config, place, self.readiness, self._inside, ram_size)

    async def _on_disk(self) -> Disk | None:
        """Of an Ollama that is not ours nobody knows its program."""
        ours = next((child for child in self.children() if child.name == OLLAMA), None)
        if ours is None or ours.state is not ChildState.READY or ours.pid is None:
            return None
        return await asyncio.to_thread(self._wanted_ollama().disk, self._roster.note(OLLAMA))

    async def _restart_hung(self, engine: str, why: str) -> None:
        await self._roster.restart(engine)


def _causes(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    """What really happened, out of groups within groups."""
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _causes(error)
        else:
            yield error


async def _unless(hurried: asyncio.Event, *work: Coroutine[None, None, Any]) -> None:
    """Do all of `work`, or as much of it as was done when `hurried` was set."""
    tasks = [asyncio.ensure_future(each) for each in work]
    done = asyncio.gather(*tasks, return_exceptions=True)
    hurry = asyncio.ensure_future(hurried.wait())
    await asyncio.wait((done, hurry), return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, hurry):
        task.cancel()
    await asyncio.gather(done, hurry, return_exceptions=True)
