"""Memory as macOS tells it: the kernel's own verdict, the GPU's working set, true footprints.

To be proved on a Mac: that `phys_footprint` of a runner holds what Metal wired for it, and that ioreg's "In use system
memory" counts the same.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache

from controller.errors import SpawnFailed
from controller.residency.accelerator import Accelerator
from controller.residency.gauge_linux import TOOL_EVERY, TOOL_LIMIT, RunTool, ram
from controller.residency.memory import GIB, MIB, Reading
from controller.residency.metal import IOREG, metal
from controller.residency.runner import Pressure
from controller.supervision.tools import run_tool

PRESSURE = "kern.memorystatus_vm_pressure_level"
WIRED_LIMIT = "iogpu.wired_limit_mb"  # 0: the system decides; an administrator may set it
LEVELS: dict[int, Pressure] = {1: 1, 2: 2, 4: 4}


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


@cache
def _system() -> ctypes.CDLL:
    return ctypes.CDLL("/usr/lib/libSystem.dylib", use_errno=True)


def sysctl(name: str) -> int | None:
    """A whole number of the kernel's (sysctlbyname(3)); None when there is none of that name."""
    value, length = ctypes.create_string_buffer(8), ctypes.c_size_t(8)
    failed = _system().sysctlbyname(name.encode(), value, ctypes.byref(length), None, ctypes.c_size_t(0))
    return None if failed else int.from_bytes(value.raw[: length.value], sys.byteorder)


def footprint(pid: int) -> int | None:
    """Bytes a process holds, compressed and wired for the GPU too; None when it is gone or not ours."""
    usage = Usage()
    failed = _system().proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(0), ctypes.byref(usage))
    return None if failed else int(usage.ri_phys_footprint)


def usual_limit(total: int) -> int:
    """What Metal's working set is where nobody said otherwise: two thirds of a small Mac's RAM, three quarters of a
    large one's. Newer systems give more; Ollama's log has the true figure.
    """
    return total * 2 // 3 if total <= 36 * GIB else total * 3 // 4


class MacGauge:
    """Implements `gauge.Gauge`."""

    def __init__(
        self,
        sysctl: Callable[[str], int | None] = sysctl,
        footprint: Callable[[int], int | None] = footprint,
        ram: Callable[[], tuple[int, int]] = ram,
        run: RunTool = run_tool,
        *,
        silicon: bool = platform.machine() == "arm64",
    ) -> None:
        self.accelerator: Accelerator | None = None
        self._sysctl = sysctl
        self._footprint = footprint
        self._ram = ram
        self._run = run
        self._silicon = silicon
        self._asked = float("-inf")
        self._used: int | None = None

    def read(self, pids: Sequence[int]) -> Reading:
        """See `gauge.Gauge`."""
        total, available = self._ram()
        level = LEVELS.get(self._sysctl(PRESSURE) or 0)
        limit, guessed = self._limit(total)
        notes = [] if level else [f"The kernel does not tell the memory pressure ({PRESSURE})."]
        notes += ["The GPU's memory limit is a guess until Ollama's log tells it."] if guessed else []
        return Reading(
            total=total,
            available=available,
            limit=limit,
            accelerator_used=None if limit is None else self._used,
            unified=self._silicon,
            pressure=level or 1,
            footprints={pid: held for pid in pids if (held := self._footprint(pid)) is not None},
            at=time.monotonic(),
            notes=tuple(notes),
        )

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
