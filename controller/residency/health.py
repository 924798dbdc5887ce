"""The loop that watches whether runners get on with what they were given. Killing one comes before killing its engine.

It ticks only while an answer is being written, or a runner that was ended is on its way back. What it ends fails: the
gateway replays what brought no byte yet, and ends the rest with a reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from controller.clock import Clock, Sleeps
from controller.engines.engine import Engine
from controller.engines.runner import Runner
from controller.errors import Unreachable
from controller.events import Journal
from controller.residency.gpu import gpu_now
from controller.residency.learned import Learned
from controller.residency.metal import Metal
from controller.residency.progress import Flight, Progress, Rule, Sample, Verdict
from controller.residency.resident import Presence, Resident
from controller.residency.silence import Silence
from controller.residency.vitals import Vitals
from controller.scheduling.ticket import End, Ticket

BYTES_PER_TOKEN = 3  # of a request's body, at least: what a prompt's length is guessed from
WORDS: Mapping[Verdict, str] = {
    Verdict.STUCK: "it was asked, and neither brought nor did anything",
    Verdict.STOPPED: "a signal had stopped it",
}


@dataclass(frozen=True, slots=True)
class HealthPace:
    """Seconds; tests scale them down."""

    tick: float = 1.0
    canary: float = 30.0  # longest a token of a loaded and idle model may take
    recovery: float = 600.0  # how long after being ended a runner must not get stuck again
    slept: float = 30.0  # longer than this, and what was seen before the machine slept says nothing


class InFlight(Protocol):
    """Whose answers are being written; `scheduling/dispatcher.py` is the real one."""

    flying: asyncio.Event  # set while there are any

    def running(self) -> Iterable[Ticket]: ...


class RunnerOwner(Protocol):
    """Who owns the runners; `residency/residents.py` is the real one."""

    on_failed: list[Callable[[str, End, str], None]]

    @property
    def table(self) -> Mapping[str, Resident]: ...
    async def lives(self, key: str) -> bool: ...
    async def kill(self, key: str, why: str) -> None: ...


class Feels(Protocol):
    """What runners' processes do; `residency/vitals.py` has the real one."""

    async def of(self, runner: Runner) -> Vitals: ...
    def forget(self, key: str) -> None: ...


@dataclass(slots=True)
class _Patient:
    """A runner that was ended for being stuck, until it has shown that it works again."""

    runner: Runner
    since: float
    asked: bool = False


class Health:
    """`restart` is told, with the reason, when ending a runner was not enough: its engine has to be started anew."""

    def __init__(
        self,
        line: InFlight,
        residents: RunnerOwner,
        pulse: Feels,
        engines: Mapping[str, Engine],
        clock: Clock,
        journal: Journal,
        learned: Mapping[str, Learned],
        restart: Callable[[str, str], None],
        *,
        gpu: Callable[[], Awaitable[Metal | None]] = gpu_now,
        rule: Rule | None = None,
        pace: HealthPace | None = None,
    ) -> None:
        self._line = line
        self._residents = residents
        self._pulse = pulse
        self._engines = engines
        self._clock = clock
        self._journal = journal
        self._learned = learned
        self._restart = restart
        self._gpu = gpu
        self._rule = rule or Rule()
        self._pace = pace or HealthPace()
        self._watched: dict[str, Progress] = {}  # by runner key, as all below
        self._silences: dict[str, Silence] = {}
        self._patients: dict[str, _Patient] = {}
        self._sleeps = Sleeps(clock)
        residents.on_failed.append(self._load_failed)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                if not self._patients:
                    await self._line.flying.wait()
                if self._woke():
                    tasks.create_task(self._ask_the_idle())
                with suppress(OSError):  # no descriptors are left: it is looked at again soon
                    await self._look()
                for key in self._recovered():
                    tasks.create_task(self._ask_patient(key))
                await self._clock.sleep(self._pace.tick)

    # --- one tick ---

    async def _look(self) -> None:
        aloft: dict[str, list[Ticket]] = {}
        for ticket in self._line.running():
            aloft.setdefault(ticket.runner.key, []).append(ticket)
        for key in list(self._watched.keys() - aloft.keys()):
            self._forget(key)
        flights = {key: tuple(map(self._flight, tickets)) for key, tickets in aloft.items()}
        silent = {key for key, each in flights.items() if self._progress(key).silent(each)}
        gpu = (await self._gpu() if silent else None) or Metal()
        for key, tickets in aloft.items():
            runner = tickets[0].runner
            vitals = await self._pulse.of(runner) if key in silent else Vitals()
            own_gpu = gpu.worked(*vitals.pids)
            sample = Sample(
                self._clock.now(),
                flights[key],
                vitals.processor,
                gpu.share,
                own_gpu,
                stopped=vitals.stopped,
                slots=vitals.slots,
            )
            self._note_work(key, tickets, sample)
            verdict = self._progress(key).see(sample)
            if verdict is not Verdict.BUSY:
                await self._end(runner, verdict)

    def _note_work(self, key: str, tickets: Iterable[Ticket], sample: Sample) -> None:
        """Write on each ticket that brings nothing whether it is worked on: the gateway ends no such answer."""
        worked_on = self._silences.setdefault(key, Silence(self._rule)).see(sample)
        for ticket in tickets:
            if ticket.number in worked_on:
                ticket.worked = sample.at

    def _progress(self, key: str) -> Progress:
        progress = self._watched.get(key)
        if progress is None:
            progress = self._watched[key] = Progress(self._rule)
        return progress

    def _flight(self, ticket: Ticket) -> Flight:
        rate = self._learned.get(ticket.runner.key, Learned()).prompt_rate
        tokens = min(ticket.size / BYTES_PER_TOKEN, ticket.runner.context or ticket.size)
        since = self._clock.now() if ticket.granted is None else ticket.granted
        return Flight(ticket.number, since, ticket.moved, tokens / rate if rate else 0.0)

    def _forget(self, key: str) -> None:
        self._watched.pop(key, None)
        self._silences.pop(key, None)
        self._pulse.forget(key)

    async def _end(self, runner: Runner, verdict: Verdict) -> None:
        key = runner.key
        self._forget(key)
        if verdict is Verdict.STUCK:
            if key in self._patients:
                self._give_up(runner, f"{runner.name} got stuck again.")  # and what is stuck ends: nobody waits for it
            else:
                self._patients[key] = _Patient(runner, self._clock.now())
        await self._residents.kill(key, WORDS[verdict])

    # --- is ending the runner enough? ---

    def _recovered(self) -> list[str]:
        """Take those off the list that work again, and return who has to be asked: loaded, and with nothing to do."""
        now, ask = self._clock.now(), []
        for key, patient in list(self._patients.items()):
            flights = [each for each in self._line.running() if each.runner.key == key]
            works = any(each.moved and (each.granted or 0.0) > patient.since for each in flights)
            row = self._residents.table.get(key)
            if works or now - patient.since > self._pace.recovery:
                del self._patients[key]
            elif row is not None and row.presence is Presence.RESIDENT and not flights and not patient.asked:
                patient.asked = True
                ask.append(key)
        return ask

    async def _ask_patient(self, key: str) -> None:
        row, patient, began = self._residents.table.get(key), self._patients.get(key), self._clock.now()
        if patient is None:
            return
        if row is None or not await self._lives(key):
            patient.asked = False  # again, once it is there: what has gone has not shown that it works
        elif await self._speaks(row.runner):
            self._patients.pop(key, None)
        elif self._patients.get(key) is not patient:
            return  # its engine is being restarted already, or it has shown meanwhile that it works
        elif self._used_since(key, row, began):
            patient.asked = False  # again, when it has nothing to do
        else:
            self._give_up(row.runner, f"{row.runner.name} was loaded again, and brings nothing.")

    def _load_failed(self, key: str, as_: End, words: str) -> None:
        patient = self._patients.get(key)
        if patient is not None and as_ is End.LOAD_FAILED:
            self._give_up(patient.runner, words)

    def _give_up(self, runner: Runner, why: str) -> None:
        engine = self._engines[runner.engine]
        self._patients = {key: each for key, each in self._patients.items() if each.runner.engine != engine.name}
        self._watched.clear()
        words = f"Ending its runner did not help: {engine.readiness.title} is restarted. {why}"
        self._journal.say(engine.name, words, level="error")
        self._restart(engine.name, why)

    # --- canaries: a token of a model that is loaded; none is ever loaded for it ---

    def _woke(self) -> bool:
        """Whether the machine has slept since the last look. What was seen before is forgotten then."""
        slept = self._sleeps.since() > self._pace.slept
        if slept:
            self._watched.clear()
            self._silences.clear()
        return slept

    async def _ask_the_idle(self) -> None:
        """After a sleep: whatever is loaded and has nothing to do is asked for a token."""
        for key, row in list(self._residents.table.items()):
            began = self._clock.now()
            if row.presence is not Presence.RESIDENT or self._busy(key) or not await self._lives(key):
                continue
            if not await self._speaks(row.runner) and not self._used_since(key, row, began):
                await self._end(row.runner, Verdict.STUCK)

    def _busy(self, key: str) -> bool:
        return any(each.runner.key == key for each in self._line.running())

    def _used_since(self, key: str, row: Resident, began: float) -> bool:
        """Whether somebody was given it meanwhile: then a canary may have stood behind a real answer."""
        return self._busy(key) or row.used > began

    async def _lives(self, key: str) -> bool:
        """Whether it can be seen to be there. What is not must not be asked, since that would load it."""
        try:
            return await self._residents.lives(key)
        except OSError:  # which nobody can see now
            return False

    async def _speaks(self, runner: Runner) -> bool:
        """Whether one that is there brings a token."""
        try:
            async with asyncio.timeout(self._pace.canary):
                await self._engines[runner.engine].try_out(runner)
        except (Unreachable, TimeoutError):
            return False
        return True
