"""The first page in a real browser: under the strict policy its script runs, the stream arrives, nothing is refused."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from controller.auth.access import Principal
from controller.pages.late import LatePages
from controller.pages.view import Traffic
from controller.supervision.spec import ChildState
from tests.fakes.desk import FakeDesk, a_line, a_memory, a_model, a_ticket, an_ollama
from tests.kit.browser import browsing


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    return FakeDesk(tmp_path, an_ollama(ChildState.STARTING))


@pytest.fixture
async def page(desk: FakeDesk) -> AsyncIterator[str]:
    """The first page's address."""

    pages = LatePages(desk, traffic=lambda: Traffic(0, 0), metrics=lambda: lambda: (b"", ""))

    async def let_in(scope: Any, receive: Any, send: Any) -> None:
        await pages({**scope, "seadragon.who": Principal("owner", manage=True)}, receive, send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(let_in, log_config=None, lifespan="off", ws="none"))
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
    desk.line = a_line(a_ticket(1, "w" * 64, model="m" * 200), a_ticket(2, "mia"))
    desk.installed = [a_model("v" * 200, state="resident"), a_model("u" * 200, last_error="t" * 300)]
    desk.room = a_memory(models_loaded={"v" * 200: 31.0}, taken_gb=40.0, may_load=False, why="s" * 200)
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        assert await tab.value("document.documentElement.scrollWidth") <= width


async def test_everything_to_press_is_large_enough_for_a_thumb(page: str, desk: FakeDesk, tmp_path: Path) -> None:
    heights = "Math.min(...[...document.querySelectorAll('button, .brand')].map(e => e.getBoundingClientRect().height))"
    desk.line = a_line(a_ticket(1, "mia"))
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("document.querySelector('button:not([hidden])') && document.querySelector('[name=cancel]')")
        assert await tab.value(heights) >= 44


async def test_a_button_gives_its_order_and_the_page_shows_how_it_goes(
    page: str, desk: FakeDesk, tmp_path: Path
) -> None:
    desk.known["ollama"] = an_ollama()
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.value("document.querySelector('button[name=load][value=\"llama3.2\"]').click()")
        await tab.until("location.search === '?order=j1' && document.querySelector('#order .tag')")
        assert desk.orders == [("load", {"model": "llama3.2"})]
        assert "It has begun." in await tab.value("document.querySelector('#order').textContent")
        desk.jobs["j1"].end("llama3.2 is loaded.")
        desk.installed = [a_model("llama3.2", state="resident"), a_model("qwen3")]
        await tab.until("document.querySelector('#order').textContent.includes('llama3.2 is loaded.')")
        await tab.until("document.querySelector('button[name=unload][value=\"llama3.2\"]')")
        assert tab.complaints == []


async def test_a_request_is_cancelled_once_it_is_sure_which_one(page: str, desk: FakeDesk, tmp_path: Path) -> None:
    desk.line = a_line(a_ticket(7, "cline", position=1), a_ticket(8, "mia", position=2))
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        for sure in ("false", "true"):
            await tab.value(f"window.confirm = words => (window.asked = words, {sure}); 0")
            await tab.value("document.querySelector('[name=cancel][value=\"8\"]').click()")
            assert sure == "true" or await tab.value("window.asked") == "Cancel request 8 of mia?"
        await tab.until("!document.querySelector('#ticket-8') && document.querySelector('#ticket-7')")
        assert desk.orders == [("cancel", 8)]
        assert tab.complaints == []


async def test_orders_work_without_scripts(page: str, desk: FakeDesk, tmp_path: Path) -> None:
    desk.known["ollama"] = an_ollama()
    ordered = asyncio.Event()
    desk.on_order = lambda order: ordered.set()
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page, scripts=False)
        box = await tab.value(
            "(b => (b.scrollIntoView(), b.getBoundingClientRect().toJSON()))(document.querySelector('[name=pause]'))"
        )
        await tab.press(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        async with asyncio.timeout(60):
            await ordered.wait()
        await tab.call("Emulation.setScriptExecutionDisabled", value=False)  # `until` is a script itself
        await tab.until("document.querySelector('[name=resume]')")
        assert desk.orders == [("pause", (None, None))]
        assert "everything: nobody" in await tab.value("document.querySelector('#line').textContent")


async def test_what_changes_beside_it_takes_no_focus_away_and_no_button_changes_under_a_finger(
    page: str, desk: FakeDesk, tmp_path: Path
) -> None:
    desk.known["ollama"] = an_ollama()
    desk.installed = [a_model(name) for name in ("b", "c")]
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.value("window.held = document.querySelector('[name=load][value=c]'); held.focus()")
        desk.installed = [a_model("a", waiting=7), a_model("b", state="resident"), a_model("c", waiting=3)]
        await tab.until("document.querySelector('#models').textContent.includes('7 waiting')")
        assert await tab.value("document.activeElement === held && held.isConnected && held.value") == "c"
        names = "[...document.querySelectorAll('#models li')].map(each => each.id).join()"
        assert await tab.value(names) == "model-b,model-a,model-c"
        desk.installed = [a_model("c", state="resident")]
        await tab.until("document.querySelectorAll('#models li').length === 1")
        assert await tab.value("document.activeElement === held") is False
        assert await tab.value("document.querySelector('#models button').name") == "unload"


async def test_everything_has_a_name_and_every_part_a_heading(page: str, desk: FakeDesk, tmp_path: Path) -> None:
    desk.known["ollama"] = an_ollama()
    desk.line = a_line(a_ticket(1, "cline"))
    async with browsing(tmp_path / "profile") as tab:
        await tab.open(page)
        tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        shown = [(node["role"]["value"], node["name"]["value"]) for node in tree if node.get("name")]
        assert [name for role, name in shown if role == "button" and not name.strip()] == []
        assert {"Load llama3.2", "Unload qwen3", "Pause the line"} <= {name for role, name in shown if role == "button"}
        regions = {name for role, name in shown if role == "region"}
        assert {"The line", "Models", "Memory for models", "What runs", "At this moment"} <= regions
        assert await tab.value(
            "[...document.querySelectorAll('[id]')].map(e => e.id).every((id, n, all) => all.indexOf(id) === n)"
        )
        assert await tab.value("document.querySelector('#line').closest('[aria-live]')") is None  # it counts seconds
        assert await tab.value("document.querySelector('#order').getAttribute('role')") == "status"
