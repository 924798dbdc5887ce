"""What a keeper does while its child lives: one selector, one thread, nothing that blocks.

It reads the child's output, records who descends from it, answers one controller (`wire.py`), stops the whole tree,
knows the exact exit. Without a controller it holds the child for `adopt_grace` seconds, then stops it and leaves.
Stdlib only.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from controller.supervision.home import Home, end_all, pairs
from controller.supervision.identity import ProcessIdentity, boot_id, descendants, identify, survivors, table
from controller.supervision.pump import Pump
from controller.supervision.wire import VERSION, KeeperSocket, Message

FIRST_LOOK = 0.2  # seconds until the descendants are looked up for the first time
LOOK = 2.0  # seconds between two looks at them
TICK = 1.0  # seconds between two looks at the log, and at what is worth telling
SWEEP_PAUSE = 0.02  # seconds between two rounds of killing what is left
SWEEP_LIMIT = 10.0  # seconds after which what does not die is left to whoever asks for the lock next
LAST_WORDS = 65536  # bytes of output told with the child's end
GOODBYE = 1.0  # seconds that a keeper which leaves gives its controller to hear why


class Keeping:
    """One child, from its birth until nothing of it is left."""

    def __init__(self, order: Message, home: Home, lock: int, pump: Pump, controller: socket.socket) -> None:
        self._home = home
        self._lock = lock
        self._pump = pump
        self._spec: Message = order["spec"]
        self._note: Message = order["note"]
        self._adopt_grace: float = order["adopt_grace"]
        self._identity: str = order["identity"]
        self._me = ProcessIdentity(*(identify(os.getpid()) or (os.getpid(), 0)))
        self._child = ProcessIdentity(0, 0)
        self._started_at = 0.0  # seconds since the epoch
        self._born = 0.0  # the same moment, by the clock that nobody can set
        self._descendants: set[ProcessIdentity] = set()
        self._recorded = False  # what is on disk is what we know
        self._status: int | None = None  # how the child ended, as wait(2) says it
        self._asked = False  # we were asked to stop it
        self._stopping_until: float | None = None
        self._sweeping_until = 0.0
        self._terminated = False  # we ourselves were asked to leave, by TERM
        self._ended: Message | None = None  # what is told about the end, once nothing of the tree is left
        self._left = False
        self._told: Message = {}
        self._timers: dict[Callable[[], None], float] = {}
        self._selector = selectors.DefaultSelector()
        self._lines: set[KeeperSocket] = set()
        self._controller: KeeperSocket | None = self._line(controller)
        self._watch_signals()

    def put_on_record(self, child: ProcessIdentity) -> None:
        """The child is born, and waits for this before it runs. Raises OSError when the disk does not take it."""
        self._child = child
        self._started_at, self._born = time.time(), time.monotonic()
        self._home.write(self._record())
        self._recorded = True

    def begin(self, listener: socket.socket) -> None:
        """The child runs: watch it, and be there for controllers."""
        self._selector.register(self._pump.output, selectors.EVENT_READ, self._read)
        self._selector.register(listener, selectors.EVENT_READ, lambda _: self._accept(listener))
        self._after(FIRST_LOOK, self._look)
        self._after(TICK, self._tick)
        if self._controller:
            self._controller.say("started", **self._facts())

    def _watch_signals(self) -> None:
        heard, wakeup = os.pipe()
        for end in (heard, wakeup):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # the wakeup descriptor tells; without a handler it would not
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(heard, selectors.EVENT_READ, lambda _: self._on_signals(os.read(heard, 4096)))

    # ------------------------------------------------------------------------------------------- what it knows

    def _record(self) -> Message:
        return {
            "v": VERSION,
            "boot": boot_id(),
            "name": self._spec["name"],
            "identity": self._identity,
            "keeper": [self._me],
            "child": [self._child],
            "descendants": pairs(self._descendants),
            "started_at": self._started_at,
            "note": self._note,
        }

    def _facts(self) -> Message:
        age = time.monotonic() - self._born
        return {**self._record(), **self._news(), "stop_grace": self._spec["stop_grace"], "age": age}

    def _news(self) -> Message:
        return {
            "descendants": pairs(self._descendants),
            "dropped": self._pump.dropped,
            "log_problem": self._pump.problem,  # for controllers of former versions: a member, once told, stays
        }

    def _save(self) -> None:
        try:
            self._home.write(self._record())
            self._recorded = True
        except OSError:  # a full disk must not end the child; tried again with the next look
            self._recorded = False

    # ------------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Keep the child until it is gone and told."""
        while not self._left:
            for key, mask in self._selector.select(self._patience()):
                key.data(mask)
            now = time.monotonic()
            for action in [action for action, due in self._timers.items() if due <= now]:
                if self._timers.pop(action, None) is not None:  # an earlier one may have called it off
                    self._act(action)

    def _act(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError:  # the whole machine is short of descriptors: no reason to let go of the child
            self._after(TICK, action)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` once, in `seconds`; instead of, not besides, what was set for it before."""
        self._timers[action] = time.monotonic() + seconds

    def _never(self, action: Callable[[], None]) -> None:
        self._timers.pop(action, None)

    def _patience(self) -> float | None:
        return max(0.0, min(self._timers.values()) - time.monotonic()) if self._timers else None

    def _read(self, _: int) -> None:
        if not self._pump.read():
            self._selector.unregister(self._pump.output)

    def _tick(self) -> None:
        self._pump.tick()
        self._tell_news()
        self._after(TICK, self._tick)

    def _look(self) -> None:
        found = self._find()
        if found != self._descendants or not self._recorded:
            self._descendants = found
            self._save()
            self._tell_news()
        self._after(LOOK, self._look)

    def _find(self) -> set[ProcessIdentity]:
        """All that lives of the tree besides the child itself: below us, in its group, or once recorded."""
        rows = table()
        found = descendants([self._me.pid], rows) | survivors(self._descendants, rows)
        leader = rows.get(self._child.pid)
        if leader is None or leader.identity == self._child:
            found |= {row.identity for row in rows.values() if row.group == self._child.pid and not row.dead}
        return found - {self._child}

    def _remember(self) -> None:
        """Whoever is below the child while it lives: on a Mac, what it leaves behind is below nobody we know."""
        try:
            self._descendants = self._find()
        except OSError:  # those that were seen before still are
            pass

    def _tell_news(self) -> None:
        news = self._news()
        if news != self._told and self._controller and self._controller.tell("status", **news):
            self._told = news

    def _on_signals(self, numbers: bytes) -> None:
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGTERM in numbers:
            self._terminated = True
            self._stop(self._spec["stop_grace"])
            if self._ended:
                self._leave()

    # ------------------------------------------------------------------------------------------- the end

    def _stop(self, grace: float) -> None:
        """TERM now, KILL in `grace` seconds. Asked again, the sooner KILL counts."""
        if self._status is not None:
            return
        until = time.monotonic() + grace
        if self._stopping_until is None or until < self._stopping_until:
            self._stopping_until = until
            self._after(grace, self.kill)
        self._remember()
        for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process hears TERM only when it goes on
            os.kill(self._child.pid, number)  # until we reap it, the pid is certainly our child's

    def kill(self) -> None:
        """KILL the child's group and every descendant; does nothing once the child is gone."""
        if self._status is None:
            self._remember()
            self._kill_group()
            end_all(self._descendants)

    def _kill_group(self) -> None:
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # nobody left; macOS says EPERM of a group of zombies
            pass

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child.pid and self._status is None:
                self._on_end(status)
            elif self._sweep in self._timers:  # one less: perhaps it was the last
                self._after(0.0, self._sweep)

    def _on_end(self, status: int) -> None:
        """The child itself is gone, whoever may still hold its output: now the rest of its tree goes too.

        Its pid cannot have become another group meanwhile: the number stays taken while its group has members, and
        with none left no pid comes round again within the microseconds since waitpid.
        """
        self._status = status
        self._kill_group()
        self._never(self.kill)
        self._never(self._look)
        self._sweeping_until = time.monotonic() + SWEEP_LIMIT
        self._act(self._sweep)

    def _sweep(self) -> None:
        self._descendants = self._find()
        if self._descendants and time.monotonic() < self._sweeping_until:
            end_all(self._descendants)
            self._after(SWEEP_PAUSE, self._sweep)
        else:
            self._finish()

    def _finish(self) -> None:
        """Nothing of the tree is left: say how it ended, and leave once that is heard (or nobody comes to hear it)."""
        self._pump.end()
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        self._ended = {
            "code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "asked": self._asked,
            "tail": self._pump.tail(LAST_WORDS),
            **self._news(),
        }
        if self._controller:
            self._controller.say("ended", **self._ended)
        elif self._asked or self._terminated:
            self._leave()
        if self._terminated:
            self._after(GOODBYE, self._leave)

    def _abandon(self) -> None:
        """No controller came back in time."""
        if self._ended:
            self._leave()
        else:
            self._asked = True
            self._stop(self._spec["stop_grace"])

    def _leave(self) -> None:
        """The lock is free before anybody hears us hang up: who waited for that may start the next one at once."""
        if self._left:
            return
        self._left = True
        try:
            self._home.forget()
        finally:
            os.close(self._lock)
            for line in list(self._lines):
                line.finish(GOODBYE)

    # ------------------------------------------------------------------------------------------- the controller

    def _line(self, sock: socket.socket) -> KeeperSocket:
        line = KeeperSocket(sock, self._selector, self._hear, self._gone)
        self._lines.add(line)
        return line

    def _accept(self, listener: socket.socket) -> None:
        try:
            self._line(listener.accept()[0])
        except OSError:  # it hung up before we came, or descriptors are short just now: it will try again
            pass

    def _hear(self, line: KeeperSocket, message: Message) -> None:
        try:
            VERBS[message["do"]](self, line, message)
        except (LookupError, TypeError, ValueError):  # of a newer protocol, or of none: no reason to fall over
            line.say("unknown", id=message.get("id"))

    def _gone(self, line: KeeperSocket) -> None:
        self._lines.discard(line)
        if line is not self._controller or self._left:
            return
        self._controller = None
        if self._ended and self._asked:
            self._leave()
        else:
            found = os.path.lexists(self._home.socket)  # if it was deleted, no other controller will ever come
            self._after(self._adopt_grace if found else 0.0, self._abandon)

    def _attach(self, line: KeeperSocket, message: Message) -> None:
        """Another controller. It wins: it holds the controller's lock, so the one before it is dead or about to be."""
        if self._stopping_until is not None:
            within = max(0.0, self._stopping_until - time.monotonic()) + SWEEP_LIMIT
            line.say("stopping", id=message.get("id"), within=within)
            return
        before, self._controller = self._controller, line
        if before is not None and before is not line:
            before.say("replaced")
            before.finish(0.0)
        self._never(self._abandon)
        self._told = self._news()
        line.say("attached", id=message.get("id"), **self._facts())
        if self._ended:
            line.say("ended", **self._ended)

    def _take_note(self, line: KeeperSocket, message: Message) -> None:
        self._note = message["note"]
        self._save()
        line.say("done", id=message.get("id"), durable=self._recorded)

    def _set_lease(self, line: KeeperSocket, message: Message) -> None:
        self._adopt_grace = message["adopt_grace"]
        line.say("done", id=message.get("id"))

    def _tell_tail(self, line: KeeperSocket, message: Message) -> None:
        line.say("tail", id=message.get("id"), text=self._pump.tail(message["size"]))

    def _obey_stop(self, line: KeeperSocket, message: Message) -> None:
        grace = message.get("grace")
        self._asked = self._asked or self._status is None
        self._stop(self._spec["stop_grace"] if grace is None else grace)

    def _obey_leave(self, line: KeeperSocket, message: Message) -> None:
        if self._ended:
            self._leave()


VERBS: dict[str, Callable[[Keeping, KeeperSocket, Message], None]] = {
    "attach": Keeping._attach,
    "note": Keeping._take_note,
    "lease": Keeping._set_lease,
    "tail": Keeping._tell_tail,
    "stop": Keeping._obey_stop,
    "leave": Keeping._obey_leave,
}
