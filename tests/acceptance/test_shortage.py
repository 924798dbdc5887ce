"""The machine has nothing left to give: what runs goes on, and what is missing is tried again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process that already runs")


@contextlib.contextmanager
def no_descriptors(house: FakeHouse) -> Iterator[None]:
    """The controller can open nothing more for as long as the block lasts."""
    controller = psutil.Process(house.pid)
    before = controller.rlimit(psutil.RLIMIT_NOFILE)
    controller.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        controller.rlimit(psutil.RLIMIT_NOFILE, before)


def test_a_controller_without_descriptors_neither_falls_nor_ends_an_ollama_that_answers(make_house: MakeHouse) -> None:
    house = make_house(ollama={"probe_every": "100ms"})
    house.up().until_ready()
    before = house.child()
    with no_descriptors(house):
        time.sleep(2)  # twenty probes that cannot be made. That nothing happens is nothing that could be waited for
    house.until_ready()
    after = house.child()
    assert house.process is not None
    assert house.process.poll() is None
    assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])


@pytest.mark.alone
def test_an_ollama_that_dies_meanwhile_comes_back_when_there_is_room_again(house: FakeHouse) -> None:  # row 39
    pid = house.child()["pid"]
    with no_descriptors(house):
        os.kill(pid, signal.SIGKILL)
        until(lambda: any("just now" in str(line.get("text")) for line in house.events()), why="it is told")
    began = time.monotonic()
    house.until_ready()
    assert time.monotonic() - began < 15  # 5 s by itself; this box may be busy
    assert web.get(f"{house.url}/api/version").status_code == 200


@pytest.mark.parametrize(("limit", "told"), [("-S -n 256", False), ("-n 1000", True)])
def test_what_a_terminal_gives_is_no_bound_while_there_is_more_and_too_little_of_it_is_told(
    make_house: MakeHouse, limit: str, told: bool
) -> None:
    house = make_house()
    with (house.logs / "console.txt").open("ab") as console:
        house.process = subprocess.Popen(
            ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *house.command("up")],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, **house.environment},
            start_new_session=True,
        )
    until(house.listens, why="it listens")
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", house.port)))
        assert web.get(f"{house.url}/healthz").status_code == 200
        assert psutil.Process(house.pid).num_fds() > 300
    assert any("files may be open" in str(line.get("text")) for line in house.events()) is told
