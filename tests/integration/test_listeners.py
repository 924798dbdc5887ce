from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from controller.config.listening import LimitSettings, Listener, Tls
from controller.listeners import Listeners, ListenFailed, bind, url_of
from tests.kit import web
from tests.kit.ports import free_port

LIMITS = LimitSettings()


class App:
    """Says which kind of listener a request came in by; `/slow` first waits to be let go."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    def on(self, listener: Listener):  # type: ignore[no-untyped-def]  # an ASGI application
        async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            assert scope["type"] == "http"
            self.asked.set()
            if scope["path"] == "/slow":
                await self.go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
            await send({"type": "http.response.body", "body": listener.kind.encode(), "more_body": False})

        return application


@asynccontextmanager
async def opened(app: App, *wanted: Listener, limits: LimitSettings = LIMITS) -> AsyncIterator[Listeners]:
    listeners = Listeners(app.on)
    await listeners.become(wanted, limits, 5)
    try:
        yield listeners
    finally:
        app.go.set()
        await listeners.close(1)


async def get(address: str, path: str = "/") -> str:
    transport = httpx.AsyncHTTPTransport(uds=address[5:]) if address.startswith("unix:") else None
    base = "http://x" if transport else url_of(address)
    async with web.async_client(transport=transport) as client:
        return (await client.get(base + path)).text


async def test_each_listener_tells_its_kind_and_a_unix_one_is_private(tmp_path: Path) -> None:
    direct = Listener(address=f"127.0.0.1:{free_port()}")
    tunnel = Listener(address=f"unix:{tmp_path}/edge.sock", kind="tunnel")
    async with opened(App(), direct, tunnel):
        assert await get(direct.address) == "direct"
        assert await get(tunnel.address) == "tunnel"
        assert (tmp_path / "edge.sock").stat().st_mode & 0o777 == 0o600


async def test_a_retired_listener_finishes_its_answers_while_its_successor_serves() -> None:
    app, address = App(), f"127.0.0.1:{free_port()}"
    async with opened(app, Listener(address=address)) as listeners:
        slow = asyncio.create_task(get(address, "/slow"))
        await app.asked.wait()
        await listeners.become([Listener(address=address, kind="tunnel")], LIMITS, 5)
        assert await get(address) == "tunnel"
        app.go.set()
        assert await slow == "direct"


async def test_answers_in_flight_are_cut_when_their_time_is_over() -> None:
    app, address = App(), f"127.0.0.1:{free_port()}"
    async with opened(app, Listener(address=address)) as listeners:
        slow = asyncio.create_task(get(address, "/slow"))
        await app.asked.wait()
        await listeners.close(1)
        assert "direct" not in await asyncio.gather(slow, return_exceptions=True)


def awaited(listeners: Listeners) -> list[tuple[str, str]]:
    return [(one.listener.address, one.failure.why) for one in listeners.awaited]


async def test_a_taken_address_stops_none_of_the_others_and_is_opened_when_it_is_left(tmp_path: Path) -> None:
    good, new = (Listener(address=f"127.0.0.1:{free_port()}") for _ in range(2))
    unix = Listener(address=f"unix:{tmp_path / 'file'}/edge.sock", kind="tunnel")
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = Listener(address=f"127.0.0.1:{taken.getsockname()[1]}")
        async with opened(App(), bad, good) as listeners:  # at a start …
            assert awaited(listeners) == [(bad.address, "another program uses it")]
            assert await get(good.address) == "direct"
            assert (listeners.is_open(good.address), listeners.is_open(bad.address)) == (True, False)
            await listeners.become([bad, good, unix, new], LIMITS, 1)  # … and at a reload
            assert [one.listener for one in listeners] == [good, new]
            assert [address for address, _ in awaited(listeners)] == [bad.address, unix.address]
            assert await get(new.address) == "direct"
            assert await listeners.look_again() == []
            taken.close()
            assert await listeners.look_again() == [bad.address]
            assert await get(bad.address) == "direct"


async def test_one_that_changed_and_cannot_be_opened_again_is_awaited_and_not_left_as_it_was(tmp_path: Path) -> None:
    """What it was trusted with before may be what was to change."""
    one, other = (Listener(address=f"127.0.0.1:{free_port()}") for _ in range(2))
    async with opened(App(), one, other) as listeners:
        pem = tmp_path / "gone.pem"
        changed = one.model_copy(update={"tls": Tls(cert=pem, key=pem)})
        await listeners.become([changed, other], LIMITS, 1)
        assert [each.listener for each in listeners] == [other]
        assert "it cannot speak https" in awaited(listeners)[0][1]
        with pytest.raises(httpx.TransportError):
            await get(one.address)


async def test_a_unix_socket_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    tunnel = Listener(address=f"unix:{tmp_path}/run/edge.sock", kind="tunnel")
    app = App()
    async with opened(app, tunnel) as listeners:
        slow = asyncio.create_task(get(tunnel.address, "/slow"))
        await app.asked.wait()
        assert await listeners.look_again() == []
        shutil.rmtree(tmp_path / "run")
        assert await listeners.look_again() == [tunnel.address]
        assert await get(tunnel.address) == "tunnel"
        app.go.set()
        assert await slow == "tunnel", "who was being answered is"


async def test_when_nothing_at_all_could_be_opened_what_was_open_stays() -> None:
    good = Listener(address=f"127.0.0.1:{free_port()}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = Listener(address=f"127.0.0.1:{taken.getsockname()[1]}")
        async with opened(App(), good) as listeners:
            with pytest.raises(ListenFailed, match=f"{bad.address}: another program uses it"):
                await listeners.become([bad], LIMITS, 1)
            assert [one.listener for one in listeners] == [good]
            assert await get(good.address) == "direct"


class Network:
    """Addresses that this machine has not been given yet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
        self.absent = {*absent}
        self._bind = bind
        monkeypatch.setattr("controller.listeners.bind", self)

    def __call__(self, address: str) -> socket.socket:
        return self._bind("192.0.2.1:8420" if address in self.absent else address)


async def test_a_service_waits_for_an_address_that_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here, late = (Listener(address=f"127.0.0.1:{free_port()}") for _ in range(2))
    network = Network(monkeypatch, late.address)
    listeners = Listeners(App().on)
    with pytest.raises(ListenFailed, match="does not have that address"):
        await listeners.become([late], LIMITS, 1)
    assert list(listeners) == []
    await listeners.become([late, here], LIMITS, 1)
    assert [one.listener for one in listeners] == [here]
    absent = [(late.address, "this machine does not have that address now")]
    assert awaited(listeners) == absent
    assert await get(here.address) == "direct"
    assert await listeners.look_again() == []
    await listeners.become([late, here], LimitSettings(connections=9), 1)  # a reload of something else: still awaited
    assert awaited(listeners) == absent
    network.absent.clear()
    assert await listeners.look_again() == [late.address]
    assert await get(late.address) == "direct"
    assert (listeners.awaited, await listeners.look_again()) == ([], [])
    await listeners.close(1)


async def test_an_awaited_address_that_is_no_longer_wanted_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    late, other = (Listener(address=f"127.0.0.1:{free_port()}") for _ in range(2))
    network = Network(monkeypatch, late.address)
    listeners = Listeners(App().on)
    await listeners.become([late], LIMITS, 1, patient=True)
    assert list(listeners) == []
    await listeners.become([other], LIMITS, 1)
    network.absent.clear()
    assert await listeners.look_again() == []
    assert [one.listener for one in listeners] == [other]
    await listeners.close(1)


def test_an_address_of_another_machine_is_not_said_to_be_taken() -> None:
    with pytest.raises(ListenFailed, match="does not have that address"):
        bind("192.0.2.1:8420")


async def test_more_connections_than_allowed_are_told_to_come_back() -> None:
    app, listener = App(), Listener(address=f"127.0.0.1:{free_port()}")
    async with opened(app, listener, limits=LimitSettings(connections=8)):
        slow = []
        for _ in range(7):
            app.asked.clear()
            slow.append(asyncio.create_task(get(listener.address, "/slow")))
            await app.asked.wait()
        assert "too many connections" in await get(listener.address)
        app.go.set()
        assert await asyncio.gather(*slow) == ["direct"] * 7
