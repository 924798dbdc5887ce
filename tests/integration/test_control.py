"""Orders over a real socket, from the blocking client to the asyncio server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from controller.control import client
from controller.control.server import AT_A_TIME, peer_uid, serve
from controller.control.verbs import VERBS
from controller.errors import NotRunning, SeadragonError
from controller.events import Event, Journal
from controller.supervision.spec import ChildState
from tests.fakes.desk import FakeAudit, FakeDesk, a_line, a_ticket, an_ollama


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    return FakeDesk(tmp_path)


@pytest.fixture
async def path(desk: FakeDesk, tmp_path: Path) -> AsyncIterator[Path]:
    at = tmp_path / "data" / "control.sock"
    async with serve(desk, at):
        yield at


async def ask(path: Path, verb: str, **arguments: object) -> object:
    return await asyncio.to_thread(lambda: client.ask(path, verb, limit=30, **arguments))


class Listening:
    """A follower in a thread: `lines` grow as they come."""

    def __init__(self, path: Path, verb: str, **arguments: object) -> None:
        self.lines: asyncio.Queue[object] = asyncio.Queue()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def work() -> None:
            with contextlib.suppress(RuntimeError):  # the test is over, and its event loop closed
                end = "answered"
                try:
                    for line in client.listen(path, verb, limit=30, **arguments):
                        loop.call_soon_threadsafe(self.lines.put_nowait, line)
                except SeadragonError as error:
                    end = type(error).__name__
                loop.call_soon_threadsafe(self.ended.set_result, end)

        threading.Thread(target=work, daemon=True).start()

    async def next(self) -> object:
        async with asyncio.timeout(20):
            return await self.lines.get()


async def test_status_is_the_whole_picture(path: Path, desk: FakeDesk) -> None:
    status = await asyncio.to_thread(client.status, path)
    assert status["pid"] == os.getpid()
    assert status["version"] == "1.2.3"
    assert status["phase"] == "running"
    assert status["listeners"] == desk.listeners
    assert status["config"] == {"stale": False, "problems": []}
    ollama = status["children"]["ollama"]  # type: ignore[index]
    assert ollama["state"] == "ready"
    assert {"pid", "keeper_pid", "url", "restarts", "reason"} <= ollama.keys()


async def test_a_stale_configuration_says_why(path: Path, desk: FakeDesk) -> None:
    desk.config_problems = ["config/server.yaml:3:1 server.hold: found 'soon'; allowed: a duration"]
    status = await asyncio.to_thread(client.status, path)
    assert status["config"] == {"stale": True, "problems": desk.config_problems}


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
async def test_a_child_is_started_stopped_and_restarted_by_name(path: Path, desk: FakeDesk, verb: str) -> None:
    answer = await ask(path, verb, name="ollama")
    assert desk.orders == [(verb, "ollama")]
    assert answer == json.loads(json.dumps(desk.known["ollama"].to_json()))


async def test_a_name_that_is_no_childs_is_refused_with_the_names_there_are(path: Path, desk: FakeDesk) -> None:
    with pytest.raises(client.VerbRefused, match="no child called 'olama'.*ollama"):
        await ask(path, "restart", name="olama")
    assert desk.orders == []


async def test_reload_tells_what_changed(path: Path, desk: FakeDesk) -> None:
    desk.reloaded = ["server.hold is 30 s now"]
    assert await ask(path, "reload") == ["server.hold is 30 s now"]


async def test_a_refusal_arrives_in_its_own_words(path: Path, desk: FakeDesk) -> None:
    def refuse(order: str) -> None:
        raise SeadragonError("config/server.yaml:3:1 is broken")

    desk.on_order = refuse
    with pytest.raises(client.VerbRefused, match=r"server\.yaml:3:1 is broken"):
        await ask(path, "reload")


async def test_an_order_that_fails_unforeseen_is_told_and_noted_and_the_next_one_works(
    path: Path, desk: FakeDesk
) -> None:
    def fail(order: str) -> None:
        raise ZeroDivisionError("oh")

    desk.on_order = fail
    with pytest.raises(client.VerbRefused, match="It failed"):
        await ask(path, "reload")
    assert desk.journal.last(1)[0].level == "error"
    desk.on_order = lambda order: None
    assert await ask(path, "reload") == []


async def test_down_tells_what_happens_until_the_controller_is_gone(tmp_path: Path) -> None:
    desk = FakeDesk(tmp_path)
    ordered = asyncio.Event()
    desk.on_order = lambda order: ordered.set()
    async with serve(desk, tmp_path / "c.sock"):
        down = Listening(tmp_path / "c.sock", "down")
        await ordered.wait()
        desk.journal.say("controller", "Waiting for 2 answers.")
        line = await down.next()
        assert isinstance(line, dict)
        assert line["text"] == "Waiting for 2 answers."
    assert await down.ended == "Left"
    assert desk.orders == [("leave", False)]


async def test_down_that_a_service_manager_does_not_let_go_is_answered(path: Path, desk: FakeDesk) -> None:
    ordered = asyncio.Event()
    desk.on_order = lambda order: ordered.set()
    down = Listening(path, "down")
    await ordered.wait()
    desk.phase = "stopping"
    desk.journal.say("controller", "The children are stopped.")
    await down.next()
    desk.phase = "running"
    assert await down.next() == {"stays": True}


async def test_ending_while_somebody_listens_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = FakeDesk(tmp_path)
    async with serve(desk, tmp_path / "c.sock"):
        desk.journal.say("ollama", "Here.")
        following = Listening(tmp_path / "c.sock", "events", count=1, follow=True)
        await following.next()
    assert await following.ended == "Left"
    await asyncio.sleep(0)
    assert not caplog.records


async def test_restart_without_a_name_leaves_the_children_to_the_next_controller(tmp_path: Path) -> None:
    desk = FakeDesk(tmp_path)
    ordered = asyncio.Event()
    desk.on_order = lambda order: ordered.set()
    async with serve(desk, tmp_path / "c.sock"):
        restart = Listening(tmp_path / "c.sock", "restart")
        await ordered.wait()
    assert await restart.ended == "Left"
    assert desk.orders == [("leave", True)]


async def test_the_log_of_a_child_is_followed(path: Path, desk: FakeDesk) -> None:
    desk.logs.mkdir()
    log = desk.logs / "ollama.log"
    log.write_text("one\ntwo\nthree\n")
    assert await ask(path, "logs", name="ollama", count=2) is None
    following = Listening(path, "logs", name="ollama", count=2, follow=True)
    assert [await following.next(), await following.next()] == ["two", "three"]
    with log.open("a") as more:
        more.write("four\n")
    assert await following.next() == "four"


async def test_a_log_name_cannot_climb_out_of_the_folder(path: Path) -> None:
    with pytest.raises(client.VerbRefused, match="no child called"):
        await ask(path, "logs", name="../data/secret")


async def test_events_come_as_they_happen(path: Path, desk: FakeDesk) -> None:
    desk.journal.say("ollama", "First.")
    following = Listening(path, "events", count=1, follow=True)
    first = await following.next()
    desk.journal.say("ollama", "Second.")
    second = await following.next()
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["text"], second["text"], second["number"]) == ("First.", "Second.", 2)


async def test_a_follower_that_hangs_up_is_let_go(path: Path, desk: FakeDesk) -> None:
    let_go = asyncio.Event()

    class Heard(Journal):
        @contextlib.contextmanager
        def subscribe(self) -> Iterator[asyncio.Queue[Event]]:
            try:
                with super().subscribe() as queue:
                    yield queue
            finally:
                let_go.set()

    desk.journal = Heard(desk.clock)
    desk.journal.say("ollama", "Here.")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"verb": "events", "follow": true}\n')
    async with asyncio.timeout(20):
        await reader.readline()
        writer.close()
        await let_go.wait()


async def test_a_connection_closed_for_writing_still_gets_its_answer(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"verb": "status"}\n')
    writer.write_eof()
    async with asyncio.timeout(20):
        assert b'"answer"' in await reader.read()
    writer.close()


@pytest.mark.parametrize(
    "text", [b"\n", b"hello\n", b"[]\n", b'{"verb": "fly"}\n', b'{"verb": ["status"]}\n', b"\xff\n"]
)
async def test_what_is_not_understood_is_answered_with_what_would_be(path: Path, text: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(text)
    async with asyncio.timeout(20):
        message = json.loads(await reader.readline())
    writer.close()
    assert message["kind"] == "unknown"
    assert all(verb in message["problem"] for verb in VERBS)


async def test_an_endless_request_ends_the_connection_and_nothing_else(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"x" * 300_000)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            assert await reader.read() == b""
    writer.close()
    assert await ask(path, "status")


async def test_more_connections_than_we_serve_are_closed_at_once(path: Path) -> None:
    held = [await asyncio.open_unix_connection(path) for _ in range(AT_A_TIME)]
    reader, writer = await asyncio.open_unix_connection(path)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    for _, each in [*held, (reader, writer)]:
        each.close()


async def test_the_socket_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    at = tmp_path / "data" / "control.sock"
    at.parent.mkdir(mode=0o755)
    async with serve(FakeDesk(tmp_path), at):
        assert stat.S_IMODE(at.stat().st_mode) == 0o600
        assert stat.S_IMODE(at.parent.stat().st_mode) == 0o700
    assert not at.exists()


async def test_a_socket_left_by_a_killed_controller_is_replaced(tmp_path: Path) -> None:
    at = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(at))
    with pytest.raises(NotRunning):
        client.status(at)
    async with serve(FakeDesk(tmp_path), at):
        assert await ask(at, "status")


async def test_a_folder_that_is_only_a_link_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError, match="link is not a folder"):
        async with serve(FakeDesk(tmp_path), tmp_path / "link" / "control.sock"):
            pass


def test_without_a_controller_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="seadragon up"):
        client.status(tmp_path / "control.sock")


def test_a_controller_that_hangs_is_told_from_one_that_is_gone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "c.sock"))
        hanging.listen()
        with pytest.raises(client.VerbRefused, match="does not answer"):
            client.ask(tmp_path / "c.sock", "status", limit=0.05)


def test_a_connection_cut_in_the_middle_is_a_controller_that_left(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(tmp_path / "c.sock"))
        dying.listen()

        def die() -> None:
            connection, _ = dying.accept()
            connection.close()  # with the request unread: a reset

        threading.Thread(target=die).start()
        with pytest.raises(client.Left):
            client.ask(tmp_path / "c.sock", "status", limit=20)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        yield one, other


def test_the_kernel_says_who_is_on_the_other_end(pair: tuple[socket.socket, socket.socket]) -> None:
    assert peer_uid(pair[0]) == os.getuid()


@pytest.mark.parametrize(("platform", "uid"), [("darwin", 501), ("linux", 1000), ("freebsd14", None)])
def test_each_system_is_asked_in_its_own_way(monkeypatch: pytest.MonkeyPatch, platform: str, uid: int | None) -> None:
    class Peer:
        """Answers as <sys/ucred.h> of a Mac (version, user, count of groups, sixteen groups) and Linux lay it out."""

        def getsockopt(self, level: int, name: int, size: int) -> bytes:
            if platform == "linux":
                assert (level, name, size) == (1, 17, 12)  # SOL_SOCKET, SO_PEERCRED
                return struct.pack("3i", 4711, 1000, 100)
            assert (level, name, size) == (0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
            return struct.pack("=IIh2x16I", 0, 501, 3, 20, 12, 61, *[0] * 13)

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(socket, "SO_PEERCRED", 17, raising=False)
    assert peer_uid(Peer()) == uid  # type: ignore[arg-type]  # it answers what is asked


async def test_facts_say_what_only_the_running_process_knows(path: Path) -> None:
    facts = await ask(path, "facts")
    assert isinstance(facts, dict)
    assert {"files", "search", "python", "children"} <= facts.keys()


async def test_a_child_in_trouble_says_why(tmp_path: Path) -> None:
    desk = FakeDesk(tmp_path, an_ollama(ChildState.MISCONFIGURED, reason="The program is missing.", pid=None))
    async with serve(desk, tmp_path / "c.sock"):
        status = await asyncio.to_thread(client.status, tmp_path / "c.sock")
    assert status["children"]["ollama"]["reason"] == "The program is missing."  # type: ignore[index]


async def test_the_line_the_models_and_the_memory_are_told_as_they_are(path: Path, desk: FakeDesk) -> None:
    desk.line = a_line(a_ticket(1, "cline"))
    assert await ask(path, "queue") == {**desk.line, "others": {"waiting": 0, "running": 0}}
    assert await ask(path, "models") == desk.installed
    assert await ask(path, "memory") == desk.room
    status = await asyncio.to_thread(client.status, path)
    assert (status["line"], status["memory"]) == (
        {name: value for name, value in desk.line.items() if name != "tickets"},
        desk.room,
    )


async def test_an_order_is_followed_until_it_ends(path: Path, desk: FakeDesk) -> None:
    ordered = asyncio.Event()
    desk.on_job = lambda job: ordered.set()
    order = Listening(path, "order", kind="load", model="qwen3", follow=True)
    assert await order.next() == {"text": "It has begun."}
    desk.jobs["j1"].text = "Waiting for one answer to end."
    assert await order.next() == {"text": "Waiting for one answer to end."}
    desk.jobs["j1"].end("qwen3 is loaded.")
    ended = await order.next()
    assert isinstance(ended, dict)
    assert (ended["state"], ended["text"]) == ("done", "qwen3 is loaded.")
    assert await order.ended == "answered"
    assert desk.orders == [("load", {"model": "qwen3"})]


async def test_an_order_that_is_not_waited_for_is_answered_at_once(path: Path, desk: FakeDesk) -> None:
    asked = {"from_": "llama3.2", "waiting": "refuse", "when": "now"}
    job = await ask(path, "order", kind="switch", model="qwen3", wait=False, **asked)
    assert isinstance(job, dict)
    assert (job["id"], job["state"]) == ("j1", "running")
    assert desk.orders == [("switch", {"model": "qwen3", **asked})]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"kind": "load"}, "must be a name"),
        ({"kind": "melt", "model": "x"}, "There is: load, unload, switch, pin"),
        ({"kind": "switch", "model": "x", "when": "soon"}, "It may be: free, now"),
        ({"kind": "switch", "model": "x", "from_": 3}, "must be a name"),
        ({"kind": "pin", "model": "x", "on": "yes"}, "must be true or false"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused_in_words(
    path: Path, desk: FakeDesk, request_: dict[str, object], words: str
) -> None:
    with pytest.raises(client.VerbRefused, match=words):
        await ask(path, "order", **request_)
    assert desk.orders == []


async def test_a_lane_or_a_model_is_paused_and_resumed(path: Path, desk: FakeDesk) -> None:
    assert await ask(path, "pause", lane=3) == ["lane 3"]
    assert await ask(path, "resume") == []
    assert desk.orders == [("pause", (3.0, None)), ("resume", (None, None))]
    for wrong in ({"lane": -1}, {"lane": "3"}, {"lane": True}, {"model": 7}):
        with pytest.raises(client.VerbRefused, match="must be"):
            await ask(path, "pause", **wrong)


async def test_a_request_is_cancelled_by_its_number_and_the_audit_says_which(path: Path, desk: FakeDesk) -> None:
    desk.line = a_line(a_ticket(7, "cline"))
    assert await ask(path, "cancel", number=7) == {"number": 7}
    with pytest.raises(client.VerbRefused, match="no request 7"):
        await ask(path, "cancel", number=7)
    assert isinstance(desk.audit, FakeAudit)
    assert desk.audit.notes == [("queue.cancel", "request 7", "done"), ("queue.cancel", "request 7", "refused")]
    for wrong in ({}, {"number": "7"}, {"number": True}, {"number": 7.5}):
        with pytest.raises(client.VerbRefused, match="must be a whole number from 1"):
            await ask(path, "cancel", **wrong)
    assert desk.orders == [("cancel", 7), ("cancel", 7)]
