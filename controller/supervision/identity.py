"""Which process is which. A pid is reused; a pid together with its start time, within one boot, is not.

Standard library only and light to import, since the keeper lives on it (no `typing`, `subprocess` or `hashlib`: each
would cost it a megabyte). Linux is read from /proc, a Mac through libproc. What cannot be read raises OSError: nobody
counts as dead because looking failed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import namedtuple
from collections.abc import Collection, Iterable

from controller.machine import sysctl
from controller.supervision import libproc

LINUX = sys.platform == "linux"


class ProcessIdentity(namedtuple("ProcessIdentity", ["pid", "start"])):
    """One process, for as long as the machine is not rebooted.

    `start` only ever gets compared: ticks since boot on Linux, microseconds since the epoch on a Mac.
    """

    __slots__ = ()
    pid: int
    start: int


class ProcessRow(namedtuple("Row", ["pid", "parent", "group", "start", "dead"])):
    """One line of the process table. `dead`: a zombie, whose parent has not asked about it yet."""

    __slots__ = ()
    pid: int
    parent: int
    group: int
    start: int
    dead: bool

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.start)


Table = dict[int, ProcessRow]


def boot_id() -> str:
    """A name for this run of the machine: what was recorded before a reboot means nothing after it."""
    if not LINUX:
        return sysctl.text("kern.bootsessionuuid") or ""  # to prove on a Mac: another one after every boot
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


# ---------------------------------------------------------------------------------------------- reading the table


def table() -> Table:
    """Every process this user can see."""
    rows = map(_row, _pids())
    return {row.pid: row for row in rows if row is not None}


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if LINUX else libproc.pids()


def _row(pid: int) -> ProcessRow | None:
    """One process; None when there is none of that number (any more). About 20 µs on Linux."""
    if LINUX:
        return proc_row(pid)
    seen = libproc.seen(pid)
    return None if seen is None else ProcessRow(pid, *seen)


def proc_row(pid: int) -> ProcessRow | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold blanks and brackets
    return ProcessRow(pid, int(fields[1]), int(fields[2]), int(fields[19]), fields[0] in b"ZX")


# ------------------------------------------------------------------------------------------- asking about processes


def identify(pid: int) -> ProcessIdentity | None:
    """Who has this pid now; None when nobody, or only a zombie, does."""
    row = _row(pid)
    return None if row is None or row.dead else row.identity


def alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs."""
    return identify(identity.pid) == identity


def survivors(identities: Iterable[ProcessIdentity], rows: Table) -> set[ProcessIdentity]:
    """Those of `identities` that still run."""
    return {one for one in identities if (row := rows.get(one.pid)) and row.identity == one and not row.dead}


def descendants(roots: Collection[int], rows: Table) -> set[ProcessIdentity]:
    """Every living process below `roots` (themselves not counted), however deep."""
    children: dict[int, list[ProcessRow]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row)
    found: dict[int, ProcessRow] = {}
    front = list(roots)
    while front:
        for row in children.get(front.pop(), ()):
            if row.pid not in found and row.pid not in roots:
                found[row.pid] = row
                front.append(row.pid)
    return {row.identity for row in found.values() if not row.dead}


def send(identity: ProcessIdentity, number: int) -> bool:
    """Signal exactly this process; False when it is gone (or belongs to another user).

    On Linux a pidfd pins the process between the check and the signal. Elsewhere a pid would have to be reused within
    the microseconds between the two.
    """
    pin = _pin(identity.pid)
    try:
        if not alive(identity):
            return False
        if pin is None:
            os.kill(identity.pid, number)
        else:
            signal.pidfd_send_signal(pin, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if pin is not None:
            os.close(pin)
    return True


def _pin(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux; or gone, or forbidden by a sandbox: the check that follows decides
        return None


def holders(lock: str, keeper: int) -> set[ProcessIdentity]:
    """Who inherited the flock that the (dead) `keeper` took on the file `lock`: the kernel's own word, on Linux only.

    An open file that carries that lock can only come from that keeper, so whoever has one descends from it, whether it
    was recorded or not. Elsewhere nobody is named, and the record alone counts.
    """
    if not LINUX:
        return set()
    found = (identify(pid) for pid in _pids() if _inherited(pid, lock, keeper))
    return {one for one in found if one is not None}


def _inherited(pid: int, lock: str, keeper: int) -> bool:
    try:
        return any(_carries(f"/proc/{pid}", number, lock, keeper) for number in os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # gone meanwhile, or another user's
        return False


def _carries(process: str, number: str, lock: str, keeper: int) -> bool:
    try:
        if os.readlink(f"{process}/fd/{number}") != lock:
            return False
        with open(f"{process}/fdinfo/{number}") as file:
            locks = [line.split() for line in file if line.startswith("lock:")]
    except OSError:  # closed meanwhile
        return False
    # lock: 1: FLOCK ADVISORY WRITE <pid that took it> …; in a container the pid of a dead process reads 0
    return any(words[2] == "FLOCK" and int(words[5]) in (keeper, 0) for words in locks)
