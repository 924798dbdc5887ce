"""Listeners that speak https, and what every listener tells its application of how the visitor came."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from controller.config.listening import LimitSettings, Listener, Tls
from controller.doctor.facts_ports import outer_addresses
from controller.listeners import Listeners, Renewed
from tests.kit import certificates
from tests.kit.ports import free_port

HTTPS = {"https": True, "plain_cookies": False, "scheme": "https"}
PLAIN = {"https": False, "plain_cookies": False, "scheme": "http"}
OVER_HTTPS = {"X-Forwarded-Proto": "https"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says how the visitor came."""
    seen = {name: scope[f"seadragon.{name}"] for name in ("https", "plain_cookies")}
    came = f"{scope['client']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-came", came)]})
    await send({"type": "http.response.body", "body": json.dumps({**seen, "scheme": scope["scheme"]}).encode()})


def secure(folder: Path, which: str = "house", **more: Any) -> Listener:
    cert, key = certificates.put(folder, which)
    return Listener(address=f"127.0.0.1:{free_port()}", tls=Tls(cert=cert, key=key), **more)


@asynccontextmanager
async def opened(*wanted: Listener, limits: LimitSettings | None = None) -> AsyncIterator[Listeners]:
    listeners = Listeners(lambda listener: application)
    await listeners.become(wanted, limits or LimitSettings(), 5)
    try:
        yield listeners
    finally:
        await listeners.close(1)


@asynccontextmanager
async def visitor(listener: Listener, *trust: str) -> AsyncIterator[httpx.AsyncClient]:
    """One that keeps its connection."""
    scheme = "https" if listener.tls.cert else "http"
    transport = None
    if listener.place.path:
        transport = httpx.AsyncHTTPTransport(uds=listener.place.path)
    base = f"{scheme}://localhost:{listener.place.port or 80}"
    async with httpx.AsyncClient(
        base_url=base, verify=certificates.trusting(*trust), transport=transport, trust_env=False
    ) as client:
        yield client


async def how(listener: Listener, headers: Mapping[str, str] | None = None) -> object:
    async with visitor(listener) as client:
        return (await client.get("/", headers=headers)).json()


async def test_a_listener_with_a_certificate_speaks_https_and_says_so(tmp_path: Path) -> None:
    one = secure(tmp_path)
    async with opened(one) as listeners:
        assert await how(one) == HTTPS
        assert [each.to_json()["url"] for each in listeners] == [f"https://{one.address}"]
        assert [(door.port, door.certificate.names) for door in listeners.https_doors] == [
            (one.place.port, certificates.NAMES)
        ]


async def test_its_url_has_a_name_that_the_certificate_holds_for(tmp_path: Path) -> None:
    one = secure(tmp_path).model_copy(update={"address": f"0.0.0.0:{free_port()}"})
    elsewhere = secure(tmp_path).model_copy(update={"address": f"127.0.0.2:{free_port()}"})
    async with opened(one, elsewhere) as listeners:
        assert [each.to_json()["url"] for each in listeners] == [
            f"https://127.0.0.1:{one.place.port}",
            f"https://mini.example.org:{elsewhere.place.port}",
        ]


async def test_a_renewed_certificate_is_shown_to_the_next_and_connections_go_on(tmp_path: Path) -> None:
    one = secure(tmp_path)
    async with opened(one) as listeners, visitor(one, "house", "renewed") as client:
        before = (await client.get("/")).headers["x-came"]
        assert await asyncio.to_thread(shown, one) == "house"
        certificates.put(tmp_path, "renewed")
        assert listeners.renew() == [Renewed(True, f"{one.address} shows its renewed certificate.")]
        assert await asyncio.to_thread(shown, one) == "renewed", "though its key is of another kind"
        assert (await client.get("/")).headers["x-came"] == before, "the same connection"
        assert listeners.renew() == []


async def test_a_renewal_that_will_not_do_is_told_and_the_old_certificate_stays(tmp_path: Path) -> None:
    one = secure(tmp_path)
    async with opened(one) as listeners:
        certificates.put(tmp_path, "old")
        (said,) = listeners.renew()
        assert not said.good
        assert "goes on with its old certificate" in said.text
        assert "ended on 01 January 2021" in said.text
        assert await asyncio.to_thread(shown, one) == "house"


def shown(one: Listener) -> str:
    """Which certificate a new connection gets to see."""
    context = certificates.trusting("house", "renewed")
    with socket.create_connection((one.place.host, one.place.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            seen = wrapped.getpeercert(binary_form=True)
    assert seen is not None
    text = ssl.DER_cert_to_PEM_cert(seen).split()
    return next(
        name for name in ("house", "renewed") if (certificates.HERE / f"{name}.pem").read_text().split() == text
    )


async def test_nothing_older_than_tls_1_2_is_spoken_and_http_1_1_is_agreed_on(tmp_path: Path) -> None:
    one = secure(tmp_path)

    def agreed() -> tuple[str | None, str | None]:
        context = certificates.trusting()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with socket.create_connection((one.place.host, one.place.port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                return wrapped.version(), wrapped.selected_alpn_protocol()

    async with opened(one) as listeners:
        assert await asyncio.to_thread(agreed) == ("TLSv1.3", "http/1.1")
        (door,) = listeners
        assert door.shown is not None
        assert door.shown.context.minimum_version is ssl.TLSVersion.TLSv1_2
        weak = [
            each["name"] for each in door.shown.context.get_ciphers() if "CBC" in each["name"] or "SHA1" in each["name"]
        ]
        assert weak == []


async def test_plain_http_on_an_https_listener_gets_no_answer_and_harms_nobody(tmp_path: Path) -> None:
    one = secure(tmp_path)
    async with opened(one):
        reader, writer = await asyncio.open_connection(one.place.host, one.place.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(20):
            assert not (await reader.read()).startswith(b"HTTP/")
        writer.close()
        assert await how(one) == HTTPS


async def test_a_certificate_that_is_gone_keeps_the_listener_from_opening_and_the_others_serve(tmp_path: Path) -> None:
    good, bad = Listener(address=f"127.0.0.1:{free_port()}"), secure(tmp_path)
    (tmp_path / "house.pem").unlink()
    async with opened(good) as listeners:
        await listeners.become([good, bad], LimitSettings(), 1)
        assert await how(good) == PLAIN
        (late,) = listeners.awaited
        assert "house.pem is no file" in late.failure.why


async def test_each_kind_of_listener_believes_only_what_cannot_be_forged_there(tmp_path: Path) -> None:
    direct = Listener(address=f"127.0.0.1:{free_port()}")
    home = Listener(address=f"127.0.0.1:{free_port()}", plain_cookies=True)
    tunnel = Listener(address=f"unix:{tmp_path}/edge.sock", kind="tunnel")
    proxy = Listener(address=f"127.0.0.1:{free_port()}", kind="proxy", trusted=("127.0.0.1",), header="x-real-ip")
    strange = Listener(address=f"127.0.0.1:{free_port()}", kind="proxy", trusted=("10.0.0.1",), header="x-real-ip")
    async with opened(direct, home, tunnel, proxy, strange):
        assert [await how(each, OVER_HTTPS) for each in (direct, home, tunnel, proxy, strange)] == [
            PLAIN,
            {**PLAIN, "plain_cookies": True},
            HTTPS,
            HTTPS,
            PLAIN,
        ]
        assert await how(tunnel) == PLAIN


# --- one address among others ---

OUTER = [address for address in outer_addresses() if ":" not in address]


@pytest.mark.skipif(not OUTER, reason="this machine has no address beside loopback, from where it could be a neighbour")
@pytest.mark.parametrize("kind", ["direct", "proxy"])
async def test_a_neighbour_with_as_many_connections_as_it_may_have_is_told_and_others_come_in(
    kind: Literal["direct", "proxy"],
) -> None:
    neighbour = OUTER[0]
    trusted = ("10.99.99.1",) if kind == "proxy" else ()
    everywhere = Listener(address=f"0.0.0.0:{free_port()}", kind=kind, trusted=trusted)
    async with opened(everywhere, limits=LimitSettings(per_address=4)) as listeners:
        taken = [await asyncio.open_connection(neighbour, everywhere.place.port) for _ in range(4)]
        reader, writer = await asyncio.open_connection(neighbour, everywhere.place.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(20):
            said = await reader.read()
        assert said.startswith(b"HTTP/1.1 429 ")
        assert b"has 4 connections to this server open already" in said
        writer.close()
        assert next(iter(listeners)).connections == 4, "one who is turned away takes nobody's place"
        assert await how(everywhere) == PLAIN, "a program of this machine"
        taken.pop()[1].close()
        async with asyncio.timeout(20):
            while not (await knock(neighbour, everywhere.place.port)).startswith(b"HTTP/1.1 200 "):
                pass
        for _, each in taken:
            each.close()


async def knock(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()
