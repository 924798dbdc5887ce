"""The first page in a real browser: under the strict policy its script runs, the stream arrives, nothing is refused."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import uvicorn

from controller.pages.late import LatePages
from controller.pages.view import Installed, Traffic
from controller.supervision.spec import ChildState
from tests.fakes.desk import FakeDesk, an_ollama
from tests.kit.browser import browsing


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    return FakeDesk(tmp_path, an_ollama(ChildState.STARTING))


@pytest.fixture
async def page(desk: FakeDesk) -> AsyncIterator[str]:
    """The first page's address."""

    async def models() -> Sequence[Installed]:
        return [Installed("llama3.2", 2_000_000_000)]

    pages = LatePages(desk, traffic=lambda: Traffic(0, 0), models=models, metrics=lambda: lambda: (b"", ""))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(pages, log_config=None, lifespan="off", ws="none"))
        serving = asyncio.ensure_future(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        desk.phase = "stopping"
        server.should_exit = True
        await serving


pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="set-up installs Chromium on Linux only")


async def test_the_page_comes_alive_under_its_own_policy(page: str, desk: FakeDesk, tmp_path: Path) -> None:
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        assert await tab.value("document.querySelector('h1').textContent") == "Ollama is waking up"
        desk.known["ollama"] = an_ollama()
        desk.journal.say("ollama", "It answers: <b>bold</b>.")
        await tab.until("document.querySelector('h1').textContent === 'All is well'")
        await tab.until("document.querySelector('#events').textContent.includes('<b>bold</b>')")
        assert await tab.value("document.querySelectorAll('button[data-copy]:not([hidden])').length") == 3
        assert await tab.value("document.querySelector('.contact').hidden") is True
        assert tab.complaints == []


async def test_a_page_that_lost_the_controller_says_so_and_finds_it_again(
    page: str, desk: FakeDesk, tmp_path: Path
) -> None:
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("document.querySelector('.contact').hidden && document.querySelector('#hello.fresh, h1')")
        desk.phase = "draining"
        await tab.until("!document.querySelector('.contact').hidden")
        desk.phase = "running"
        await tab.until("document.querySelector('.contact').hidden")


@pytest.mark.parametrize("width", [390, 1280])
async def test_nothing_sticks_out_at_the_side(page: str, desk: FakeDesk, tmp_path: Path, width: int) -> None:
    desk.config_problems = ["config/server.yaml:12:7 " + "x" * 300]
    desk.journal.say("ollama", "y" * 300)
    desk.known["ollama"] = an_ollama(reason="z" * 300)
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        assert await tab.value("document.documentElement.scrollWidth") <= width


async def test_everything_to_press_is_large_enough_for_a_thumb(page: str, tmp_path: Path) -> None:
    heights = "Math.min(...[...document.querySelectorAll('button, .brand')].map(e => e.getBoundingClientRect().height))"
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("document.querySelector('button:not([hidden])')")
        assert await tab.value(heights) >= 44
