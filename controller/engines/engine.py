"""The seam between Seadragon and an engine: a program that holds models in memory and answers for them.

Who is in memory, who goes next and what a client is told is decided elsewhere, for all engines alike. An engine knows
its own program: how a model is loaded and what that takes, which processes hold it, what a failure means. Whatever is
asked of it raises Unreachable when it is not there or does not answer in time, and OSError when we have no descriptor
left to look with. Memory is in bytes, times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import psutil

from controller.dialect import Dialect
from controller.engines.runner import ModelFacts, Runner
from controller.errors import SeadragonError
from controller.readiness import Address, Readiness


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What an engine works with: all its devices together."""

    library: str  # Metal, CUDA, ROCm, Vulkan; cpu: it found no GPU
    name: str = ""
    total: int = 0  # bytes; on Metal the measured working set, for cpu the RAM
    available: int = 0  # bytes, when it started
    unified: bool = False  # its memory is the machine's own

    @property
    def limit(self) -> int | None:
        """Bytes that models may take at most; None without a GPU, or when it does not say."""
        return None if self.library == "cpu" else self.total or None


@dataclass(frozen=True, slots=True)
class SlotStates:
    """All of one runner's at one moment."""

    working: int  # those that read or write
    far: tuple[tuple[int, ...], ...]  # of each: its task, tokens read, tokens written. Equal: nothing has moved
    works: tuple[bool, ...] = ()  # each


class LoadFault(StrEnum):
    """Of one load."""

    MEMORY = "memory"
    CRASH = "crash"  # its process died, or stood still and was ended
    LATE = "late"  # it took longer than any load may
    MISSING = "missing"  # there is no such model any more
    OTHER = "other"  # its engine will not, whatever we do


class LoadFailed(SeadragonError):
    """A load that did not come to its end. Its text is the reason, in its engine's own words where it gave some."""

    def __init__(self, text: str, fault: LoadFault) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load brought."""

    seconds: float
    size: int = 0  # bytes as the engine tells them; 0: it told none
    mapped: int = 0  # bytes of files used in place
    processes: Sequence[psutil.Process] = ()


@dataclass(frozen=True, slots=True)
class HeldModel:
    """One model in memory, as the engine itself lists it."""

    name: str
    size: int = 0  # bytes; 0: it does not tell
    context: int = 0  # tokens that a slot really has; 0: it does not tell


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model that the engine has, as it lists it."""

    name: str
    size: int  # bytes on disk
    created: int  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class FixedAtLoad:
    """What a request may not carry, since another value than this would load the model anew."""

    options: Mapping[str, str | None]  # by name: what it is when nobody asks; None: any value differs from that
    members: frozenset[str]  # of a request, beside its options


Failure = Literal["busy", "died"]
"""What an error answer means for whoever asked: the engine has too much to do just now; its runner did not live to
answer. Anything else is the engine's own answer, and passes as it is."""


class Model(Protocol):
    """One model that an engine has, as it was when the engine was asked."""

    @property
    def name(self) -> str:
        """As the engine writes it."""
        ...

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def key(self) -> str:
        """Of its runner, as the configuration has it now: models with equal keys share one."""
        ...

    def runner(self, ordered_gb: float | None, seen: int | None) -> Runner:
        """How it would be loaded now. It needs what the operator ordered (GiB), else what was `seen` right after an
        earlier load, else an estimate.
        """
        ...


class Library(Protocol):
    """The models of an engine."""

    @property
    def name(self) -> str:
        """The engine's, as its runners and its child are called."""
        ...

    async def listed(self) -> list[ListedModel]: ...

    async def find(self, name: str) -> Model | None:
        """The model of a full name (`spelling.full_name`); None: the engine has none."""
        ...

    def forget(self) -> None:
        """Models were made or deleted: what is being asked now is answered to who asked, and to nobody else."""
        ...


class Engine(Library, Protocol):
    """All of it."""

    readiness: Readiness  # whether it answers, and what people call it; told by whoever runs its child
    changed: list[Callable[[], None]]  # called when it is another program, whose models need something else

    @property
    def elsewhere(self) -> bool:
        """Whether its memory is not this machine's."""
        ...

    def address(self, runner: Runner) -> Address | None:
        """Where it answers for a runner; None: nowhere yet."""
        ...

    # --- its models ---

    async def settle(self) -> bool:
        """Make what the configuration wants made of its models (aliases), and say whether anything was changed."""
        ...

    # --- memory: one load or unload at a time, and no `held` meanwhile; whoever asks sees to that ---

    async def load(self, runner: Runner, limit: float) -> Loaded:
        """Return when it has said its first token. Raises LoadFailed, also after `limit` seconds. Whoever stops waiting
        takes the load back.
        """
        ...

    async def unload(self, runner: Runner, processes: Sequence[psutil.Process], grace: float | None = None) -> None:
        """Return when it is gone: it is ended when it does not leave by itself within `grace` (None: the usual)."""
        ...

    async def end(self, runner: Runner, processes: Sequence[psutil.Process]) -> None:
        """Take it out of memory at once, whatever it is at, and return when that is done."""
        ...

    async def held(self, limit: float) -> list[HeldModel]:
        """What is in memory, but for what is being loaded."""
        ...

    async def try_out(self, runner: Runner) -> None:
        """Return when a loaded runner has brought one token. There is no limit but the caller's."""
        ...

    async def accelerator(self) -> Accelerator | None:
        """What it works with; None while it does not say."""
        ...

    # --- processes ---

    async def processes(self, runner: Runner) -> list[psutil.Process]:
        """Those that hold it; none where they cannot be seen."""
        ...

    async def all_processes(self) -> list[psutil.Process] | None:
        """Those that hold anything; None where they cannot be seen."""
        ...

    def mapped(self, processes: Sequence[psutil.Process]) -> int:
        """Bytes of the files that these use in place, without a copy of their own. For a thread."""
        ...

    async def slots(self, processes: Sequence[psutil.Process]) -> SlotStates | None:
        """What these say of their slots, together. None: they do not say."""
        ...

    # --- requests ---

    @property
    def dialects(self) -> frozenset[Dialect]:
        """Those that it answers itself, byte for byte."""
        ...

    @property
    def fixed(self) -> FixedAtLoad: ...

    @property
    def chats_embed(self) -> bool:
        """Whether a model made for chats gives embeddings, too."""
        ...

    def failure(self, status: int, body: bytes) -> Failure | None:
        """What an error answer means; None: it is an answer like any other."""
        ...
