"""Memory as Linux tells it: RAM, control groups of both versions, stalls (PSI), NVIDIA cards."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from controller.engines.engine import Accelerator
from controller.errors import SpawnFailed
from controller.residency.memory import Reading
from controller.residency.nvidia import NVIDIA, NVIDIA_PROCESSES, nvidia_memory, nvidia_processes
from controller.residency.pressure import linux_pressure
from controller.residency.resident import Taken
from controller.supervision.tools import RunTool, run_tool

TOOL_LIMIT = 5.0  # seconds a tool may take
TOOL_EVERY = 5.0  # seconds between two questions to a tool
UNLIMITED = 2**62  # version 1 writes "no limit" as the largest number of whole pages
_FULL = re.compile(r"^full avg10=([0-9.]+)", re.MULTILINE)
_STAT = re.compile(r"^(\w+) (\d+)$", re.MULTILINE)
_PAGE = os.sysconf("SC_PAGE_SIZE")


def ram() -> tuple[int, int]:
    """Bytes of RAM: in all, and to be had without swapping."""
    seen = psutil.virtual_memory()
    return seen.total, seen.available


@dataclass(frozen=True, slots=True)
class Version:
    """Where a version of control groups keeps what."""

    folder: str
    limits: tuple[str, ...]
    usage: str
    reclaimable: tuple[str, ...]  # in memory.stat: file pages that the kernel takes back by itself


ONE = Version(
    "sys/fs/cgroup/memory",
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_active_file", "total_inactive_file"),
)
TWO = Version(
    "sys/fs/cgroup",
    ("memory.max", "memory.high"),
    "memory.current",
    ("active_file", "inactive_file", "slab_reclaimable"),
)


def groups(text: str) -> list[tuple[Version, str]]:
    """The memory groups in /proc/self/cgroup, with the path of each: one, or two where both versions are mounted."""
    found = []
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found.append((TWO, path))
        elif "memory" in controllers.split(","):
            found.append((ONE, path))
    return found


def limit_of(text: str) -> int | None:
    """Bytes of a group's limit; None for `max`, or what version 1 writes instead."""
    number = text.strip()
    return int(number) if number.isdecimal() and int(number) < UNLIMITED else None


def stalled_share(text: str) -> float | None:
    """Percent of the last ten seconds in which nobody got on, from a PSI file."""
    found = _FULL.search(text)
    return float(found[1]) if found else None


def resident_pages(text: str) -> tuple[int, int]:
    """Pages of a process in memory, and those of them that are mapped from files, from /proc/PID/statm."""
    _, resident, mapped = map(int, text.split()[:3])
    return resident, mapped


class LinuxGauge:
    """Implements `gauge.Gauge`."""

    def __init__(
        self, root: Path = Path("/"), ram: Callable[[], tuple[int, int]] = ram, run: RunTool = run_tool
    ) -> None:
        self.accelerator: Accelerator | None = None
        self._root = root
        self._ram = ram
        self._run = run
        self._asked = float("-inf")
        self._cards: tuple[int, int] | None = None  # bytes in all, in use
        self._on_cards: dict[int, int] = {}
        self._card_notes: tuple[str, ...] = ()
        self._others = 0
        self._ours = self._asked_with = frozenset[int]()  # now, and when the cards were asked last

    def read(self, ours: Mapping[int, Taken]) -> Reading:
        """See `gauge.Gauge`."""
        total, available = self._ram()
        for limit, left in self._limits():
            total, available = min(total, limit), min(available, left)
        stalls = [share for text in self._stalls() if (share := stalled_share(text)) is not None]
        footprints, elsewhere = self._footprints(ours)
        self._ours = frozenset(ours)
        there = self.accelerator
        cards = self._cards if there is None or there.library == "CUDA" else None
        return Reading(
            total=total,
            available=available,
            limit=there.limit if there else cards and cards[0],
            others_there=self._others_there(frozenset(ours)) if cards else 0,
            unified=there.unified if there else False,
            pressure=linux_pressure(available, total, max(stalls, default=None)),
            footprints=footprints,
            elsewhere=elsewhere,
            at=time.monotonic(),
            notes=(*self._card_notes, *([] if stalls else ["The kernel does not tell of memory stalls (PSI)."])),
        )

    def _others_there(self, ours: frozenset[int]) -> int:
        """On all cards. When some of ours have come or gone since the cards were asked, as before, until they tell."""
        if self._cards is not None and ours == self._asked_with:
            self._others = max(0, self._cards[1] - sum(self._on_cards.get(pid, 0) for pid in ours))
        return self._others

    async def refresh(self) -> None:
        """See `gauge.Gauge`. Only where there is `nvidia-smi`."""
        due = time.monotonic() - self._asked >= TOOL_EVERY or self._ours != self._asked_with
        if not due or shutil.which(NVIDIA[0]) is None:
            return
        self._asked, self._asked_with = time.monotonic(), self._ours
        self._cards = nvidia_memory(await self._tool(NVIDIA))
        self._on_cards = nvidia_processes(await self._tool(NVIDIA_PROCESSES))
        self._card_notes = () if self._cards else ("nvidia-smi does not tell how much memory the GPU has.",)

    async def _tool(self, argv: Sequence[str]) -> str:
        try:
            said = await self._run(argv, limit=TOOL_LIMIT)
        except SpawnFailed:
            return ""
        return said.out.decode(errors="replace") if said.code == 0 else ""

    def _footprints(self, pids: Iterable[int]) -> tuple[dict[int, int], int]:
        """By process, and how much of them all is not missing from what is available."""
        footprints, elsewhere = {}, 0
        for pid in pids:
            if (text := self._text(self._root / "proc" / str(pid) / "statm")) is not None:
                resident, mapped = resident_pages(text)
                on_card = self._on_cards.get(pid, 0)
                footprints[pid] = resident * _PAGE + on_card
                elsewhere += mapped * _PAGE + on_card
        return footprints, elsewhere

    def _limits(self) -> Iterator[tuple[int, int]]:
        """Each limit that holds for us, of our group or one around it, and what is left below it."""
        for version, folder in self._folders():
            for name in version.limits:
                limit = limit_of(self._text(folder / name) or "max")
                if limit is not None and (used := limit_of(self._text(folder / version.usage) or "")) is not None:
                    stat = dict(_STAT.findall(self._text(folder / "memory.stat") or ""))
                    reclaimable = sum(int(stat.get(key, 0)) for key in version.reclaimable)
                    yield limit, max(0, min(limit, limit - used + reclaimable))

    def _folders(self) -> Iterator[tuple[Version, Path]]:
        """Our groups from the innermost outwards. One that is not there is that of another namespace: see the top."""
        for version, path in groups(self._text(self._root / "proc/self/cgroup") or ""):
            top = self._root / version.folder
            inner = top.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
            while inner != top:
                yield version, inner
                inner = inner.parent
            yield version, top

    def _stalls(self) -> Iterator[str]:
        """What the kernel tells of stalls: of the whole machine, and of our own group."""
        own = [folder for version, folder in self._folders() if version is TWO][:1]
        for path in (self._root / "proc/pressure/memory", *(folder / "memory.pressure" for folder in own)):
            if (text := self._text(path)) is not None:
                yield text

    @staticmethod
    def _text(path: Path) -> str | None:
        try:
            return path.read_text()
        except OSError:  # not there, not ours to read, gone meanwhile, or switched off in the kernel
            return None
