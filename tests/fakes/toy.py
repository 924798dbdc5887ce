"""A second engine, as small as one can be: two models in this very process, and a socket that answers for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import psutil

from controller.dialect import Dialect
from controller.engines.engine import (
    Accelerator,
    Failure,
    FixedAtLoad,
    HeldModel,
    ListedModel,
    Loaded,
    LoadFailed,
    LoadFault,
    SlotStates,
)
from controller.engines.runner import ModelFacts, Runner
from controller.errors import Unreachable
from controller.plain import GIB
from controller.readiness import Address, Readiness

TOY: Final = "toy"
BROKEN: Final = "the spring is broken"
_MODELS: Final = ("bear:latest", "train:latest")


@dataclass(frozen=True)
class ToyModel:
    """One of its models."""

    name: str
    facts: ModelFacts = ModelFacts(GIB, 2048, frozenset(("completion",)))

    @property
    def key(self) -> str:
        return f"{TOY} {self.name}"

    def runner(self, ordered_gb: float | None, seen: int | None) -> Runner:
        need = round(ordered_gb * GIB) if ordered_gb is not None else seen or self.facts.weights
        return Runner(self.key, self.name, self.name, self.facts, engine=TOY, context=2048, need=need)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Toy:
    """Implements `engines/engine.py: Engine`. The knobs: `cannot` is why nothing can be loaded; `crashes` answers that
    end with its own words, and the model with them; `hangs_up` is how often it says nothing; `wound` lets loads end.
    """

    name: str = TOY
    readiness: Readiness = field(default_factory=lambda: Readiness("The toy"))
    changed: list[Callable[[], None]] = field(default_factory=list)
    models: dict[str, ToyModel] = field(default_factory=lambda: {each: ToyModel(each) for each in _MODELS})
    memory: dict[str, Runner] = field(default_factory=dict)  # what is loaded, by name
    elsewhere: bool = False
    chats_embed: bool = False
    fixed: FixedAtLoad = FixedAtLoad({}, frozenset())
    dialects: frozenset[Dialect] = frozenset((Dialect.NATIVE,))
    wound: asyncio.Event = field(default_factory=_set)  # no load ends before it is
    cannot: str = ""
    crashes: int = 0
    hangs_up: int = 0
    connections: int = 0
    asked: list[str] = field(default_factory=list)  # the models that were asked something

    def address(self, runner: Runner) -> Address | None:
        return self.readiness.address

    def _there(self) -> None:
        if self.readiness.verdict != "ready":
            raise Unreachable("The toy lies in its box.")

    async def listed(self) -> list[ListedModel]:
        self._there()
        return [ListedModel(name, model.facts.weights, 0) for name, model in self.models.items()]

    async def find(self, name: str) -> ToyModel | None:
        self._there()
        return self.models.get(name)

    def forget(self) -> None:
        """It asks nobody."""

    async def settle(self) -> bool:
        return False

    async def load(self, runner: Runner, limit: float) -> Loaded:
        self._there()
        if self.cannot:
            raise LoadFailed(self.cannot, LoadFault.OTHER)
        await self.wound.wait()
        self.memory[runner.name] = runner
        return Loaded(0.0, runner.need)

    async def unload(self, runner: Runner, processes: Sequence[psutil.Process], grace: float | None = None) -> None:
        self.memory.pop(runner.name, None)

    async def end(self, runner: Runner, processes: Sequence[psutil.Process]) -> None:
        self.memory.pop(runner.name, None)

    async def held(self, limit: float) -> list[HeldModel]:
        self._there()
        return [HeldModel(name, runner.need) for name, runner in self.memory.items()]

    async def try_out(self, runner: Runner) -> None:
        self._there()

    async def accelerator(self) -> Accelerator | None:
        return None

    async def processes(self, runner: Runner) -> list[psutil.Process]:
        return []

    async def all_processes(self) -> list[psutil.Process] | None:
        return None

    def mapped(self, processes: Sequence[psutil.Process]) -> int:
        return 0

    async def slots(self, processes: Sequence[psutil.Process]) -> SlotStates | None:
        return None

    def failure(self, status: int, body: bytes) -> Failure | None:
        return "died" if status == 500 and BROKEN.encode() in body else None

    # --- its socket ---

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after another on a connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:")
                asked = json.loads(await reader.readexactly(length))
                if self.hangs_up:
                    self.hangs_up -= 1
                    return writer.close()
                writer.write(self._said(asked["model"]))
        except asyncio.IncompleteReadError:
            writer.close()

    def _said(self, model: str) -> bytes:
        self.asked.append(model)
        status, body = b"200 OK", json.dumps({"model": model, "says": "tick, tock"}).encode()
        if self.crashes:
            self.crashes -= 1
            self.memory.pop(model, None)
            status, body = b"500 Internal Server Error", json.dumps({"error": BROKEN}).encode()
        return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
            status,
            len(body),
            body,
        )


@asynccontextmanager
async def toy() -> AsyncIterator[Toy]:
    """One that is there until the block ends."""
    made = Toy()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with server:
        made.readiness.set("ready", "It is wound up.", Address("127.0.0.1", server.sockets[0].getsockname()[1], 1))
        yield made
