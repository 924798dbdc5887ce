"""A supervisor and the fake cloudflared: what a tunnel's troubles mean, and what they must not lead to."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.supervision.program_cloudflared import Cloudflared
from controller.supervision.programs import Workspace
from controller.supervision.spec import ChildState
from tests.fakes import cloudflared as fake
from tests.kit import web
from tests.kit.ports import free_port
from tests.kit.supervised import QUICK, config, counted, place, supervised, turn
from tests.kit.until import until

TOKEN = base64.b64encode(json.dumps({"a": "account", "s": "c2VjcmV0", "t": "tunnel"}).encode()).decode()


@dataclass
class Lab:
    """A place with a fake cloudflared in it, and an edge that can be reached or not."""

    folder: Path
    place: Workspace
    program: Path
    knobs: Path
    edge: str

    def tunnel(self, origin: str = "http://127.0.0.1:9", **wish: Any) -> Cloudflared:
        given = {"binary": str(self.program), "environment": {"FAKE_CLOUDFLARED_KNOBS": str(self.knobs)}, "grace": 1}
        return Cloudflared(config(tunnel={**given, **wish}), self.place, origin, edges=[self.edge], uptime=lambda: 1e6)

    def by_token(self, token: str = TOKEN) -> Cloudflared:
        return self.tunnel(mode="token", token_file=str(self.secret("token", token)))

    def named(self, origin: str = "http://127.0.0.1:9") -> Cloudflared:
        credentials = self.secret("credentials.json", "{}")
        return self.tunnel(
            origin, mode="named", tunnel_id="t-1", credentials_file=str(credentials), hostnames=["ai.example.org"]
        )

    def secret(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    knobs = tmp_path / "knobs.json"
    turn(knobs)
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as edge:
        port = edge.sockets[0].getsockname()[1]
        yield Lab(tmp_path, place(tmp_path), fake.program(tmp_path), knobs, f"127.0.0.1:{port}")


async def test_while_its_listener_is_not_open_nobody_is_led_there_from_outside(lab: Lab) -> None:
    """Another program may have its port."""
    ours = False
    tunnel = lab.by_token()
    tunnel.open = lambda: ours
    async with supervised(tunnel, lab.place.home) as one:
        status = await one.reaches(ChildState.WAITING)
        assert "another program may have its place" in status.reason
        assert status.pid is None
        ours = True
        await one.reaches(ChildState.READY)
        ours = False
        await one.reaches(ChildState.WAITING)
        await until(lambda: one.status.pid is None)


def read(file: Path) -> tuple[int, str]:
    """Permissions and text of a file."""
    return stat.S_IMODE(file.stat().st_mode), file.read_text()


async def test_a_tunnel_by_token_is_ready_and_its_token_stands_in_no_argument(lab: Lab) -> None:
    async with supervised(lab.by_token(), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.facts["connections"] == 4
        assert TOKEN not in " ".join(psutil.Process(status.pid).cmdline())


async def test_a_named_tunnel_gets_a_private_configuration_that_ends_in_404(lab: Lab) -> None:
    async with supervised(lab.named("unix:/run/front.sock"), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        argv = psutil.Process(status.pid).cmdline()
        mode, text = read(Path(argv[argv.index("--config") + 1]))
        assert mode == 0o600
        assert "hostname: ai.example.org\n  service: unix:/run/front.sock\n- service: http_status:404\n" in text
        assert argv.index("--metrics") < argv.index("run")


async def test_a_quick_tunnel_tells_its_public_name(lab: Lab) -> None:
    async with supervised(lab.tunnel(mode="quick"), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.facts["hostname"] == fake.QUICK_NAME


async def test_a_token_that_is_not_valid_is_told_and_costs_one_start_until_it_is_replaced(lab: Lab) -> None:
    program, asked = counted(lab.by_token("no token at all"))
    async with supervised(program, lab.place.home) as one:
        status = await one.reaches(ChildState.MISCONFIGURED)
        assert "token is not valid" in status.reason
        await asked.again("plan")
        assert (one.status.state, one.status.restarts) == (ChildState.MISCONFIGURED, 0)
        lab.secret("token", TOKEN)
        status = await one.reaches(ChildState.READY)
        assert status.restarts == 1


async def test_a_flag_it_does_not_know_is_a_fault_though_it_leaves_with_exit_code_0(lab: Lab) -> None:
    turn(lab.knobs, exit_code=0, exit_words="Incorrect Usage: flag provided but not defined: -output")
    program, asked = counted(lab.by_token())
    async with supervised(program, lab.place.home) as one:
        status = await one.reaches(ChildState.MISCONFIGURED)
        assert "-output" in status.reason
        assert "update cloudflared" in status.reason
        await asked.again("plan")
        assert one.status.restarts == 0


@pytest.mark.parametrize(
    ("break_it", "advice"),
    [
        (lambda lab: (lab.folder / "token").unlink(), "cannot be read"),
        (lambda lab: lab.secret("token", ""), "is empty"),
        (lambda lab: (lab.folder / "token").chmod(0o644), "chmod 600"),
    ],
)
async def test_a_token_file_that_will_not_do_is_told_before_any_start(lab: Lab, break_it: Any, advice: str) -> None:
    program = lab.by_token()
    break_it(lab)
    async with supervised(program, lab.place.home) as one:
        assert advice in (await one.reaches(ChildState.MISCONFIGURED)).reason
        lab.secret("token", TOKEN)
        assert (await one.reaches(ChildState.READY)).restarts == 0


async def test_a_configuration_that_cloudflared_only_warns_about_is_not_started(lab: Lab) -> None:
    turn(lab.knobs, invalid="Warning: unused keys: hostname\nValidating rules")
    async with supervised(lab.named(), lab.place.home) as one:
        assert "does not accept" in (await one.reaches(ChildState.MISCONFIGURED)).reason
        turn(lab.knobs)
        await one.reaches(ChildState.READY)


async def test_rules_are_looked_at_beside_the_ones_that_run(lab: Lab) -> None:
    async with supervised(lab.named("unix:/run/front.sock"), lab.place.home) as one:
        await one.reaches(ChildState.READY)
        folder = lab.place.home / "tunnel"
        before = {file: file.read_bytes() for file in folder.glob("*.yml")}
        assert await lab.named("unix:/run/other.sock").objection() is None
        words = await lab.named("http://127.0.0.1:1/a/path").objection()
        assert words is not None
        assert "does not accept" in words
        assert "service that can be reached" in words
        assert {file: file.read_bytes() for file in folder.glob("*.yml")} == before


@pytest.mark.parametrize("wish", [{"mode": "quick"}, {"mode": "named", "binary": "/nowhere/cloudflared"}])
async def test_where_cloudflared_cannot_be_asked_the_start_will_tell(lab: Lab, wish: dict[str, Any]) -> None:
    assert await lab.tunnel(**wish).objection() is None


async def test_without_a_network_it_is_offline_retried_and_never_degraded(lab: Lab) -> None:
    turn(lab.knobs, no_network=True)
    program = replace(lab.by_token(), edges=["127.0.0.1:1"])
    pace = replace(QUICK, offline_first=0.02, offline_longest=0.1)
    async with supervised(program, lab.place.home, pace) as one:
        await until(lambda: one.status.restarts >= 12)  # more failures than any breaker would bear
        assert one.status.state in (ChildState.OFFLINE, ChildState.STARTING)
        turn(lab.knobs)
        await one.reaches(ChildState.READY)


async def test_exit_code_1_with_the_network_up_is_a_failure_like_any_other(lab: Lab) -> None:
    turn(lab.knobs, no_network=True)
    async with supervised(lab.by_token(), lab.place.home) as one:
        await one.reaches(ChildState.DEGRADED)


async def test_one_that_loses_its_connections_is_offline_and_not_restarted_until_the_outage_lasts(lab: Lab) -> None:
    async with supervised(lab.by_token(), lab.place.home) as one:
        before = await one.reaches(ChildState.READY)
        turn(lab.knobs, outage=True)
        status = await one.reaches(ChildState.OFFLINE)
        assert (status.pid, status.facts["connections"]) == (before.pid, 0)
        turn(lab.knobs)
        assert (await one.reaches(ChildState.READY)).pid == before.pid


async def test_an_outage_that_lasts_with_the_network_up_leads_to_one_fresh_start_and_no_second(lab: Lab) -> None:
    turn(lab.knobs, outage=True)
    pace = replace(QUICK, settle=0.1, outage=0.5, outage_gap=600.0, network_every=0.1)
    program, asked = counted(lab.by_token())
    async with supervised(program, lab.place.home, pace) as one:
        first = await one.reaches(ChildState.OFFLINE)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.OFFLINE)
        second = one.status.pid
        assert second != first.pid
        await asked.again("probe", 3)
        assert (one.status.pid, one.status.restarts) == (second, 1)


async def test_an_outage_that_lasts_with_the_network_away_leads_to_no_start_at_all(lab: Lab) -> None:
    turn(lab.knobs, outage=True)
    pace = replace(QUICK, settle=0.1, outage=0.2, outage_gap=0.2, network_every=0.1)
    program, asked = counted(replace(lab.by_token(), edges=["127.0.0.1:1"]))
    async with supervised(program, lab.place.home, pace) as one:
        await one.reaches(ChildState.OFFLINE)
        await asked.again("network", 2)
        assert (one.status.state, one.status.restarts) == (ChildState.OFFLINE, 0)


async def test_one_that_is_told_to_leave_by_somebody_else_comes_back(lab: Lab) -> None:
    async with supervised(lab.by_token(), lab.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.pid is not None
        os.kill(status.pid, signal.SIGTERM)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.READY)


@asynccontextmanager
async def slow_origin() -> AsyncIterator[str]:
    """Answers with the head it was asked with, then one byte whenever the visitor has had the one before."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (head, b"one", b"two"):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_public_reaches_the_origin_through_it_as_a_stream_with_cloudflare_s_headers(lab: Lab) -> None:
    front = free_port()
    turn(lab.knobs, front=front)
    async with slow_origin() as origin, supervised(lab.named(origin), lab.place.home) as one:
        await one.reaches(ChildState.READY)
        async with web.async_client(headers={"Lab-Client-IP": "203.0.113.7", "Connection": "close"}) as public:
            url = f"http://127.0.0.1:{front}/api/chat"
            async with public.stream("POST", url, content=b"hello") as answer:
                pieces = [piece async for piece in answer.aiter_raw()]
            seen = pieces[0].decode()
            assert pieces[1:] == [b"one", b"two"]
            assert seen.startswith("POST /api/chat HTTP/1.1\r\n")
            assert "CF-Connecting-IP: 203.0.113.7\r\n" in seen
            assert "Lab-Client-IP" not in seen
            turn(lab.knobs, front=front, outage=True)
            assert (await public.get(url)).status_code == 530
