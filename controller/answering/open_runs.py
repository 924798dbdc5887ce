"""Everything that is being answered, whoever asked: looked after twice a second, and the one place where it is ended
from outside, one by one or all together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from controller.answering.call import Call
from controller.answering.refusals import CUT, CUT_SHORT
from controller.clock import Clock
from controller.refusal import Reason
from controller.scheduling.ticket import End, Ticket

_LOOK = 0.1  # seconds between two looks at whether upstream is quiet
_ENDING = 5.0  # seconds that what is cut may take to end


class OpenRuns:
    """Built once; whoever begins a call enters it, and takes it out again however it ended."""

    def __init__(self, clock: Clock, sweep: float) -> None:
        """`sweep`: seconds between two looks."""
        self._clock = clock
        self._sweep = sweep
        self._open: set[Call] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self.draining = False  # nothing new is to begin

    def __len__(self) -> int:
        """How many calls are open, held ones too."""
        return len(self._open)

    def __iter__(self) -> Iterator[Call]:
        """All that are open now."""
        return iter(list(self._open))

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer of upstream's, or is being given one."""
        return any(each.busy for each in self._open)

    def enter(self, call: Call) -> None:
        """It has begun."""
        self._open.add(call)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._sweep, self._look)

    def leave(self, call: Call) -> None:
        """It is over."""
        self._open.discard(call)
        self._ended.set()

    def cut_short(self, ticket: Ticket, as_: End) -> None:
        """The operator ends what `ticket` was granted for, with a reason that whoever asked is shown."""
        told = CUT_SHORT[as_]
        for call in self._open:
            if call.seat is not None and call.seat.ticket is ticket:
                call.stop(told.reason, told)

    def rights_changed(self) -> None:
        """End what is open of whoever lost the right to it, but for an order that is being carried out: it may be the
        one that changed the rights.
        """
        now = self._clock.now()
        for call in list(self._open):
            self._still_let_in(call, now)

    async def drained(self, limit: float) -> bool:
        """Let nothing begin from now on, and wait at most `limit` seconds until everything is answered.

        Returns whether it is. `draining = False` lets calls in again.
        """
        self.draining = True
        return await self._until(lambda: not self._open, limit)

    async def quiet(self, limit: float) -> bool:
        """Wait at most `limit` seconds until upstream works on nothing; what arrives may come in and be held."""
        return await self._until(lambda: not any(each.under_way for each in self._open), limit)

    async def cut(self) -> None:
        """End what is still open, each with a reason that whoever asked is shown, and return when it has ended."""
        for call in list(self._open):
            call.stop(Reason.CUT, CUT)
        await self._until(lambda: not self._open, _ENDING)

    def close(self) -> None:
        """Nothing is looked after any more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    # --- the sweep ---

    def _look(self) -> None:
        """Look after all calls that are not over within a moment."""
        self._sweeping = None
        if not self._open:
            return
        self._sweeping = asyncio.get_running_loop().call_later(self._sweep, self._look)
        now = self._clock.now()
        settled = now - self._sweep / 2
        for call in self._open:
            if call.started < settled:
                self._look_after(call, now)

    def _look_after(self, call: Call, now: float) -> None:
        self._still_let_in(call, now)
        given_up = call.given_up(self._sweep)
        late = call.seat.look(now, self._sweep) if call.seat is not None else None
        if given_up:
            call.stop(given_up)
        elif late is not None:
            call.stop(late.reason, late)
        else:
            call.look_out()

    def _still_let_in(self, call: Call, now: float) -> None:
        ended = call.right_ended(now)
        if ended is not None:
            call.stop(ended.reason, ended)

    async def _until(self, done: Callable[[], bool], limit: float) -> bool:
        deadline = asyncio.get_running_loop().time() + limit
        while not done():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            self._ended.clear()
            try:  # an answer may be complete long before it has been read, and nobody tells: look
                async with asyncio.timeout(min(left, _LOOK)):
                    await self._ended.wait()
            except TimeoutError:
                pass
        return True
