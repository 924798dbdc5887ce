"""What a real Chromium sends for pages of other sites, and what it lets them have of ours."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.auth.gate import Gate, Sent
from controller.config.entry import Access
from tests.integration.plane import CHAT, config, fake_ollama, gateway, head_of, upstream
from tests.kit.browser import Tab, browsing

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="set-up installs Chromium on Linux only")

NAMES = (
    "--host-resolver-rules=MAP *.test 127.0.0.1"  # http://x.test is neither https nor loopback, as 192.168.1.5 is not
)
PAGE = b"<!doctype html><meta charset=utf-8><title>page</title><p>Somebody's page."
ORIGIN = Gate((), ())


@dataclass
class Stage:
    """A web server that shows the same page everywhere, and remembers how each path was asked for."""

    port: int = 0
    seen: dict[str, Sent] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    policy: str = ""  # where its pages have reported what they may not load

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers = await head_of(reader)
        method, path, _ = line.split()
        names = ("host", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
        sent = Sent(method, *(headers[name].encode() if name in headers else None for name in names))
        async with self.news:
            self.seen[path] = sent
            self.news.notify_all()
        policy = f"Content-Security-Policy: img-src 'none'; report-uri {self.policy}\r\n" if self.policy else ""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{policy}Connection: close\r\n\r\n"
        writer.write(head.encode() + PAGE)
        await writer.drain()
        writer.close()

    async def of(self, path: str) -> Sent:
        async with self.news, asyncio.timeout(60):
            await self.news.wait_for(lambda: path in self.seen)
            return self.seen.pop(path)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    async with upstream(made.serve) as address:  # a browser also opens connections on which it never asks anything
        made.port = address.port
        yield made


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browsing(tmp_path / "profile", NAMES) as opened:
        yield opened


WAYS = {
    "fetch": "void fetch('{to}', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})",
    "asked": "void fetch('{to}', {{method: 'POST', headers: {{'content-type': 'application/json'}}, body: '{{}}'}})",
    "quiet": "void fetch('{to}', {{method: 'POST', mode: 'no-cors', body: '{{}}', referrerPolicy: 'no-referrer'}})",
    "ping": "Object.assign(document.createElement('a'), {{href: '#', ping: '{to}'}}).click()",
    "worker": """void new Worker(URL.createObjectURL(new Blob(
        ["fetch('{to}', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})"])))""",
    "beacon": "navigator.sendBeacon('{to}', '{{}}')",
    "report": "new Image().src = 'http://evil.test/forbidden'",  # of a page with a policy, see below
    "picture": "new Image().src = '{to}'",
    "prefetch": """document.head.append(Object.assign(document.createElement('link'),
        {{rel: 'prefetch', href: '{to}'}}))""",
    "script": "document.body.append(Object.assign(document.createElement('script'), {{src: '{to}'}}))",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), {{src: '{to}'}}))",
    "stream": "void new EventSource('{to}')",
    "sandbox": """document.body.append(Object.assign(document.createElement('iframe'), {{sandbox: 'allow-scripts',
        srcdoc: `<script>fetch('{to}', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})</script>`}}))""",
    "form": """(() => {{ const form = document.createElement('form'); Object.assign(form, {{method: 'POST',
        action: '{to}', enctype: 'text/plain'}}); document.body.append(form); form.submit() }})()""",
}
"""How a page can make a browser ask for something: what it is made to run, by a name."""
LOOKS = ("picture", "prefetch", "script", "frame")  # of those, what only looks, and says nothing of its page


async def caused(tab: Tab, at: Stage, to: Stage, name: str, here: str, host: str) -> Sent:
    """What reaches `to`, called `host`, when a page of `at`, called `here`, does so."""
    target = f"http://{host}:{to.port}/{name}"
    at.policy = target if name == "report" else ""
    await tab.call("Page.navigate", url=f"http://{here}:{at.port}/{name}-page")
    await tab.until(f"location.pathname === '/{name}-page' && document.readyState === 'complete'")
    await tab.value(WAYS[name].format(to=target))
    return await to.of(f"/{name}")


@pytest.mark.parametrize("host", ["localhost", "house.test"])
async def test_what_a_browser_sends_for_a_foreign_page_is_refused(tab: Tab, host: str) -> None:
    """Of what only looks a browser says nothing where it is neither https nor loopback; then nothing can be read."""
    trusted = host == "localhost"
    async with stage() as theirs, stage() as ours:
        await tab.open(f"http://evil.test:{theirs.port}/first")
        for name in WAYS:
            sent = await caused(tab, theirs, ours, name, "evil.test", host)
            assert (sent.site == b"cross-site") is trusted, name
            foreign = ORIGIN.foreign(sent)
            assert foreign is not (not trusted and sent.safe and sent.origin is None), (name, sent)
            assert foreign or name in LOOKS, (name, sent)
            assert (sent.origin is None) is (name in LOOKS), (name, sent)
        reloaded = await again(tab, ours, "/form")
        assert ORIGIN.foreign(reloaded), reloaded


async def again(tab: Tab, to: Stage, path: str) -> Sent:
    """Load what the tab shows once more, as by hand."""
    await tab.until(f"location.pathname === '{path}' && document.readyState === 'complete'")
    await tab.call("Page.reload")
    return await to.of(path)


@pytest.mark.parametrize("host", ["localhost", "house.test"])
async def test_what_a_browser_sends_for_our_own_pages_and_for_nobody_passes(tab: Tab, host: str) -> None:
    async with stage() as ours:
        await tab.open(f"http://{host}:{ours.port}/typed")
        typed = await ours.of("/typed")
        assert (typed.site, typed.dest) == ((b"none", b"document") if host == "localhost" else (None, None))
        assert not ORIGIN.foreign(typed)
        for name in WAYS:
            sent = await caused(tab, ours, ours, name, host, host)
            assert ORIGIN.foreign(sent) is (name == "sandbox"), (name, sent)
        assert not ORIGIN.foreign(await again(tab, ours, "/form"))


async def test_a_link_of_a_foreign_page_leads_to_our_pages_and_to_nothing_else(tab: Tab) -> None:
    async with stage() as theirs, stage() as ours:
        await tab.open(f"http://evil.test:{theirs.port}/")
        await tab.value(f"location.href = 'http://localhost:{ours.port}/linked'")
        sent = await ours.of("/linked")
        assert (sent.site, sent.mode, sent.dest) == (b"cross-site", b"navigate", b"document")
        assert ORIGIN.foreign(sent)
        assert not ORIGIN.foreign(sent, linked=True)


ASKING = """fetch("{url}", {{method: "POST", headers: {headers}, body: JSON.stringify({body})}})
  .then(answer => answer.json(), error => error.name)"""
HEADERS = {
    "content-type": "application/json",
    "authorization": "Bearer ollama",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-title": "Somebody's page",
    "http-referer": "https://x",
    "x-stainless-arch": "unknown",
    "x-stainless-helper-method": "stream",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-nobody-has-heard-of-this": "1",
}


async def asked(tab: Tab, url: str) -> Any:
    """What the tab's page reads of the answer of `url`, or what its browser throws."""
    body = json.dumps({**CHAT, "stream": False})
    return await tab.value(ASKING.format(url=url, headers=json.dumps(HEADERS), body=body))


async def test_a_listed_page_may_send_any_header_and_read_the_answer_and_another_may_not(
    tab: Tab, tmp_path: Path
) -> None:
    using = config(access=Access(origins=("http://localhost:*",)))
    async with fake_ollama(tmp_path) as fake, gateway(fake.address, using=using) as plane, stage() as page:
        await tab.open(f"http://localhost:{page.port}/")
        answer = await asked(tab, f"{plane.url}/api/chat")
        assert isinstance(answer, dict)
        assert answer["message"]["content"]
        assert (await asked(tab, f"{plane.url}/api/nowhere"))["error"]  # a refusal can be read, too
        before = len(await fake.seen())
        await tab.call("Page.navigate", url=f"http://evil.test:{page.port}/")
        await tab.until("location.hostname === 'evil.test' && document.readyState === 'complete'")
        assert await asked(tab, f"{plane.url}/api/chat") == "TypeError"
        assert len(await fake.seen()) == before
