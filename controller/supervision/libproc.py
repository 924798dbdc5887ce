"""Processes as macOS tells of them (<libproc.h>, <sys/proc_info.h>): a system call for the list, one for each process.

The same list through `ps` would start a program for every look of every keeper, and a `ps` that is late would look like
a machine without processes. What cannot be read here raises OSError: it is unknown, and never "there is none".

Standard library only: the keeper lives on it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections import namedtuple

SYSTEM = ctypes.CDLL(None, use_errno=True)  # elsewhere it has no such functions: ask on a Mac only
PROC_ALL_PIDS, PROC_PIDTBSDINFO = 1, 3
SZOMB = 5  # <sys/proc.h>: dead, and its parent has not asked about it yet
PID = ctypes.sizeof(ctypes.c_int)
SPARE = 64  # processes more than at the first count, which may have been born since

# struct proc_bsdinfo: flags, status, xstatus, pid, ppid; uid, gid, ruid, rgid, svuid, svgid, reserved; comm[16],
# name[32]; nfiles, pgid, pjobc, tdev, tpgid, nice; seconds and microseconds of the start, as the clock then said
BSD_INFO = struct.Struct("=5I 6I4x 16s32s 5Ii 2Q")


class Seen(namedtuple("Seen", ["parent", "group", "start", "dead"])):
    """One process. `start`: microseconds since the epoch; never changes, whatever becomes of the clock."""

    __slots__ = ()
    parent: int
    group: int
    start: int
    dead: bool


def pids() -> list[int]:
    """Of every process, zombies included. Raises OSError."""
    room = _listed(None, 0) + SPARE
    while True:
        buffer = (ctypes.c_int * room)()
        count = _listed(buffer, room)
        if count < room:
            return [pid for pid in buffer[:count] if pid > 0]
        room *= 2  # what did not fit was left out


def _listed(buffer: ctypes.Array[ctypes.c_int] | None, room: int) -> int:
    """How many are in the buffer; without one: how many there are. Raises OSError, for it tells a failure by 0."""
    ctypes.set_errno(0)
    filled: int = SYSTEM.proc_listpids(PROC_ALL_PIDS, 0, buffer, room * PID)
    if filled <= 0:
        raise _failure("the list of processes")
    return filled // PID


def seen(pid: int) -> Seen | None:
    """What the kernel tells of it; None when it is gone, a zombie, or another user's. Raises OSError."""
    buffer = ctypes.create_string_buffer(BSD_INFO.size)
    ctypes.set_errno(0)
    filled: int = SYSTEM.proc_pidinfo(pid, PROC_PIDTBSDINFO, ctypes.c_uint64(0), buffer, BSD_INFO.size)
    if filled == BSD_INFO.size:
        fields = BSD_INFO.unpack(buffer.raw)
        return Seen(fields[4], fields[14], fields[19] * 1_000_000 + fields[20], fields[1] == SZOMB)
    if ctypes.get_errno() in (errno.ESRCH, errno.EPERM):
        return None
    raise _failure(f"process {pid}")


def _failure(what: str) -> OSError:
    number = ctypes.get_errno() or errno.EIO
    return OSError(number, f"{what} cannot be read: {os.strerror(number)}")
