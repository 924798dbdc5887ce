"""The Mac's loop, run here: its timers go by a clock that stands still while libuv's goes on, as in a sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop

from controller.clock import SystemClock
from controller.engines.ollama.client import OllamaClient, Runners
from controller.engines.ollama.loading import Loading, LoadPace
from controller.machine.eventloop import AwakeLoop, new_loop
from tests.fakes.residents import runner

A_TURN = 0.005  # seconds; libuv starts timers only when the loop comes round


class Sleepy(AwakeLoop):
    """A Mac that sleeps on demand: for so long its own time stands still, and libuv's does not."""

    def __init__(self) -> None:
        self._stands_at: float | None = None
        self._slept = 0.0
        super().__init__()

    def time(self) -> float:
        return time.monotonic() - self._slept if self._stands_at is None else self._stands_at

    def doze(self, seconds: float) -> None:
        """Sleep from now on, for `seconds` of the real time."""
        self._stands_at, end = self.time(), time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.001)  # nothing of ours runs meanwhile
        self._slept += seconds + time.monotonic() - end
        self._stands_at = None


def sleepily(live: Callable[[Sleepy], Coroutine[Any, Any, None]]) -> None:
    """Run a test on such a loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Sleepy)
        await live(loop)

    with asyncio.Runner(loop_factory=Sleepy) as runner:
        runner.run(main())


def test_a_mac_gets_this_loop_and_others_libuvs_own() -> None:
    mac, linux = new_loop("darwin"), new_loop("linux")
    try:
        assert isinstance(mac, AwakeLoop)
        assert isinstance(linux, uvloop.Loop)
        assert not isinstance(linux, AwakeLoop)
    finally:
        mac.close()
        linux.close()


def test_a_pause_that_a_sleep_falls_into_keeps_the_rest_of_its_time() -> None:
    async def live(loop: Sleepy) -> None:
        pause = asyncio.ensure_future(asyncio.sleep(0.3))
        await asyncio.sleep(A_TURN)
        began = loop.time()
        loop.doze(0.5)
        await pause
        assert loop.time() - began >= 0.25

    sleepily(live)


def test_a_limit_does_not_pass_while_nobody_could_use_it() -> None:
    async def live(loop: Sleepy) -> None:
        async with asyncio.timeout(1.0):
            for _ in range(4):
                loop.doze(0.5)
                await asyncio.sleep(0.05)

    sleepily(live)


class Slow(OllamaClient):
    """Takes a second of its own time to load a model, and a sleep falls into it."""

    def __init__(self, loop: Sleepy) -> None:
        super().__init__(lambda: None)
        self._loop = loop

    async def load(self, model: str, *, embeds: bool, keep_alive: float | None = None) -> None:
        for _ in range(4):
            self._loop.doze(0.5)
            await asyncio.sleep(0.1)

    async def probe(self, model: str, *, embeds: bool) -> None:
        self._loop.doze(0.5)
        await asyncio.sleep(0.05)

    async def ps(self, limit: float = 10.0) -> list[dict[str, Any]]:
        return []


def test_a_load_across_a_sleep_is_not_late() -> None:
    async def live(loop: Sleepy) -> None:
        loading = Loading(Slow(loop), Runners(lambda: None), SystemClock(), LoadPace())
        assert (await loading.load(runner("a"), 1.0)).processes == []

    sleepily(live)


def test_a_limit_that_is_used_up_still_ends() -> None:
    async def live(loop: Sleepy) -> None:
        began = loop.time()
        waiting = asyncio.ensure_future(asyncio.wait_for(loop.create_future(), 0.2))
        await asyncio.sleep(A_TURN)
        loop.doze(0.3)
        with pytest.raises(TimeoutError):
            await waiting
        assert loop.time() - began >= 0.15

    sleepily(live)


def test_what_was_called_off_before_or_after_a_sleep_does_not_run() -> None:
    async def live(loop: Sleepy) -> None:
        ran: list[str] = []
        before = loop.call_later(0.05, ran.append, "before")
        after = loop.call_later(0.2, ran.append, "after")
        before.cancel()
        await asyncio.sleep(A_TURN)
        loop.doze(0.3)
        await asyncio.sleep(0)
        after.cancel()
        await asyncio.sleep(0.3)
        assert ran == []
        assert before.cancelled()
        assert after.cancelled()

    sleepily(live)


def test_timers_keep_their_order_their_context_and_their_moment() -> None:
    async def live(loop: Sleepy) -> None:
        who = ContextVar("who", default="nobody")
        who.set("me")
        ran: list[tuple[str, str]] = []
        now = loop.time()
        late = loop.call_at(now + 0.06, lambda: ran.append(("late", who.get())))
        loop.call_at(now + 0.02, lambda: ran.append(("soon", who.get())))
        who.set("somebody else")
        assert late.when() == now + 0.06
        await asyncio.sleep(0.1)
        assert ran == [("soon", "me"), ("late", "me")]

    sleepily(live)


def test_a_timer_that_fails_is_told_like_any_other() -> None:
    async def live(loop: Sleepy) -> None:
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        loop.call_later(0, lambda: 1 / 0)
        await asyncio.sleep(0.05)
        assert isinstance(told[0]["exception"], ZeroDivisionError)

    sleepily(live)
