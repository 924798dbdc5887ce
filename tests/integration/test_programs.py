"""Who listens on a child's port: asked of the system, with real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from controller.supervision import ports
from controller.supervision.moves import Silent, Stranger
from controller.supervision.ports import PortHolder
from controller.supervision.programs import LOOKS, not_ours, port_problem

LISTENER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """The pid and the port of a child of ours that listens."""
    command = [sys.executable, "-c", LISTENER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield child.pid, int(child.stdout.readline())
        child.communicate("")


@pytest.fixture
def bystander() -> Iterator[int]:
    """The pid of another child of ours."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child.pid
        child.communicate(b"\n")


def told(monkeypatch: pytest.MonkeyPatch, *looks: list[PortHolder]) -> list[list[PortHolder]]:
    """The system tells this, one look after the other, and the last for ever; what is left to tell."""
    left = list(looks)
    monkeypatch.setattr(ports, "holders", lambda port: left.pop(0) if len(left) > 1 else left[0])
    return left


async def test_a_child_that_listens_is_ours_and_for_another_it_is_a_stranger(
    listener: tuple[int, int], bystander: int
) -> None:
    pid, port = listener
    assert await not_ours(port, pid) is None
    verdict = await not_ours(port, bystander)
    assert isinstance(verdict, Stranger)
    assert f"pid {pid}" in verdict.words
    problem = await port_problem(port, "ollama.port")
    assert problem is not None
    assert f"pid {pid}" in problem.words


async def test_a_port_on_which_nobody_listens_is_only_silent() -> None:
    assert isinstance(await not_ours(ports.free_port(), 1), Silent)


@pytest.mark.parametrize("half_seen", [[], [PortHolder(None)], [PortHolder(2**22 - 1, "", "sh")]])
async def test_what_is_seen_in_the_moment_of_a_change_is_looked_at_again(
    listener: tuple[int, int], monkeypatch: pytest.MonkeyPatch, half_seen: list[PortHolder]
) -> None:
    """A socket of a process that was not listed yet; a fork that has not become its own program yet."""
    pid, port = listener
    told(monkeypatch, *[half_seen] * (LOOKS - 1), [PortHolder(pid)])
    assert await not_ours(port, pid) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([], "a program that cannot be seen from here"),
        ([PortHolder(None)], "a program of another user"),
        ([PortHolder(2**22 - 1, "ann", "ollama")], "ollama, pid 4194303, of user ann"),
    ],
)
async def test_who_is_seen_there_each_time_is_a_stranger(
    listener: tuple[int, int], monkeypatch: pytest.MonkeyPatch, seen: list[PortHolder], words: str
) -> None:
    pid, port = listener
    told(monkeypatch, seen)
    verdict = await not_ours(port, pid)
    assert isinstance(verdict, Stranger)
    assert f"Port {port} belongs to {words}" in verdict.words
