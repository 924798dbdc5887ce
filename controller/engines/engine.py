"""What Seadragon asks of an engine: of a program that holds models in memory and answers for them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.errors import SeadragonError


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
