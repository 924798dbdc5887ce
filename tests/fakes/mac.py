"""A Mac's kernel as ctypes meets it: libproc and sysctl, answered from a table, or from Linux's own /proc.

`python -c "...; from tests.fakes.mac import pretend; pretend()"` makes a process take this machine for a Mac.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.machine import sysctl
from controller.supervision import identity, keeper, libproc

RUNS, ZOMBIE = 2, 5  # <sys/proc.h>


class BsdInfo(ctypes.Structure):
    """`struct proc_bsdinfo`, line by line as <sys/proc_info.h> has it."""

    _fields_ = (
        ("pbi_flags", ctypes.c_uint32),
        ("pbi_status", ctypes.c_uint32),
        ("pbi_xstatus", ctypes.c_uint32),
        ("pbi_pid", ctypes.c_uint32),
        ("pbi_ppid", ctypes.c_uint32),
        ("pbi_uid", ctypes.c_uint32),
        ("pbi_gid", ctypes.c_uint32),
        ("pbi_ruid", ctypes.c_uint32),
        ("pbi_rgid", ctypes.c_uint32),
        ("pbi_svuid", ctypes.c_uint32),
        ("pbi_svgid", ctypes.c_uint32),
        ("rfu_1", ctypes.c_uint32),
        ("pbi_comm", ctypes.c_char * 16),
        ("pbi_name", ctypes.c_char * 32),
        ("pbi_nfiles", ctypes.c_uint32),
        ("pbi_pgid", ctypes.c_uint32),
        ("pbi_pjobc", ctypes.c_uint32),
        ("e_tdev", ctypes.c_uint32),
        ("e_tpgid", ctypes.c_uint32),
        ("pbi_nice", ctypes.c_int32),
        ("pbi_start_tvsec", ctypes.c_uint64),
        ("pbi_start_tvusec", ctypes.c_uint64),
    )


@dataclass
class Kernel:
    """Answers from `processes`; a number instead of a process is the errno that asking for it fails with."""

    processes: Mapping[int, BsdInfo | int] = field(default_factory=dict)
    names: Mapping[str, bytes] = field(default_factory=dict)  # of sysctl
    broken: int = 0  # the list of processes cannot be had: errno
    asked: list[str] = field(default_factory=list)

    def proc_listpids(self, kind: int, info: int, buffer: ctypes.Array[ctypes.c_int] | None, size: int) -> int:
        self.asked.append("list")
        if self.broken:
            ctypes.set_errno(self.broken)
            return 0
        pids = self.pids()
        if buffer is None:
            return (len(pids) + 20) * 4
        fitting = pids[: size // 4]
        for place, pid in enumerate(fitting):
            buffer[place] = pid
        return len(fitting) * 4

    def proc_pidinfo(
        self, pid: int, flavor: int, argument: ctypes.c_uint64, buffer: ctypes.Array[ctypes.c_char], size: int
    ) -> int:
        assert (flavor, argument.value) == (3, 0)
        found = self.process(pid)
        if isinstance(found, int) or size < ctypes.sizeof(BsdInfo):
            ctypes.set_errno(found if isinstance(found, int) else errno.ENOMEM)
            return 0
        ctypes.memmove(buffer, ctypes.addressof(found), ctypes.sizeof(found))
        return ctypes.sizeof(found)

    def sysctlbyname(self, name: bytes, value: ctypes.Array[ctypes.c_char], length: Any, *_: object) -> int:
        found = self.names.get(name.decode())
        if found is None:
            ctypes.set_errno(errno.ENOENT)
            return -1
        ctypes.memmove(value, found, len(found))
        length._obj.value = len(found)
        return 0

    def pids(self) -> list[int]:
        return sorted(self.processes)

    def process(self, pid: int) -> BsdInfo | int:
        return self.processes.get(pid, errno.ESRCH)


class RealProcesses(Kernel):
    """This machine's processes, told as a Mac tells them. While the file `flaky` is there no list can be had, and it
    grows by a byte for each that was asked for.
    """

    flaky: Path | None = None

    def proc_listpids(self, kind: int, info: int, buffer: ctypes.Array[ctypes.c_int] | None, size: int) -> int:
        self.broken = 0
        if self.flaky is not None and self.flaky.exists():
            self.broken = errno.ENOMEM
            with self.flaky.open("a") as file:
                file.write(".")
        return super().proc_listpids(kind, info, buffer, size)

    def pids(self) -> list[int]:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]

    def process(self, pid: int) -> BsdInfo | int:
        row = identity.proc_row(pid)
        if row is None or row.dead:
            return errno.ESRCH
        return BsdInfo(pbi_status=RUNS, pbi_pid=pid, pbi_ppid=row.parent, pbi_pgid=row.group, pbi_start_tvsec=row.start)


def pretend(flaky: str = "") -> None:
    """Take this machine for a Mac: no /proc, no subreaper, no PDEATHSIG, no pidfd."""
    kernel = RealProcesses(names={"kern.bootsessionuuid": b"0F3F2A9C-0000-4B1E-8A55-6D5C1B7E2F10\0"})
    kernel.flaky = Path(flaky) if flaky else None
    libproc.SYSTEM = sysctl.SYSTEM = kernel  # type: ignore[assignment]  # it has what is asked of it
    identity.LINUX = keeper.LINUX = False
    if hasattr(os, "pidfd_open"):
        del os.pidfd_open, signal.pidfd_send_signal
    kill = os.killpg

    def killpg(group: int, number: int) -> None:
        """A Mac says of a group of zombies that it may not be signalled."""
        rows = [row for row in map(identity.proc_row, kernel.pids()) if row is not None and row.group == group]
        if rows and all(row.dead for row in rows):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        kill(group, number)

    os.killpg = killpg
