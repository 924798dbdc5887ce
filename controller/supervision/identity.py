"""Which process is which. A pid is reused; a pid together with its start time, within one boot, is not.

Standard library only and light to import, since the keeper lives on it (no `typing`, `subprocess` or `hashlib`: each
would cost it a megabyte). Linux is read from /proc, anything else through `ps`.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections import namedtuple
from collections.abc import Collection, Iterable, Iterator

PS_LIMIT = 5.0  # seconds after which a `ps` that does not answer is given up
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


class ProcessIdentity(namedtuple("ProcessIdentity", ["pid", "start"])):
    """One process, for as long as the machine is not rebooted.

    `start` only ever gets compared: ticks since boot on Linux, a number made of the date elsewhere.
    """

    __slots__ = ()
    pid: int
    start: int


class Row(namedtuple("Row", ["pid", "parent", "group", "start", "dead"])):
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


Table = dict[int, Row]


def boot_id() -> str:
    """A name for this run of the machine: what was recorded before a reboot means nothing after it."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except FileNotFoundError:
        return _sysctl("kern.bootsessionuuid")


def _sysctl(name: str) -> str:
    """A text value of macOS's sysctl. (To prove on a Mac: kern.bootsessionuuid changes with every boot.)"""
    value = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(value))
    ctypes.CDLL(None, use_errno=True).sysctlbyname(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return value.value.decode()


# ---------------------------------------------------------------------------------------------- reading the table


def table() -> Table:
    """Every process this user can see."""
    return proc_table() if sys.platform == "linux" else ps_table()


def proc_table() -> Table:
    """The table as Linux's /proc tells it: about 20 µs a process."""
    rows = (_proc_row(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return {row.pid: row for row in rows if row is not None}


def _proc_row(pid: int) -> Row | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold blanks and brackets
    return Row(pid, int(fields[1]), int(fields[2]), int(fields[19]), fields[0] in b"ZX")


def ps_table() -> Table:
    """The table as `ps` prints it. UTC, or a change to summer time would make every process a stranger."""
    rows = [_ps_row(line) for line in _ps_output().splitlines()]
    return {row.pid: row for row in rows}


def _ps_row(line: str) -> Row:
    pid, parent, group, state, _, month, day, clock, year = line.split()
    date = f"{year}{_MONTHS.index(month) // 3 + 1:02}{int(day):02}{clock.replace(':', '')}"
    return Row(int(pid), int(parent), int(group), int(date), state.startswith("Z"))


def _ps_output() -> str:
    """What `ps` has to say; "" when it does not answer in time. By hand, for `subprocess` is a megabyte of imports."""
    output, into = os.pipe()
    try:
        pid = os.posix_spawnp(
            "ps",
            ["ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="],
            {"PATH": "/bin:/usr/bin", "LC_ALL": "C", "TZ": "UTC"},
            file_actions=[(os.POSIX_SPAWN_DUP2, into, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
        )
    except OSError:
        os.close(output)
        return ""
    finally:
        os.close(into)
    try:
        return b"".join(_until_end(output, time.monotonic() + PS_LIMIT)).decode(errors="replace")
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        return ""
    finally:
        os.close(output)
        os.waitpid(pid, 0)


def _until_end(pipe: int, deadline: float) -> Iterator[bytes]:
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (chunk := os.read(pipe, 65536)):
            return
        yield chunk
    raise TimeoutError


# ------------------------------------------------------------------------------------------- asking about processes


def identify(pid: int) -> ProcessIdentity | None:
    """Who has this pid now; None when nobody, or only a zombie, does."""
    row = _proc_row(pid) if sys.platform == "linux" else ps_table().get(pid)
    return None if row is None or row.dead else row.identity


def alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs."""
    return identify(identity.pid) == identity


def survivors(identities: Iterable[ProcessIdentity], rows: Table) -> set[ProcessIdentity]:
    """Those of `identities` that still run."""
    return {one for one in identities if (row := rows.get(one.pid)) and row.identity == one and not row.dead}


def descendants(roots: Collection[int], rows: Table) -> set[ProcessIdentity]:
    """Every living process below `roots` (themselves not counted), however deep."""
    children: dict[int, list[Row]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row)
    found: dict[int, Row] = {}
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
    if sys.platform != "linux":
        return set()
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    found = (identify(pid) for pid in pids if _inherited(pid, lock, keeper))
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
