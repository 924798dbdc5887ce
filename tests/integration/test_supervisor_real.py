"""The same supervisor with the programs it is for: real Ollama, and real cloudflared where it could be built."""

from __future__ import annotations

import base64
import json
import os
import signal
import uuid
from pathlib import Path

import pytest

from controller.config.schema import Config
from controller.engines.ollama.inside import KnownInside
from controller.engines.ollama.program import OllamaServe
from controller.engines.ollama.renewal import Trial
from controller.readiness import Readiness
from controller.residency.gauge import ram_size
from controller.supervision.program_cloudflared import Cloudflared
from controller.supervision.programs import Workspace, find
from controller.supervision.spec import ChildState
from tests.kit import web
from tests.kit.ports import free_port
from tests.kit.real import program, version
from tests.kit.supervised import config, counted, place, supervised
from tests.kit.until import until

CACHES = {
    name: os.environ[name] for name in ("HOME", "PATH", "XDG_CACHE_HOME", "SEADRAGON_CACHE") if name in os.environ
}


def cloudflared_program() -> Path:
    """What `make test` has built."""
    found = find("cloudflared", None, Workspace(Path("/"), Path("/"), {**CACHES, "PATH": "/nowhere"}))
    if found is None:
        pytest.skip("real cloudflared is not built: `make test` does that, and says so where it cannot")
    return found


@pytest.fixture
def ollama(tmp_path: Path) -> OllamaServe:
    wish = config(ollama={"binary": str(program()), "startup": 60, "stop_grace": 5})
    return OllamaServe(wish, place(tmp_path), Readiness("Ollama"), KnownInside(), ram_size)


async def test_real_ollama_starts_answers_is_killed_and_comes_back(ollama: OllamaServe) -> None:
    async with supervised(ollama, ollama.place.home) as one:
        status = await one.reaches(ChildState.READY)
        assert status.facts["version"] == version()
        assert status.pid is not None
        async with web.async_client() as client:
            assert (await client.get(f"{status.url}/api/tags")).json() == {"models": []}
        os.kill(status.pid, signal.SIGKILL)
        await until(lambda: one.status.restarts == 1 and one.status.state is ChildState.READY)
        assert ollama.readiness.verdict == "ready"


async def test_one_that_lacks_its_llama_server_is_told_so_and_not_that_the_gpu_is_gone(
    bare_ollama: Path, tmp_path: Path
) -> None:
    ollama = {"binary": str(bare_ollama), "startup": 60}
    wish = Config.model_validate({"server": {"ollama": ollama}, "models": {"gpu": "required"}})
    bare = OllamaServe(wish, place(tmp_path), Readiness("Ollama"), KnownInside(), ram_size)
    async with supervised(bare, bare.place.home) as one:
        await one.reaches(ChildState.GPU_LOST)
        assert "no llama-server beside it" in bare.readiness.reason


async def test_a_real_ollama_is_tried_before_it_takes_over(
    ollama: OllamaServe, bare_ollama: Path, tmp_path: Path
) -> None:
    assert await ollama.attempt(str(program())) == Trial(version())
    assert await ollama.attempt(str(bare_ollama)) == Trial(version(), "it has no llama-server beside it")
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    other.chmod(0o755)
    assert "no program for this machine" in (await ollama.attempt(str(other))).fault
    assert "does not exist" in (await ollama.attempt(str(tmp_path / "nowhere"))).fault


async def test_real_ollama_told_to_leave_by_somebody_else_twice_is_a_conflict_that_passes(ollama: OllamaServe) -> None:
    async with supervised(ollama, ollama.place.home) as one:
        for _ in range(2):
            status = await one.reaches(ChildState.READY)
            assert status.pid is not None
            os.kill(status.pid, signal.SIGTERM)  # it turns this into exit code 0
            await until(lambda pid=status.pid: one.status.pid != pid)  # type: ignore[misc]  # binds the loop's value
        await one.reaches(ChildState.CONFLICT)
        await one.reaches(ChildState.READY)


async def test_two_real_ollamas_on_one_port_are_told_apart(ollama: OllamaServe, tmp_path: Path) -> None:
    port = free_port()
    fixed = config(ollama={"binary": str(program()), "port": port, "stop_grace": 5})
    (tmp_path / "second").mkdir()
    second = OllamaServe(fixed, place(tmp_path / "second"), Readiness("Ollama"), KnownInside(), ram_size)
    ollama.config = fixed
    async with supervised(ollama, ollama.place.home) as one:
        holder = await one.reaches(ChildState.READY)
        async with supervised(second, second.place.home) as other:
            status = await other.reaches(ChildState.CONFLICT)
            assert f"ollama, pid {holder.pid}" in status.reason
            assert one.status.pid == holder.pid
            await one.supervisor.stop()
            await other.reaches(ChildState.READY)


async def test_real_cloudflared_with_two_dead_edges_stays_offline_and_is_not_restarted(tmp_path: Path) -> None:
    program = cloudflared_program()
    tunnel = str(uuid.uuid4())
    credentials = tmp_path / "credentials.json"
    secret = base64.b64encode(bytes(32)).decode()
    credentials.write_text(json.dumps({"AccountTag": "tests", "TunnelSecret": secret, "TunnelID": tunnel}))
    credentials.chmod(0o600)
    wish = config(
        tunnel={
            "mode": "named",
            "binary": str(program),
            "tunnel_id": tunnel,
            "credentials_file": str(credentials),
            "hostnames": ["ai.example.org"],
            "protocol": "http2",
            "edge": [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"],
            "grace": 1,
        }
    )
    where = place(tmp_path)
    cloudflared, asked = counted(Cloudflared(wish, where, "http://127.0.0.1:9"))
    async with supervised(cloudflared, where.home) as one:
        status = await one.reaches(ChildState.OFFLINE)
        await asked.again("probe", 3)
        assert (one.status.state, one.status.pid, one.status.restarts) == (ChildState.OFFLINE, status.pid, 0)
