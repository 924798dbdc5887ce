"""Ollama as an engine: one program that holds all its models, at one address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

from controller.clock import Clock
from controller.config.schema import Config
from controller.dialect import Dialect
from controller.engines.engine import Accelerator, Failure, FixedAtLoad, HeldModel, Loaded, SlotStates
from controller.engines.ollama.accelerator import accelerator_limit
from controller.engines.ollama.aliases import Aliases
from controller.engines.ollama.catalogue import Catalogue, Terms
from controller.engines.ollama.client import OllamaClient, Runners, mapped
from controller.engines.ollama.failures import runner_died, words_of
from controller.engines.ollama.inside import KnownInside
from controller.engines.ollama.loading import Loading, LoadPace, size_of
from controller.engines.ollama.needs import KeptInRam, prompt_cache
from controller.engines.runner import Runner
from controller.events import Journal
from controller.logtail import Tail
from controller.readiness import Address, Readiness
from controller.supervision import grandchildren
from controller.supervision.ports import is_here

BUSY: Final = "server busy, please try again"  # server/sched.go: its own queue is full
LOG_LINES: Final = 5000  # of its log, in which its last start is looked for


class Ollama(Catalogue):
    """Implements `engines/engine.py: Engine`. `pid` gives the process of ours, None while there is none; `log` is where
    it writes; `ram` is how many bytes this machine has.
    """

    def __init__(
        self,
        client: OllamaClient,
        pid: Callable[[], int | None],
        inside: KnownInside,
        readiness: Readiness,
        settings: Callable[[], Config],
        clock: Clock,
        journal: Journal,
        *,
        log: Path,
        ram: Callable[[], int],
        pace: LoadPace | None = None,
    ) -> None:
        super().__init__(client, Terms(lambda: inside.now, settings, self._kept))
        self.readiness = readiness
        self.changed = inside.changed
        self._client, self._pid, self._inside, self._settings = client, pid, inside, settings
        self._log, self._ram = log, ram
        self._runners = Runners(pid)
        self._loading = Loading(client, self._runners, clock, pace or LoadPace())
        self._aliases = Aliases(client, settings, journal)

    @property
    def elsewhere(self) -> bool:
        """Whether it is on another machine."""
        wish = self._settings().server.ollama
        return wish.mode == "external" and not is_here(wish.url or "")

    def address(self, runner: Runner) -> Address | None:
        """One for all runners."""
        return self.readiness.address

    async def settle(self) -> bool:
        """Bring its aliases in line with models.yaml."""
        return bool(await self._aliases.settle())

    # --- memory ---

    async def load(self, runner: Runner, limit: float) -> Loaded:
        """`Engine.load`."""
        return await self._loading.load(runner, limit)

    async def unload(self, runner: Runner, processes: Sequence[psutil.Process], grace: float | None = None) -> None:
        """`Engine.unload`."""
        await self._loading.unload(runner, processes, grace=grace)

    async def end(self, runner: Runner, processes: Sequence[psutil.Process]) -> None:
        """Kill its processes; of an Ollama elsewhere there are none to be had."""
        await grandchildren.end(processes)

    async def held(self, limit: float) -> list[HeldModel]:
        """What /api/ps lists."""
        inside = self._inside.now
        return [
            HeldModel(str(each["name"]), size_of(each, inside), int(each.get("context_length") or 0))
            for each in await self._client.ps(limit)
        ]

    async def try_out(self, runner: Runner) -> None:
        """`Engine.try_out`."""
        await self._client.probe(runner.name, embeds=runner.facts.embeds)

    async def accelerator(self) -> Accelerator | None:
        """What its log says of its last start. Raises OSError without a log."""
        return accelerator_limit(await asyncio.to_thread(_last_words, self._log))

    def _kept(self) -> KeptInRam | None:
        """What runners are told to keep in RAM. None: by somebody else, or nobody. Of another machine's RAM nothing is
        ours to promise.
        """
        wish = self._settings().server.ollama
        if wish.mode == "spawn" or self._pid() is not None:
            return KeptInRam(prompt_cache(self._settings().models, self._ram()))
        return None if wish.url is None or is_here(wish.url) else KeptInRam(0, checkpoints=0)

    # --- processes ---

    async def processes(self, runner: Runner) -> list[psutil.Process]:
        """`Engine.processes`."""
        return await self._loading.processes(runner)

    async def all_processes(self) -> list[psutil.Process] | None:
        """`Engine.all_processes`."""
        return await self._runners.all() if self._runners.ours else None

    def mapped(self, processes: Sequence[psutil.Process]) -> int:
        """`Engine.mapped`."""
        return mapped(processes)

    async def slots(self, processes: Sequence[psutil.Process]) -> SlotStates | None:
        """None: as all but llama-server."""
        return await self._runners.slots(processes)

    # --- requests ---

    @property
    def dialects(self) -> frozenset[Dialect]:
        """All that there are."""
        return frozenset(Dialect)

    @property
    def fixed(self) -> FixedAtLoad:
        """By its version."""
        return self._inside.now.at_load

    @property
    def chats_embed(self) -> bool:
        """By its version."""
        return self._inside.now.chats_embed

    def failure(self, status: int, body: bytes) -> Failure | None:
        """Read off its words."""
        if status == 503:
            return "busy" if BUSY in words_of(body) else None
        return "died" if status == 500 and runner_died(words_of(body), self._inside.now) else None


def _last_words(log: Path) -> str:
    with Tail(log, LOG_LINES) as tail:
        return "\n".join(tail.read())
