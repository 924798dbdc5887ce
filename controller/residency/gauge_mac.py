"""Memory as macOS tells it: the kernel's own verdict, the GPU's working set, what each process holds.

A runner may map its model's file, and the GPU works in those very pages. The footprint of its process
leaves them out. While the model is used they are wired, so they are missing from what is available; some minutes later
Metal lets go of them, and they are available although the model is still loaded. `elsewhere` tells how much of them is
so at the moment, and so the budget is the same in both states.

To be proved on a Mac: that `phys_footprint` of a runner holds what Metal allocated for it, and that ioreg's "In use
system memory" counts what is wired.
"""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from controller.engines.engine import Accelerator
from controller.engines.settings import ANY_TITLE
from controller.errors import SpawnFailed
from controller.machine.sysctl import SYSTEM, number
from controller.plain import GIB, MIB
from controller.residency.gauge_linux import TOOL_EVERY, TOOL_LIMIT, ram
from controller.residency.memory import Others, Reading
from controller.residency.metal import IOREG, metal
from controller.residency.resident import Pressure, Taken
from controller.supervision.tools import RunTool, run_tool

PRESSURE = "kern.memorystatus_vm_pressure_level"
WIRED_LIMIT = "iogpu.wired_limit_mb"  # 0: the system decides; an administrator may set it
LEVELS: dict[int, Pressure] = {1: 1, 2: 2, 4: 4}
WIRED_AT_REST = 3 * GIB  # by the system itself, as long as nobody has seen it without models
HOST_VM_INFO64 = 4


class Usage(ctypes.Structure):
    """`struct rusage_info_v0` of <sys/resource.h>: what flavour 0 of proc_pid_rusage(3) fills in."""

    _fields_ = (
        ("ri_uuid", ctypes.c_uint8 * 16),
        ("ri_user_time", ctypes.c_uint64),
        ("ri_system_time", ctypes.c_uint64),
        ("ri_pkg_idle_wkups", ctypes.c_uint64),
        ("ri_interrupt_wkups", ctypes.c_uint64),
        ("ri_pageins", ctypes.c_uint64),
        ("ri_wired_size", ctypes.c_uint64),
        ("ri_resident_size", ctypes.c_uint64),
        ("ri_phys_footprint", ctypes.c_uint64),
        ("ri_proc_start_abstime", ctypes.c_uint64),
        ("ri_proc_exit_abstime", ctypes.c_uint64),
    )


class Pages(ctypes.Structure):
    """`struct vm_statistics64` of <mach/vm_statistics.h>, as far as it is asked for: counts of pages."""

    _fields_ = (
        ("free_count", ctypes.c_uint32),
        ("active_count", ctypes.c_uint32),
        ("inactive_count", ctypes.c_uint32),
        ("wire_count", ctypes.c_uint32),
        ("zero_fill_count", ctypes.c_uint64),
        ("reactivations", ctypes.c_uint64),
        ("pageins", ctypes.c_uint64),
        ("pageouts", ctypes.c_uint64),
        ("faults", ctypes.c_uint64),
        ("cow_faults", ctypes.c_uint64),
        ("lookups", ctypes.c_uint64),
        ("hits", ctypes.c_uint64),
        ("purges", ctypes.c_uint64),
        ("purgeable_count", ctypes.c_uint32),
        ("speculative_count", ctypes.c_uint32),
        ("decompressions", ctypes.c_uint64),
        ("compressions", ctypes.c_uint64),
        ("swapins", ctypes.c_uint64),
        ("swapouts", ctypes.c_uint64),
        ("compressor_page_count", ctypes.c_uint32),
        ("throttled_count", ctypes.c_uint32),
        ("external_page_count", ctypes.c_uint32),
        ("internal_page_count", ctypes.c_uint32),
        ("total_uncompressed_pages_in_compressor", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class Vm:
    """What RAM is used for, in bytes."""

    active: int
    inactive: int
    speculative: int
    wired: int
    compressor: int
    purgeable: int
    external: int  # of active, inactive and speculative: backed by files, so it can be had at any time

    @property
    def used(self) -> int:
        """What cannot be had without swapping: the sum of the kernel's own counters."""
        kept = self.active + self.inactive + self.speculative + self.wired + self.compressor
        return max(0, kept - self.purgeable - self.external)


def footprint(pid: int) -> int | None:
    """Bytes a process holds, compressed and wired for the GPU too; None when it is gone or not ours."""
    usage = Usage()
    failed = SYSTEM.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(0), ctypes.byref(usage))
    return None if failed else int(usage.ri_phys_footprint)


@cache
def _host() -> int:
    """This machine's port: each call of mach_host_self(3) would keep one more right to it."""
    return int(SYSTEM.mach_host_self())


def vm() -> Vm | None:
    """From host_statistics64(3); None when it does not tell."""
    pages, size = Pages(), ctypes.c_size_t(0)
    count = ctypes.c_uint32(ctypes.sizeof(Pages) // 4)
    asked = ctypes.c_int(HOST_VM_INFO64)
    if SYSTEM.host_statistics64(ctypes.c_uint32(_host()), asked, ctypes.byref(pages), ctypes.byref(count)):
        return None
    if SYSTEM.host_page_size(ctypes.c_uint32(_host()), ctypes.byref(size)):
        return None
    names = ("active", "inactive", "speculative", "wire", "compressor_page", "purgeable", "external_page")
    return Vm(*(getattr(pages, f"{name}_count") * size.value for name in names))


def usual_limit(total: int) -> int:
    """What Metal's working set is where nobody said otherwise: two thirds of a small Mac's RAM, three quarters of a
    large one's. Newer systems give more; an engine's log may have the true figure.
    """
    return total * 2 // 3 if total <= 36 * GIB else total * 3 // 4


class MacGauge:
    """Implements `gauge.Gauge`."""

    def __init__(
        self,
        sysctl: Callable[[str], int | None] = number,
        footprint: Callable[[int], int | None] = footprint,
        ram: Callable[[], tuple[int, int]] = ram,
        run: RunTool = run_tool,
        vm: Callable[[], Vm | None] = vm,
        *,
        silicon: bool = platform.machine() == "arm64",
    ) -> None:
        self.accelerator: Accelerator | None = None
        self._sysctl = sysctl
        self._footprint = footprint
        self._ram = ram
        self._run = run
        self._vm = vm
        self._silicon = silicon
        self._asked = float("-inf")
        self._used: int | None = None  # of the GPU's memory, by everybody
        self._wired = Others(WIRED_AT_REST)
        self._there = Others()

    def read(self, ours: Mapping[int, Taken]) -> Reading:
        """See `gauge.Gauge`."""
        total, available = self._ram()
        level = LEVELS.get(self._sysctl(PRESSURE) or 0)
        limit, guessed = self._limit(total)
        seen = self._vm()
        notes = [] if level else [f"The kernel does not tell the memory pressure ({PRESSURE})."]
        notes += [f"The GPU's memory limit is a guess until {ANY_TITLE}'s log tells it."] if guessed else []
        notes += [] if seen else ["The kernel does not tell what memory is used for (host_statistics64)."]
        held = {pid: (each, own) for pid, each in ours.items() if (own := self._footprint(pid)) is not None}
        footprints = {pid: max(own + each.mapped, each.loaded) for pid, (each, own) in held.items()}
        most, now = sum(each.most for each, _ in held.values()), time.monotonic()
        return Reading(
            total=total,
            available=available if seen is None else max(0, total - seen.used),
            limit=limit,
            others_there=self._there.see(self._used, most, now) if self._used is not None and limit is not None else 0,
            unified=self._silicon,
            pressure=level or 1,
            footprints=footprints,
            elsewhere=self._let_go(seen, [each for each, _ in held.values()], most, now) if seen else 0,
            at=now,
            notes=tuple(notes),
        )

    def _let_go(self, seen: Vm, ours: list[Taken], most: int, now: float) -> int:
        """Bytes of files in use by ours that are not wired now: they count as available. Of what ours have wired, each
        kind has its share.
        """
        wired = seen.wired - self._wired.see(seen.wired, most, now)
        mapped, taken = sum(each.mapped for each in ours), sum(max(each.loaded, each.mapped) for each in ours)
        return mapped - mapped * min(wired, taken) // taken if taken else 0

    def _limit(self, total: int) -> tuple[int | None, bool]:
        """Bytes the GPU may have, and whether that is a guess. An administrator's order counts at once."""
        there = self.accelerator
        if there.library == "cpu" if there else not self._silicon:
            return None, False
        if ordered := self._sysctl(WIRED_LIMIT):
            return ordered * MIB, False
        return (there.total, False) if there and there.total else (usual_limit(total), True)

    async def refresh(self) -> None:
        """See `gauge.Gauge`. `ioreg` knows what everybody has of the GPU."""
        if not self._silicon or time.monotonic() - self._asked < TOOL_EVERY:
            return
        self._asked = time.monotonic()
        try:
            said = await self._run(IOREG, limit=TOOL_LIMIT)
        except SpawnFailed:
            self._used = None
        else:
            self._used = metal(said.out).used
