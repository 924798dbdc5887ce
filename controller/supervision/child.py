"""A child as the controller sees it: launched, adopted, awaited, stopped, through its keeper.

Processes start here, in `keeper.py` (the child itself) and in `tools.py`, and nowhere else. A keeper is nobody's child:
one that we launched and one that we found are held by the same thing, a socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from controller.errors import Unreachable
from controller.machine.socketpath import socket_path
from controller.supervision.home import Home, clear, end_all, private_folder, recorded
from controller.supervision.identity import ProcessIdentity, alive, send
from controller.supervision.keeper import KINDS
from controller.supervision.link import Link
from controller.supervision.spec import ChildSpec
from controller.supervision.tools import POLL, reap, spawn_failed
from controller.supervision.wire import Message

ROOT = str(Path(__file__).parents[2])  # where the package `controller` lies
BOOT = "import sys; sys.path.append(sys.argv[1]); from controller.supervision.keeper import main; main()"
LAUNCH_LIMIT = 30.0  # seconds for a keeper to come up and its child to be executed
ADOPT_LIMIT = 15.0  # seconds to get hold of a keeper that is being born or is leaving
STOP_MARGIN = 15.0  # seconds beyond the grace after which a keeper that has not stopped its child is given up
KEEPER_DEATH = 1.0  # seconds for a keeper that hung up to be gone
KEEP_WORDS = 65536  # bytes of a keeper's own last words before they begin anew


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended."""

    code: int | None  # None when a signal ended it, or nobody saw how it ended
    signal: int | None
    asked: bool  # we asked it to stop

    @property
    def words(self) -> str:
        if self.code is not None:
            return f"left with exit code {self.code}"
        if self.signal is not None:
            return f"was ended by signal {self.signal}{_signal_name(self.signal)}"
        return "is gone; nobody saw how"


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name.removeprefix('SIG')})"
    except ValueError:  # a real-time signal has no name
        return ""


class Child:
    """A handle on one keeper and the process it keeps; it ends with that process.

    Made by `launch` and `adopt`. It owns a socket and a task until the child has ended or `release` is called.
    """

    def __init__(self, home: Home, link: Link, facts: Message, *, adopted: bool) -> None:
        [self._child] = recorded(facts, "child")
        [self._keeper] = recorded(facts, "keeper")
        self.name: str = facts["name"]
        self.pid = self._child.pid
        self.keeper_pid = self._keeper.pid
        self.age: float = facts.get("age", 0.0)  # seconds it had run by then, the machine's sleep left out
        self.identity: str = facts["identity"]  # ChildSpec.identity of what it was started with
        self.note: dict[str, object] = facts["note"]  # the controller's own facts, kept by the keeper
        self.adopted = adopted
        self.dropped = 0  # bytes of output that are not in its log, as last reported
        self._grace: float = facts["stop_grace"]
        self._descendants: list[ProcessIdentity] = []
        self._take_news(facts)
        self._asked = False
        self._tail = ""
        self._home = home
        self._link = link
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._following = asyncio.create_task(self._follow(), name=f"keeper of {self.name}")
        self._following.add_done_callback(self._let_go)

    async def wait(self) -> Exit:
        """How it ended, as soon as nothing of its tree is left. May be called, and cancelled, any number of times.

        When the keeper itself was killed, its child is cleaned up first. Raises Unreachable when another controller
        took the child over, or when what is left of it cannot be killed.
        """
        return await asyncio.shield(self._ended)

    async def stop(self, grace: float | None = None) -> Exit:
        """TERM, and after `grace` seconds (None: as its spec says) KILL to all of its tree; returns when all are gone.

        Raises what `wait` raises.
        """
        self._asked = True
        self._link.say("stop", grace=grace)
        try:
            async with asyncio.timeout((self._grace if grace is None else grace) + STOP_MARGIN):
                return await self.wait()
        except TimeoutError:  # the keeper is frozen; without it the child is cleaned up as after any keeper's death
            send(self._keeper, signal.SIGKILL)
            return await self.wait()

    async def annotate(self, **note: object) -> None:
        """Add facts that must survive the controller; returns when they are on disk. Raises Unreachable."""
        self.note.update(note)
        await self._link.ask("note", note=self.note)

    async def lease(self, adopt_grace: float) -> None:
        """Hold the child for `adopt_grace` seconds from now on, when the controller goes away. Raises Unreachable."""
        await self._link.ask("lease", adopt_grace=adopt_grace)

    async def tail(self, size: int = 65536) -> bytes:
        """The newest output, `size` bytes at most, clean and without secrets; also after the end."""
        with suppress(Unreachable):
            return cast(str, (await self._link.ask("tail", size=size))["text"]).encode()
        return self._tail.encode()[-size:]

    def descendants(self) -> list[ProcessIdentity]:
        """The processes below the child, as the keeper last recorded them."""
        return list(self._descendants)

    async def release(self) -> None:
        """Let go without stopping: the keeper holds the child for `adopt_grace` seconds."""
        self._following.cancel()
        with suppress(asyncio.CancelledError):
            await self._following

    async def _follow(self) -> None:
        """Hear the keeper out, and find out what became of the child when it falls silent."""
        try:
            told = await self._hear_out()
            if told is None:
                await asyncio.to_thread(_outlive, self._home, self._keeper, self._child)
            self._ended.set_result(told or Exit(None, None, self._asked))
        except Unreachable as error:
            self._lose(error)
        except OSError as error:  # the next launch finds whatever is left of it, and the lock held
            self._lose(Unreachable(f"what became of {self.name} cannot be seen: {error}"))

    def _lose(self, error: Unreachable) -> None:
        self._ended.set_exception(error)
        self._ended.exception()  # it is seen by whoever waits; that nobody does is no fault

    def _let_go(self, _: asyncio.Task[None]) -> None:
        """However following ended, also when it was cancelled before it had begun."""
        self._ended.cancel()
        self._link.close()

    async def _hear_out(self) -> Exit | None:
        """The exit, once the keeper told it and left; None when it left without a word. Raises Unreachable."""
        told: Exit | None = None
        while (message := await self._link.hear()) is not None:
            match message["say"]:
                case "ended":
                    told = Exit(message["code"], message["signal"], message["asked"])
                    self._tail = message["tail"]
                    self._take_news(message)
                    self._link.say("leave")
                case "status":
                    self._take_news(message)
                case "replaced":
                    raise Unreachable(f"another controller has taken over {self.name}")
        self._link.close()
        return told

    def _take_news(self, news: Message) -> None:
        self._descendants = recorded(news, "descendants")
        self.dropped = news["dropped"]


def _outlive(home: Home, keeper: ProcessIdentity, child: ProcessIdentity) -> None:
    """The keeper fell silent, so it is dead or about to be: kill what it kept, so that another can be started."""
    deadline = time.monotonic() + KEEPER_DEATH
    while alive(keeper) and time.monotonic() < deadline:
        time.sleep(POLL)
    send(keeper, signal.SIGKILL)
    if not clear(home) and alive(child):
        raise Unreachable(f"pid {child.pid} still runs and cannot be killed; restart the machine")


# ------------------------------------------------------------------------------------------------------ launching


async def launch(spec: ChildSpec, home: Path, *, note: Mapping[str, object], adopt_grace: float) -> Child:
    """Start a keeper and through it the child. Raises SpawnFailed, and then nothing of either is left.

    `home` is the folder of all children. If the controller goes away, the keeper holds the child for `adopt_grace`
    seconds. Cancelled, it lets go: a child that has already begun is held like any other.
    """
    place = home_of(spec.name, home)
    order = {
        "do": "keep",
        "spec": spec.to_json(),
        "identity": spec.identity,
        "folder": place.folder,
        "socket": place.socket,
        "note": dict(note),
        "adopt_grace": adopt_grace,
    }
    try:
        _make_room(place)
        process, ours = _start_keeper(place, spec.name)
    except OSError as error:
        raise spawn_failed(spec.name, _kind(error), str(error)) from error
    try:
        async with asyncio.timeout(LAUNCH_LIMIT):
            return await _order(place, ours, order)
    except TimeoutError:
        raise spawn_failed(spec.name, "other", f"its keeper did not come up within {LAUNCH_LIMIT:.0f} s") from None
    finally:
        process.kill()  # it has forked the keeper and is gone, unless it hangs
        await reap(process)


async def _order(place: Home, sock: socket.socket, order: Message) -> Child:
    """Tell a fresh keeper what to keep; the child that it then keeps. Raises SpawnFailed."""
    link = await Link.over(sock)
    with ExitStack() as unless_kept:
        unless_kept.callback(link.close)
        link.say(**order)
        answer = await link.hear() or {"say": "failed", "kind": "away", "text": _last_words(place)}
        if answer["say"] == "started":
            unless_kept.pop_all()
            return Child(place, link, answer, adopted=False)
        while await link.hear() is not None:  # until the keeper is gone, and its lock free
            pass
    raise spawn_failed(order["spec"]["name"], answer["kind"], answer["text"])


def _kind(error: OSError) -> str:
    """Before there is a keeper nothing is to be said of the program: what fails is ours, and passes."""
    return "exhausted" if KINDS.get(error.errno or 0) == "exhausted" else "away"


def _make_room(place: Home) -> None:
    os.makedirs(os.path.dirname(place.folder), mode=0o700, exist_ok=True)
    private_folder(place.folder)


def _start_keeper(place: Home, name: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A new keeper and our end of the conversation with it. Raises OSError and leaks nothing."""
    ours, theirs = socket.socketpair()
    try:
        with theirs, _words(place) as words:
            # Not asyncio's: the process we start here leaves as soon as it has forked the keeper, and asyncio would
            # spend a thread on it (one that, with no room for a process, cannot be started either).
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", BOOT, ROOT, str(theirs.fileno()), f"keeper of {place.folder}"],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[theirs.fileno()],
                env={key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ},
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    return process, ours


def _words(place: Home) -> IO[bytes]:
    """Where a keeper writes should it crash."""
    path = os.path.join(place.folder, "keeper.err")
    file = open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb")
    if file.tell() > KEEP_WORDS:
        file.truncate(0)
    return file


def _last_words(place: Home) -> str:
    with suppress(OSError), open(os.path.join(place.folder, "keeper.err"), errors="replace") as file:
        return "its keeper died: " + "".join(file.readlines()[-1:]).strip()
    return "its keeper died"


def home_of(name: str, home: Path) -> Home:
    """The folder of one child, and where its socket lies."""
    folder = Path(os.path.realpath(home), name)
    return Home(str(folder), str(socket_path(folder / "keeper.sock")))


# ------------------------------------------------------------------------------------------------------- adopting


async def adopt(name: str, home: Path) -> Child | None:
    """The child that an earlier controller left with its keeper, or None when nothing runs (any more).

    A keeper that is stopping is waited for. After a dead one, what it recorded is killed (each process only when pid,
    start time and boot are the recorded ones). A child that ended unseen is returned too, ended. Raises SpawnFailed
    when what holds the lock neither answers nor dies.
    """
    place = home_of(name, home)
    with suppress(TimeoutError):
        async with asyncio.timeout(ADOPT_LIMIT) as limit:
            while True:
                if (found := await _attach(place, limit)) is not None:
                    return found
                if not place.exists() or await asyncio.to_thread(clear, place):
                    return None
                await asyncio.sleep(POLL)
    raise spawn_failed(name, "held", f"{place.lock} is still held by what ran before")


async def _attach(place: Home, limit: asyncio.Timeout) -> Child | None:
    """Become the controller of the keeper that lives there; None when there is none, or none any more."""
    sock = _connect(place)
    if sock is None:
        return None
    link = await Link.over(sock)
    with ExitStack() as unless_kept:
        unless_kept.callback(link.close)
        link.say("attach", id=0)
        try:
            answer = await link.hear_first() or {"say": "gone"}
        except TimeoutError:  # frozen: without it the child is cleaned up as after any keeper's death
            end_all(recorded(place.read() or {}, "keeper"))
            return None
        if answer["say"] == "attached":
            unless_kept.pop_all()
            return Child(place, link, answer, adopted=True)
        if answer["say"] == "stopping":
            _extend(limit, answer["within"] + STOP_MARGIN)
            while await link.hear() is not None:
                pass
    return None


def _connect(place: Home) -> socket.socket | None:
    """A connection to the keeper that listens there; None when none does. On a UNIX socket: at once or not at all."""
    if not os.path.exists(place.socket):
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        private_folder(os.path.dirname(place.socket))
        sock.connect(place.socket)
    except OSError:
        sock.close()
        return None
    return sock


def _extend(limit: asyncio.Timeout, seconds: float) -> None:
    limit.reschedule(asyncio.get_running_loop().time() + seconds)
