"""Ollama ≥ 0.30 with a GPU makes models leave by its own prediction: it is never given cause to."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.engines.ollama.inside import RunnerKind, inside_of
from controller.plain import GIB, MIB
from tests.kit import real
from tests.kit.models import KNOWS_ALL, speaker
from tests.kit.residing import PATIENT, House, residing

pytestmark = pytest.mark.skipif(
    inside_of(real.version()).kind is not RunnerKind.LLAMA_SERVER, reason="before Ollama 0.30 nothing is predicted"
)
GPU = 240 * MIB
MANY = {"OLLAMA_CONTEXT_LENGTH": "2048", "OLLAMA_MAX_LOADED_MODELS": "1024"}
EVICTING = "predicted to exceed available memory, evicting"
NAMES = ("ann", "bob", "cleo", "dan")
# A llama-server that works on the processor and says that it does so on a GPU.
PRETENDS = """#!/bin/bash
names='s/ CPU(_Mapped)? +(model|KV|compute) buffer/ MTL0\\1 \\2 buffer/'
case " $* " in
*" --list-devices "*) printf 'Available devices:\\n  MTL0: Apple M4 Pro ({size} MiB, {size} MiB free)\\n'; exit 0 ;;
*" --model "*) exec {server} "$@" > >(exec sed -u -E "$names") 2>&1 ;;
*) exec {server} "$@" ;;
esac
"""


@asynccontextmanager
async def with_a_gpu(folder: Path) -> AsyncIterator[tuple[House, Path]]:
    """Residents on an Ollama that thinks it has a GPU, where three of four models fit; and its log."""
    program, there = real.program(), folder / "own"
    for part in ("bin", "lib/ollama", "real"):
        (there / part).mkdir(parents=True)
    shutil.copy2(program, there / "bin" / "ollama")
    lib = program.parent.parent / "lib" / "ollama"
    for each in lib.iterdir():
        (there / ("real" if each.name == "llama-server" else "lib/ollama") / each.name).symlink_to(each)
    pretender = there / "lib/ollama/llama-server"
    server = shlex.quote(str(there / "real" / "llama-server"))
    pretender.write_text(PRETENDS.format(size=GPU // MIB, server=server))
    pretender.chmod(0o755)
    (folder / "models").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "program", lambda: there / "bin" / "ollama")
        with real.serve(folder / "home", folder / "models", **MANY) as ollama:
            for name in NAMES:
                await asyncio.to_thread(ollama.add, speaker(name, KNOWS_ALL, width=1024, feed_forward=4096))
            models = {"context_length": 2048}
            plenty = {"memory": {"budget": 60 * GIB}}  # for all we know: whether others have to go is Ollama's alone
            async with residing(ollama.url, ollama.process.pid, models=models, server=plenty, loads=PATIENT) as house:
                house.gauge.limit = GPU
                yield house, ollama.log


async def test_who_ollama_would_make_leave_has_left_before_it_is_asked(tmp_path: Path) -> None:
    async with with_a_gpu(tmp_path) as (house, log):
        assert "library=Metal" in log.read_text(errors="replace")
        for name in (*NAMES, *NAMES[:2]):
            await house.bring(name)
            assert await house.loaded() == sorted(row.runner.name for row in house.residents.table.values())
        assert len(house.residents.table) == 3
        assert all(row.mapped > 50 * MIB for row in house.residents.table.values())  # as on a real Mac
        assert EVICTING not in log.read_text(errors="replace")
        assert "by itself" not in house.said()


async def test_it_would_have_made_somebody_leave(tmp_path: Path) -> None:
    async with with_a_gpu(tmp_path) as (house, log):
        for name in NAMES:
            await house.ollama.load(name, embeds=False, keep_alive=-1.0)
        assert EVICTING in log.read_text(errors="replace")
        assert len(await house.loaded()) == 3
