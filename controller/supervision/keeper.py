"""The keeper: a tiny process that starts one child, holds it, and outlives the controller.

It is the child's real parent. Here is its birth, and its child's: it takes a lock that the child and all its
descendants inherit (so the kernel itself knows of at most one), and it has the child on record before the program
runs. What it does from then on is `keeping.py`.

`child.py` runs it with `python -I -S`. Its memory is the price of every child, so each import was weighed: standard
library only, no asyncio, typing, subprocess, hashlib, dataclasses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable

from controller.machine import dispositions, openfiles
from controller.supervision.home import Home, private_folder, sweep
from controller.supervision.identity import ProcessIdentity, identify
from controller.supervision.keeping import Keeping
from controller.supervision.pump import Pump
from controller.supervision.wire import VERSION, Message, decode, encode

LOCK_LIMIT = 2.0  # seconds a launch waits for the tree before it to let go of the lock
TELL_LIMIT = 1.0  # seconds given to a controller to hear why nothing was started

TYPE_CHECKING = False  # `typing` itself would cost the keeper 0.7 MB
if TYPE_CHECKING:
    from typing import NoReturn

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

KINDS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EACCES: "not_executable",
    errno.EPERM: "not_executable",
    errno.ENOEXEC: "wrong_kind",
    86: "wrong_kind",  # EBADARCH, macOS
    errno.EAGAIN: "exhausted",
    errno.ENOMEM: "exhausted",
    errno.EMFILE: "exhausted",
    errno.ENFILE: "exhausted",
}


class ExecFailed(Exception):
    """The child could not be started: `kind` of fault, and the system's own words."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


def _reason(error: OSError, *, of_program: bool = False) -> ExecFailed:
    """An OSError as a reason. Only of the program itself can it be said that it is missing or of the wrong kind."""
    kind = KINDS.get(error.errno or 0, "other")
    if kind == "missing" and error.filename and os.path.exists(error.filename):
        kind = "wrong_kind"  # it is there: what is missing is the interpreter or the loader that it names
    if not of_program and kind != "exhausted":
        kind = "other"
    return ExecFailed(kind, f"{error.filename}: {error.strerror}" if error.filename else str(error))


def main() -> None:
    """`keeper <package root> <descriptor of the connection>`: become a process of its own, then keep what is asked."""
    controller = socket.socket(fileno=int(sys.argv[2]))
    controller.set_inheritable(False)
    try:
        _detach()
        keeping = _begin(_hear_order(controller), controller)
    except OSError as error:
        _give_up(controller, _reason(error))
    except ExecFailed as reason:
        _give_up(controller, reason)
    try:
        keeping.run()
    finally:
        keeping.kill()
    os._exit(0)  # nothing is left that Python's own farewell would have to tidy


def _detach() -> None:
    """Be nobody's child: who launched us has nothing to reap for as long as we live."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.umask(0o077)
    dispositions.unblocked()  # what we hear of the child, and of who wants us to leave, comes by signals
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # what the child's tree orphans becomes ours to reap, and to find


def _hear_order(controller: socket.socket) -> Message:
    heard = b""
    while not heard.endswith(b"\n"):
        chunk = controller.recv(65536)
        if not chunk:
            os._exit(0)  # the controller died before it had said what to keep: nothing was started
        heard += chunk
    order = decode(heard)
    if order is None or order.get("do") != "keep":
        raise ExecFailed("other", "the keeper was not told what to keep")
    return order


def _begin(order: Message, controller: socket.socket) -> Keeping:
    """Everything up to a running child. Raises Failed or OSError, and then nothing of it is left."""
    home = Home(order["folder"], order["socket"])
    lock = home.take_lock(LOCK_LIMIT)
    if lock is None:
        raise ExecFailed("held", f"{home.lock} is held by another keeper, or by what one left behind")
    if _hung_up(controller):
        # The next controller may have looked before we had the lock, and found nothing to adopt. One that looks from
        # now on waits for us; so whoever launched us must have been alive until here.
        os._exit(0)
    try:
        sweep(home)
        listener = _listen(home.socket)
        pump = Pump(order["spec"])
        keeping = Keeping(order, home, lock, pump, controller)
        _bear(order["spec"], lock, pump.into, keeping.put_on_record)
    except (OSError, ExecFailed):
        home.forget()
        os.close(lock)
        raise
    os.close(pump.into)
    keeping.begin(listener)
    return keeping


def _hung_up(controller: socket.socket) -> bool:
    try:
        return not controller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _give_up(controller: socket.socket, reason: ExecFailed) -> NoReturn:
    controller.settimeout(TELL_LIMIT)
    try:
        controller.sendall(encode({"v": VERSION, "say": "failed", "kind": reason.kind, "text": reason.text}))
    except OSError:  # the controller is gone: nobody to tell
        pass
    os._exit(1)


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _listen(path: str) -> socket.socket:
    """The socket on which controllers attach. The lock is ours, so a socket that lies there is stale."""
    private_folder(os.path.dirname(path))
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(8)
    listener.setblocking(False)
    return listener


def _bear(spec: Message, lock: int, output: int, record: Callable[[ProcessIdentity], None]) -> None:
    """Fork; have the child on record; let it run. Raises Failed when it cannot, OSError when we cannot."""
    go, word = os.pipe()
    fault, confession = os.pipe()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(word)  # its end must come with the keeper's, or we would wait for ever
        _become(spec, lock, output, go, confession, keeper)
    os.close(go)
    os.close(confession)
    try:
        record(identify(pid) or ProcessIdentity(pid, 0))
        os.write(word, b"g")
    except OSError:
        os.close(word)  # without the word before it: the child leaves unborn
        os.waitpid(pid, 0)
        raise
    os.close(word)
    said = os.read(fault, 64)  # ends when the program runs: exec closes the other end
    os.close(fault)
    if said:
        os.waitpid(pid, 0)
        step, number = said.decode().split()
        what = {"program": spec["argv"][0], "folder": spec["folder"]}.get(step, "setup")
        raise _reason(OSError(int(number), os.strerror(int(number)), what), of_program=step == "program")


def _become(spec: Message, lock: int, output: int, go: int, fault: int, keeper: int) -> NoReturn:
    """In the forked process: wait until we are on record, then become the program; or tell why not, and leave."""
    step = "setup"
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper or os.read(go, 1) != b"g":
            os._exit(126)  # the keeper died first
        _shed_keeper(lock, output)
        openfiles.allow(spec["files"])
        step = "folder"
        os.chdir(spec["folder"])
        step = "program"
        os.execve(spec["argv"][0], spec["argv"], dict(spec["environment"]))
    except OSError as error:
        os.write(fault, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)


def _shed_keeper(lock: int, output: int) -> None:
    """Put back what exec would pass on, whoever changed it: Python, the keeper, or whoever started the controller. Hand
    over the three streams and the lock.
    """
    signal.set_wakeup_fd(-1)
    dispositions.untouched()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.set_inheritable(lock, True)
