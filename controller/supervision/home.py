"""The folder of one child: its lock, its record, its socket. The keeper and the controller meet here.

    <data>/run/<child>/lock          flock of the keeper; the child and all its descendants inherit it
                       record.json   who runs: written before the child is executed, and whenever the tree changes
                       keeper.sock   where the controller talks to the keeper (elsewhere when the path is too long)
                       keeper.err    the keeper's own last words

Stdlib only: the keeper lives on it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Collection, Iterable
from signal import SIGKILL

from controller.supervision.identity import ProcessIdentity, alive, boot_id, holders, send, survivors, table
from controller.supervision.wire import Message

CLEAR_PAUSE = 0.02  # seconds between two looks at a lock that is being given up


class Home:
    """Paths of one child, and what may be done with them."""

    def __init__(self, folder: str, socket: str) -> None:
        self.folder = folder
        self.socket = socket
        self.lock = os.path.join(folder, "lock")
        self.record = os.path.join(folder, "record.json")

    def exists(self) -> bool:
        return os.path.isdir(self.folder)

    def read(self) -> Message | None:
        """The record, or None when there is none, it is none of ours, or of an earlier run of the machine."""
        try:
            with open(self.record) as file:
                record = json.load(file)
        except (FileNotFoundError, ValueError):  # nothing here can be half-written: a file that is no JSON is not ours
            return None
        return record if _is_ours(record) and record["boot"] == boot_id() else None

    def write(self, record: Message) -> None:
        """Replace the record, on the disk when this returns. Raises OSError. (It need not outlive a power cut, as what
        it names does not: fsync is enough, on a Mac too.)
        """
        draft = self.record + ".new"
        with open(draft, "w") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.record)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def take_lock(self, limit: float = 0.0) -> int | None:
        """The descriptor that holds the lock, or None when somebody else still holds it after `limit` seconds."""
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + limit
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(lock)
                    return None
            time.sleep(CLEAR_PAUSE)  # the keeper has nothing else to do yet, and a lock cannot be awaited with a limit

    def forget(self) -> None:
        """Take record and socket away. Only for who holds the lock."""
        for path in (self.record, self.socket):
            if os.path.lexists(path):
                os.unlink(path)
        if os.path.dirname(self.socket) != self.folder:
            try:
                os.rmdir(os.path.dirname(self.socket))
            except OSError:  # there is none, or it is not ours; then it will be refused when it is needed
                pass


def _is_ours(record: object) -> bool:
    """Whether it says what a keeper writes, so that nothing strange in it is taken for a process."""
    if not isinstance(record, dict) or "boot" not in record:
        return False
    try:
        keepers, children, _ = (recorded(record, name) for name in ("keeper", "child", "descendants"))
    except TypeError:
        return False
    return len(keepers) == len(children) == 1


def recorded(record: Message, *names: str) -> list[ProcessIdentity]:
    """The process identities that a record (or a message) lists under `names`."""
    return [ProcessIdentity(*pair) for name in names for pair in record.get(name, ())]


def end_all(identities: Collection[ProcessIdentity]) -> None:
    """KILL each of these processes, if it is still the one that was meant."""
    for identity in identities:
        send(identity, SIGKILL)


def sweep(home: Home, limit: float = 5.0) -> None:
    """Kill what a former run recorded and left behind although the lock is free. Only for who holds the lock.

    Blocking, until it is gone or `limit` seconds are over.
    """
    deadline = time.monotonic() + limit
    known = recorded(home.read() or {}, "child", "descendants")
    while (left := survivors(known, table())) and time.monotonic() < deadline:
        end_all(left)
        time.sleep(CLEAR_PAUSE)
    home.forget()


def clear(home: Home, limit: float = 5.0) -> bool:
    """Make room where a keeper died: kill its recorded child and descendants and whoever inherited its lock.

    True when the lock is free and nothing is left. False when a keeper lives there (or is just being born), or when
    something would not die within `limit` seconds. Blocking: for a thread.
    """
    deadline = time.monotonic() + limit
    while True:
        lock = home.take_lock()
        if lock is not None:
            sweep(home)
            os.close(lock)
            return True
        record = home.read()
        if record is None or time.monotonic() > deadline:
            return False
        [keeper] = recorded(record, "keeper")
        if alive(keeper):
            return False
        end_all({*recorded(record, "child", "descendants"), *holders(home.lock, keeper.pid)})
        time.sleep(CLEAR_PAUSE)


def private_folder(path: str) -> None:
    """Make sure that `path` is a folder of ours that nobody else may enter. Raises OSError."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not a private folder of this user; remove it")


def pairs(identities: Iterable[ProcessIdentity]) -> list[list[int]]:
    """Identities as JSON keeps them, in a steady order."""
    return sorted([one.pid, one.start] for one in identities)
