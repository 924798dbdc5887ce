"""A real Chromium, driven over its debugging pipe: open a page, wait for something on it, hear its console."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
LEAVING = 10.0  # seconds it gets to go by itself
ON_THREE_AND_FOUR = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
LOADED = "document.readyState === 'complete' && location.href !== 'about:blank'"
WHEN = """new Promise(done => {
  const look = () => (%s) && (watch.disconnect(), done(true));
  const watch = new MutationObserver(look);
  document.addEventListener("readystatechange", look);
  watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
  look();
})"""


def chromium() -> str | None:
    """The program, if it is installed."""
    return shutil.which("chromium") or shutil.which("google-chrome")


class Tab:
    """One page in it."""

    def __init__(self, reader: asyncio.StreamReader, writing: int) -> None:
        self.complaints: list[str] = []  # console errors, refusals of the content policy, exceptions
        self._reader, self._writing = reader, writing
        self._number = 0
        self._session: str | None = None

    async def open(self, url: str, *, scripts: bool = True) -> None:
        """Load it, from its first request to its `load` event; without its scripts, if so wished."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        await self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        await self.call("Page.navigate", url=url)
        if scripts:
            return await self.until(LOADED)
        async with asyncio.timeout(60):
            while (await self.value(LOADED)) is not True:  # nothing in the page could tell: each look is a round trip
                pass

    async def until(self, holds: str) -> None:
        """Wait until the expression holds in the page. Raises TimeoutError after a minute."""
        async with asyncio.timeout(60):
            while (await self.value(WHEN % holds)) is not True:  # a navigation took the promise away
                pass

    async def press(self, x: float, y: float) -> None:
        """With the left button of a mouse, at that place of what is to be seen."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def leave(self) -> None:
        """Ask the browser to go: killed, it leaves its folders in /tmp behind."""
        self._session = None
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(LEAVING):
                await self.call("Browser.close")

    async def value(self, expression: str) -> Any:
        """What the expression comes to, promises awaited."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return result.get("result", {}).get("value")

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command and its result; what the page complains of meanwhile is kept."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._writing, json.dumps(command).encode() + b"\0")
        while True:
            message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            self._listen(message)
            if message.get("id") == self._number:
                return dict(message.get("result", {}))

    def _listen(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        match message.get("method"):
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.complaints.append(about["entry"]["text"])
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(about["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(about["exceptionDetails"]))


@asynccontextmanager
async def browsing(profile: Path, *options: str) -> AsyncIterator[Tab]:
    """A browser of its own, with a profile folder of its own and these `options`, for as long as the block lasts."""
    program = chromium()
    assert program, "chromium is missing: `make test` installs it"
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    argv = ("-c", ON_THREE_AND_FOUR, str(theirs_in), str(theirs_out), program, *OPTIONS, *options)
    argv += (f"--user-data-dir={profile}",)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        pass_fds=(theirs_in, theirs_out),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    reader = asyncio.StreamReader(limit=2**24)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb", 0)
    )
    tab = Tab(reader, ours_out)
    try:
        yield tab
    finally:
        await tab.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                await process.wait()
        transport.close()
        os.close(ours_out)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
