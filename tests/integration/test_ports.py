"""Whose a port is."""

from __future__ import annotations

import os
import socket

import psutil
import pytest

from controller.supervision import ports


def listening(address: str) -> socket.socket:
    listener = socket.socket()
    listener.bind((address, 0))
    listener.listen()
    return listener


async def test_a_free_port_is_not_taken() -> None:
    assert not await ports.taken(ports.free_port())


async def test_a_listener_on_loopback_or_on_every_address_takes_a_port_and_is_named() -> None:
    for address in ("127.0.0.1", "0.0.0.0"):
        with listening(address) as listener:
            port = listener.getsockname()[1]
            assert await ports.taken(port)
            [holder] = ports.holders(port)
            assert holder.pid == os.getpid()
            assert f"pid {os.getpid()}" in holder.words


async def test_a_socket_that_is_bound_and_does_not_listen_yet_takes_it_too() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert await ports.taken(bound.getsockname()[1])


async def test_connections_that_were_closed_a_moment_ago_do_not_take_it() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        with socket.create_connection(address) as client:
            server, _ = listener.accept()
            server.close()  # this side closes first: its end of the connection lingers in TIME_WAIT
            assert client.recv(1) == b""
    assert not await ports.taken(address[1])


def test_a_holder_that_the_kernel_does_not_name_is_somebody_else_s() -> None:
    assert ports.PortHolder(None).words == "a program of another user"


def test_where_the_whole_table_is_told_to_root_only_our_own_processes_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a Mac."""

    def refuse(kind: str) -> object:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil, "net_connections", refuse)
    with listening("127.0.0.1") as ours:
        [holder] = ports.holders(ours.getsockname()[1])
        assert holder.pid == os.getpid()
        assert ports.holders(ports.free_port()) == []


def test_a_process_that_may_not_be_looked_into_or_is_gone_listens_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hidden:
        def __init__(self, pid: int) -> None:
            if pid == 2:
                raise psutil.NoSuchProcess(pid)

        def net_connections(self, kind: str) -> object:
            raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil, "net_connections", Hidden(1).net_connections)
    monkeypatch.setattr(psutil, "pids", lambda: [1, 2])
    monkeypatch.setattr(psutil, "Process", Hidden)
    assert ports.holders(4711) == []
