"""The loop that everything runs on: uvloop's, with timers that stand still while the machine sleeps."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

import uvloop

Given = TypeVarTuple("Given")
EARLY = 0.01  # seconds a timer may go off before its moment: libuv counts in milliseconds


def new_loop(platform: str = sys.platform) -> asyncio.AbstractEventLoop:
    """For `asyncio.Runner`."""
    return AwakeLoop() if platform == "darwin" else uvloop.new_event_loop()


class AwakeLoop(uvloop.Loop):
    """For a Mac, where libuv's timers count a sleep (mach_continuous_time) and `time.monotonic` does not.

    There all timers that a sleep fell into would be over at once when it ends: a model that is being loaded would be
    late, a child that is asked something would be silent, and what is being answered would be cut.
    """

    def time(self) -> float:
        return time.monotonic()

    def call_later(
        self, delay: float, callback: Callable[[*Given], object], *args: *Given, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Given], object], *args: *Given, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        self._set(timer)
        return timer

    def _set(self, timer: _Timer) -> None:
        timer.inner = super().call_later(max(0.0, timer.when() - self.time()), self._due, timer)

    def _due(self, timer: _Timer) -> None:
        if timer.when() - self.time() > EARLY:  # it slept meanwhile
            self._set(timer)
        elif not timer.cancelled():
            timer._run()

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        assert isinstance(timer, _Timer)
        timer.inner.cancel()


class _Timer(asyncio.TimerHandle):
    """What callers cancel; the loop's own handle for it changes with each sleep."""

    inner: asyncio.Handle
