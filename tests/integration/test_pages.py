"""The pages as a browser gets them: over a real socket, with the headers, and live."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from jinja2 import TemplateSyntaxError

from controller.auth.access import Principal
from controller.errors import OrderRefused, Unreachable
from controller.pages.hardened import policy
from controller.pages.late import LatePages, Scrape
from controller.pages.live import KEPT, SHARE, VIEWERS
from controller.pages.view import Traffic
from controller.paths import CLONE
from controller.supervision.spec import ChildState
from tests.fakes.desk import FakeAudit, FakeDesk, FakeJob, a_line, a_memory, a_model, a_ticket, an_ollama
from tests.kit import web

OWNER, GUEST = Principal("owner", manage=True), Principal("mia", lane=3.0)
CHILD = Principal("tim", lane=3.0, models=("llama*",))


class Seen:
    """What the pages ask for, beside the desk, and who the data plane says is looking."""

    def __init__(self) -> None:
        self.traffic = Traffic(0, 0)
        self.who: Principal | None = OWNER
        self.peer = "192.168.1.5"


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    return FakeDesk(tmp_path)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def browser(desk: FakeDesk, seen: Seen) -> AsyncIterator[httpx.AsyncClient]:
    pages = LatePages(
        desk,
        traffic=lambda: seen.traffic,
        metrics=lambda: lambda: (b"up 1\n", "text/plain; version=1"),
    )

    async def let_in(scope: Any, receive: Any, send: Any) -> None:
        await pages({**scope, "seadragon.who": seen.who, "seadragon.peer": seen.peer}, receive, send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(let_in, log_config=None, lifespan="off", ws="none"))
        serving = asyncio.ensure_future(server.serve([listening]))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with web.async_client(base_url=base, timeout=30) as client:
            yield client
        desk.phase = "stopping"  # ends the live streams, as leaving does
        server.should_exit = True
        await serving


class Stream:
    """The live stream as a page reads it: the last of each fragment."""

    def __init__(self, response: httpx.Response) -> None:
        self.parts: dict[str, str] = {}
        self.edition = ""
        self._lines = response.aiter_lines()

    async def until(self, part: str, words: str) -> None:
        """Read on until `part` says `words`."""
        async with asyncio.timeout(30):
            while words not in self.parts.get(part, ""):
                await self.step()

    async def step(self) -> bool:
        """Read one event; False at the end."""
        kind = ""
        async for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind == "edition":
                self.edition = line.removeprefix("data: ")
                return True
            elif line.startswith("data: "):
                fragment = json.loads(line.removeprefix("data: "))
                self.parts[fragment["id"]] = fragment["html"]
                return True
        return False


@asynccontextmanager
async def watching(browser: httpx.AsyncClient) -> AsyncIterator[Stream]:
    async with browser.stream("GET", "/live") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def test_the_first_page_shows_what_runs(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    assert page.status_code == 200
    for shown in ("All is well", "Ollama", "0.24.0", "llama3.2", "5.3 GB", "process 4242", "1.2.3"):
        assert shown in page.text


async def test_the_address_to_use_is_the_one_the_page_was_asked_by(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/", headers={"Host": "mini.local:8420"})
    assert 'data-copy="http://mini.local:8420/v1"' in page.text
    assert "Also at" in page.text


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/site.css", "/static/nothing.css", "/live"])
async def test_every_answer_carries_the_whole_armour(browser: httpx.AsyncClient, path: str) -> None:
    async with browser.stream("GET", path) as answer:
        headers = answer.headers
    assert headers["content-security-policy"] == policy()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "cache-control" in headers
    assert "strict-transport-security" not in headers  # this came by plain http


async def test_everything_the_page_names_is_there_and_may_be_kept(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(named) >= 3
    for url in named:
        answer = await browser.get(url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        again = await browser.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_a_file_without_its_digest_is_asked_for_again_each_time(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/static/site.css")).headers["cache-control"] == "no-cache"
    assert (await browser.get("/static/site.css?v=old")).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static//etc/passwd"])
async def test_no_path_leads_out_of_the_static_folder(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code == 404


async def test_what_is_not_there_is_said_in_the_familys_look(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/nothing")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert "mood-oops" in answer.text


async def test_a_page_only_wants_to_be_looked_at(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/")).status_code == 405
    assert (await browser.head("/")).status_code == 200


async def test_a_page_that_fails_is_noted_and_says_so_without_details(
    browser: httpx.AsyncClient, desk: FakeDesk
) -> None:
    desk.listeners = [{"kind": "direct"}]  # no url: a mistake of ours
    answer = await browser.get("/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "KeyError" not in answer.text
    assert "KeyError" in desk.journal.last(1)[0].text


@pytest.mark.parametrize("status", [403, 421, 503])
async def test_those_who_are_turned_away_are_told_in_the_same_look(desk: FakeDesk, seen: Seen, status: int) -> None:
    pages = await LatePages(desk, traffic=lambda: seen.traffic, metrics=lambda: lambda: (b"", "")).warm()
    assert pages is not None
    answer = pages.refusal(status, "Because <of> this.")
    assert answer.status_code == status
    assert b"Because &lt;of&gt; this." in bytes(answer.body)


async def test_the_pages_are_made_once_however_many_ask_first(desk: FakeDesk, seen: Seen) -> None:
    late = LatePages(desk, traffic=lambda: seen.traffic, metrics=lambda: lambda: (b"", ""))
    first, *others = await asyncio.gather(*(late.warm() for _ in range(5)))
    assert all(other is first for other in others)


async def test_a_person_whom_the_gate_turns_away_gets_a_page_that_needs_no_further_file(
    desk: FakeDesk, seen: Seen
) -> None:
    late = LatePages(desk, traffic=lambda: seen.traffic, metrics=lambda: lambda: (b"", ""))

    async def turned_away(scope: Any, receive: Any, send: Any) -> None:
        await late({**scope, "seadragon.refused": (421, "Not by <that> name.")}, receive, send)

    async with web.async_client(transport=httpx.ASGITransport(turned_away), base_url="http://sea") as browser:
        answer = await browser.get("/")
    assert (answer.status_code, "Not by &lt;that&gt; name." in answer.text) == (421, True)
    assert "/static/" not in answer.text
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]


async def test_pages_that_cannot_be_made_are_told_once_and_keep_nobody_else_from_work(
    desk: FakeDesk, seen: Seen
) -> None:
    def broken() -> Scrape:
        raise TemplateSyntaxError("unexpected '}'", 3, "home.html")

    late = LatePages(desk, traffic=lambda: seen.traffic, metrics=broken)
    transport = httpx.ASGITransport(late)
    async with web.async_client(transport=transport, base_url="http://sea") as browser:
        for _ in range(2):
            answer = await browser.get("/")
            assert (answer.status_code, "seadragon logs" in answer.text) == (500, True)
    (told,) = [event.text for event in desk.journal.last(5)]
    assert "unexpected '}'" in told


async def test_the_scrape_is_handed_through(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/metrics")
    assert (answer.text, answer.headers["content-type"]) == ("up 1\n", "text/plain; version=1")


async def test_no_documents_of_a_machine_interface_are_offered(browser: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await browser.get(path)).status_code == 404


async def test_a_change_is_seen_without_asking_again(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    async with watching(browser) as stream:
        await stream.until("hello", "All is well")
        desk.known["ollama"] = an_ollama(ChildState.BACKOFF, retry_in=4.0)
        desk.journal.say("ollama", "It was ended by signal 9 (KILL).", level="warning")
        await stream.until("hello", "Ollama is coming back")
        await stream.until("children", "starts again soon")
        await stream.until("events", "signal 9")
        await stream.until("dots", "dot-wait")


async def test_a_change_nobody_told_of_is_seen_too(browser: httpx.AsyncClient, seen: Seen) -> None:
    async with watching(browser) as stream:
        await stream.until("traffic", "<dd>0</dd>")
        seen.traffic = Traffic(7, 3)
        await stream.until("traffic", "<dd>7</dd>")


async def test_only_what_changed_is_sent(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    async with watching(browser) as stream:
        await stream.until("events", "Nothing yet")
        stream.parts.clear()
        desk.config_problems = ["config/server.yaml:3:1 server.hold: found 'soon'"]
        desk.journal.say("config", "server.yaml is broken")
        await stream.until("events", "server.yaml is broken")
        assert "server.yaml:3:1" in stream.parts["notices"]
        assert set(stream.parts) == {"dots", "notices", "events"}


async def test_the_page_knows_when_a_newer_one_is_out(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    async with watching(browser) as stream:
        await stream.step()
    assert f'data-edition="{stream.edition}"' in page.text


async def test_the_stream_ends_when_the_controller_leaves_and_says_so_first(
    browser: httpx.AsyncClient, desk: FakeDesk
) -> None:
    async with watching(browser) as stream:
        await stream.until("hello", "All is well")
        desk.phase = "draining"
        desk.journal.say("controller", "Leaving.")
        await stream.until("hello", "Seadragon is leaving")
        async with asyncio.timeout(30):
            while await stream.step():
                pass


async def test_many_who_watch_cost_one_question_to_ollama(
    browser: httpx.AsyncClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.pages.live.MODELS_FOR", 60.0)
    async with watching(browser) as one, watching(browser) as other, watching(browser) as third:
        for stream in (one, other, third):
            await stream.until("models", "llama3.2")
    assert desk.asked == 1


@asynccontextmanager
async def as_many_as_may(browser: httpx.AsyncClient, seen: Seen, peers: list[str]) -> AsyncIterator[None]:
    """Who looks from `peers`, each with a stream that is open."""
    async with AsyncExitStack() as stack:
        streams = []  # one that nobody holds is closed
        for seen.peer in peers:
            streams.append(await stack.enter_async_context(watching(browser)))
            await streams[-1].step()
        yield


async def test_one_guests_pages_shut_nobody_else_out(browser: httpx.AsyncClient, seen: Seen) -> None:
    seen.who = GUEST
    async with as_many_as_may(browser, seen, ["192.168.1.5"] * SHARE):
        assert (await browser.get("/live")).status_code == 429
        seen.peer = "192.168.1.6"
        async with watching(browser) as stream:
            await stream.step()
        seen.who, seen.peer = OWNER, "127.0.0.1"
        async with watching(browser) as stream:
            await stream.step()


async def test_however_many_guests_look_those_who_manage_see_the_page(browser: httpx.AsyncClient, seen: Seen) -> None:
    seen.who = GUEST
    async with as_many_as_may(browser, seen, [f"192.168.1.{number}" for number in range(1, 1 + VIEWERS - KEPT)]):
        seen.peer = "192.168.2.1"
        assert (await browser.get("/live")).status_code == 429
        seen.who = OWNER
        async with as_many_as_may(browser, seen, ["127.0.0.1"] * KEPT):
            seen.peer = "192.168.2.2"
            assert (await browser.get("/live")).status_code == 429


async def test_a_viewer_who_leaves_makes_room(browser: httpx.AsyncClient) -> None:
    for _ in range(VIEWERS + 3):
        async with watching(browser) as stream:
            await stream.step()


async def test_who_asks_for_the_heads_of_the_stream_alone_takes_no_place(browser: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        for _ in range(VIEWERS + 3):
            answer = await browser.head("/live")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")


async def test_without_scripts_the_page_refreshes_itself(browser: httpx.AsyncClient) -> None:
    assert '<noscript><meta http-equiv="refresh"' in (await browser.get("/")).text


async def test_safe_mode_shows_what_is_wrong_and_where(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    desk.phase = "safe"
    desk.known = {}
    desk.config_problems = ["config/server.yaml:12:7 server.hold: found 'soon'; allowed: a duration"]
    page = (await browser.get("/")).text
    assert "The settings need you" in page
    assert "config/server.yaml:12:7" in page


async def test_a_slow_list_of_models_does_not_hold_up_the_page(
    browser: httpx.AsyncClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> list[dict[str, Any]]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(desk, "models", never)  # Ollama is busy
    assert "cannot be asked" in (await browser.get("/")).text


async def test_a_list_of_models_that_cannot_be_had_is_told_on_the_page(
    browser: httpx.AsyncClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> list[dict[str, Any]]:
        raise Unreachable("Ollama does not run.")

    monkeypatch.setattr(desk, "models", away)
    assert "cannot be asked" in (await browser.get("/")).text


# --- the line, the models, the memory ---


async def test_the_line_is_shown_and_moves(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    desk.line = a_line(a_ticket(1, "cline", model="qwen3"))
    async with watching(browser) as stream:
        await stream.until("line", "its model is busy")
        assert "cline" in stream.parts["line"]
        desk.line = a_line(a_ticket(1, "cline", state="granted", why="turn", hold=None))
        await stream.until("line", "it was its turn")


async def test_each_who_watches_sees_their_own(browser: httpx.AsyncClient, desk: FakeDesk, seen: Seen) -> None:
    desk.line = a_line(a_ticket(1, "cline"), a_ticket(2, "mia"))
    async with watching(browser) as owners:
        await owners.until("line", "cline")
        seen.who = GUEST
        async with watching(browser) as guests:
            await guests.until("line", "1 other waiting")
            await guests.until("models", "llama3.2")
            assert "mia" in guests.parts["line"]
            assert "cline" not in guests.parts["line"]
            assert "button" not in guests.parts["line"] + guests.parts["models"]
        await owners.until("models", "button")


async def test_a_state_of_a_model_and_the_memory_are_seen_soon(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    async with watching(browser) as stream:
        await stream.until("models", "not loaded")
        desk.installed = [a_model("llama3.2", state="resident")]
        desk.room = a_memory(models_loaded={"llama3.2": 12.3}, taken_gb=12.3)
        await stream.until("models", "3.1 GB of memory")
        await stream.until("memory", "llama3.2: 12 GB")


async def pressed(browser: httpx.AsyncClient, **button: str) -> httpx.Response:
    """What a press on a button of the page comes to."""
    page = (await browser.get("/")).text
    token = page.partition('name="token" value="')[2].partition('"')[0]
    return await browser.post("/orders", data={"token": token, **button})


@pytest.mark.parametrize(
    ("button", "order"),
    [
        ({"load": "llama3.2"}, ("load", {"model": "llama3.2"})),
        ({"unload": "qwen3"}, ("unload", {"model": "qwen3"})),
        ({"switch": "llama3.2"}, ("switch", {"model": "llama3.2", "waiting": "keep", "when": "free"})),
        ({"pin": "qwen3"}, ("pin", {"model": "qwen3", "on": True})),
        ({"unpin": "qwen3"}, ("pin", {"model": "qwen3", "on": False})),
    ],
)
async def test_a_button_gives_its_order_and_leads_back_to_how_it_goes(
    browser: httpx.AsyncClient, desk: FakeDesk, button: dict[str, str], order: tuple[str, object]
) -> None:
    answer = await pressed(browser, **button)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?order=j1#models")
    assert desk.orders == [order]
    assert "It has begun." in (await browser.get("/?order=j1")).text
    assert isinstance(desk.audit, FakeAudit)
    assert desk.audit.notes == [(f"models.{order[0]}", next(iter(button.values())), "done")]


async def test_an_order_is_watched_to_its_end(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    await pressed(browser, load="llama3.2")
    page = (await browser.get("/?order=j1")).text
    assert 'data-stream="/live?order=j1"' in page
    async with browser.stream("GET", "/live?order=j1") as response:
        stream = Stream(response)
        await stream.until("order", "It has begun.")
        desk.jobs["j1"].end("llama3.2 is loaded.")
        await stream.until("order", "llama3.2 is loaded.")


async def test_pause_and_resume_are_done_at_once(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    answer = await pressed(browser, pause="")
    assert (answer.status_code, answer.headers["location"]) == (303, "/#line")
    assert "everything: nobody" in (await browser.get("/")).text
    await pressed(browser, resume="")
    assert desk.orders == [("pause", (None, None)), ("resume", (None, None))]
    assert isinstance(desk.audit, FakeAudit)
    assert desk.audit.notes == [("queue.pause", "the line", "done"), ("queue.resume", "the line", "done")]


async def test_a_request_is_cancelled_at_once_and_gone_from_the_page(
    browser: httpx.AsyncClient, desk: FakeDesk
) -> None:
    desk.line = a_line(a_ticket(7, "cline", state="granted"), a_ticket(8, "mia", position=1))
    assert (
        '<button class="btn" form="orders" name="cancel" value="8">Cancel<span class="unseen"> request 8 of mia'
        in (await browser.get("/")).text
    )
    answer = await pressed(browser, cancel="8")
    assert (answer.status_code, answer.headers["location"]) == (303, "/#line")
    assert [each["number"] for each in desk.line["tickets"]] == [7]
    again = await pressed(browser, cancel="8")
    assert (again.status_code, "There is no request 8" in again.text) == (409, True)
    assert isinstance(desk.audit, FakeAudit)
    assert desk.audit.notes == [("queue.cancel", "request 8", "done"), ("queue.cancel", "request 8", "refused")]


@pytest.mark.parametrize("value", ["", "x", "-1", "7.0", "²", "9" * 5000])
async def test_what_is_no_number_cancels_nothing(browser: httpx.AsyncClient, desk: FakeDesk, value: str) -> None:
    answer = await pressed(browser, cancel=value)
    assert (answer.status_code, desk.orders) == (409, [])
    assert "not the number of a request" in answer.text


async def test_who_may_not_manage_has_no_button_to_cancel_even_their_own(
    browser: httpx.AsyncClient, desk: FakeDesk, seen: Seen
) -> None:
    desk.line = a_line(a_ticket(7, GUEST.label))
    seen.who = GUEST
    page = (await browser.get("/")).text
    assert 'id="ticket-7"' in page
    assert 'name="cancel"' not in page


async def test_a_request_for_a_model_that_does_not_exist_for_somebody_is_none_to_cancel(
    browser: httpx.AsyncClient, desk: FakeDesk, seen: Seen
) -> None:
    desk.line = a_line(a_ticket(7, "cline", model="qwen3"), a_ticket(8, "mia"))
    seen.who = Principal("helper", manage=True, models=("llama*",))
    assert (await pressed(browser, cancel="7")).status_code == 409
    assert (await pressed(browser, cancel="8")).status_code == 303
    assert [each["number"] for each in desk.line["tickets"]] == [7]


async def test_an_order_that_is_refused_is_told_on_a_page(browser: httpx.AsyncClient, desk: FakeDesk) -> None:
    def refuse(job: FakeJob) -> None:
        raise OrderRefused("big needs 90 GB of 47 GB.", "no_room")

    desk.on_job = refuse
    answer = await pressed(browser, load="big")
    assert (answer.status_code, "big needs 90 GB of 47 GB." in answer.text) == (409, True)
    assert isinstance(desk.audit, FakeAudit)
    assert desk.audit.notes == [("models.load", "big", "refused")]


async def test_who_may_not_manage_gets_no_token_and_no_order(
    browser: httpx.AsyncClient, desk: FakeDesk, seen: Seen
) -> None:
    for who, told in ((GUEST, "manage: true"), (None, "not for guests"), (CHILD, "not for guests")):
        seen.who = who
        page = (await browser.get("/")).text
        assert 'name="token"' not in page
        assert told in page
        assert (await browser.post("/orders", data={"load": "llama3.2"})).status_code == 403
    assert desk.orders == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_the_page_of_another_site_orders_nothing_even_with_a_token(
    browser: httpx.AsyncClient, desk: FakeDesk, headers: dict[str, str]
) -> None:
    token = (await browser.get("/")).text.partition('name="token" value="')[2].partition('"')[0]
    answer = await browser.post("/orders", data={"token": token, "load": "llama3.2"}, headers=headers)
    assert (answer.status_code, desk.orders) == (403, [])


@pytest.mark.parametrize("token", ["", "1.2", "9999999999.", "nan.", "x" * 5000])
async def test_without_the_pages_token_nothing_is_ordered(
    browser: httpx.AsyncClient, desk: FakeDesk, token: str
) -> None:
    answer = await browser.post("/orders", data={"token": token, "load": "llama3.2"})
    assert (answer.status_code, desk.orders) == (403, [])
    assert "too old" in answer.text


@pytest.mark.parametrize("button", [{}, {"melt": "x"}, {"load": "x", "unload": "y"}])
async def test_what_is_no_button_of_ours_is_no_order(
    browser: httpx.AsyncClient, desk: FakeDesk, button: dict[str, str]
) -> None:
    answer = await pressed(browser, **button)
    assert (answer.status_code, desk.orders) == (400, [])


async def test_a_form_longer_than_any_of_ours_is_not_read_to_its_end(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/orders", content=b"a=" + b"x" * 20_000)).status_code == 400


def test_the_drawing_stands_in_the_page_and_not_behind_a_request() -> None:
    assert (CLONE / "static" / "seadragon.svg").read_text().startswith("<svg")


async def test_models_that_do_not_exist_for_somebody_are_nowhere_on_their_page(
    browser: httpx.AsyncClient, desk: FakeDesk, seen: Seen
) -> None:
    desk.room = a_memory(models_loaded={"qwen3": 12.3}, taken_gb=12.3)
    desk.line = a_line(a_ticket(1, "mia", model="qwen3")) | {"paused": ["qwen3", "lane 3"]}
    desk.journal.say("models", "Loaded qwen3 in 3 s.")
    async with watching(browser) as owners:
        await owners.until("events", "qwen3")
        seen.who = CHILD
        async with watching(browser) as childs:
            await childs.until("models", "llama3.2")
            await childs.until("events", "Nothing yet")
            assert "qwen3" not in "".join(childs.parts.values())
            assert "another model" in childs.parts["memory"]
            assert "lane 3" in childs.parts["line"]
        page = (await browser.get("/")).text
        assert "llama3.2" in page
        assert "qwen3" not in page
        seen.who = OWNER
        assert "qwen3" in (await browser.get("/")).text  # what was rendered for a child is not for everybody


async def test_no_order_is_taken_for_a_model_that_does_not_exist_for_who_gives_it(
    browser: httpx.AsyncClient, desk: FakeDesk, seen: Seen
) -> None:
    seen.who = Principal("helper", manage=True, models=("llama*",))
    answer = await pressed(browser, load="qwen3")
    assert (answer.status_code, desk.orders) == (409, [])
    assert "There is no model qwen3." in answer.text
    assert (await pressed(browser, load="llama3.2")).status_code == 303
