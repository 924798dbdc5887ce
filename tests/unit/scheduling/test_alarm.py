from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from controller.scheduling.alarm import Alarm
from tests.fakes.clock import WoundClock


@given(st.lists(st.floats(0, 50), min_size=1, max_size=20))
def test_it_goes_off_once_at_the_earliest_moment_asked_for(moments: list[float]) -> None:
    async def play() -> list[float]:
        clock, rung = WoundClock(now=0.0), list[float]()
        alarm = Alarm(clock, lambda: rung.append(clock.now()))
        alarm.wake_at(0.0)  # nobody runs it yet
        async with asyncio.TaskGroup() as alarm.tasks:
            for moment in moments:
                alarm.wake_at(moment)
            await clock.wind(100)
        return rung

    [rung] = asyncio.run(play())
    assert abs(rung - min(moments)) <= 0.001


async def test_it_can_be_set_again_by_what_it_rings() -> None:
    clock, rung = WoundClock(now=0.0), list[float]()

    def ring() -> None:
        rung.append(clock.now())
        if len(rung) < 3:
            alarm.wake_at(clock.now() + 10)

    alarm = Alarm(clock, ring)
    async with asyncio.TaskGroup() as alarm.tasks:
        alarm.wake_at(10)
        await clock.wind(100)
    assert rung == [10, 20, 30]


class HastyClock(WoundClock):
    """Its sleeps end a little early, as those of a real loop may."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds * 0.9)


async def test_it_never_goes_off_before_the_moment_even_where_a_sleep_ends_early() -> None:
    clock, rung = HastyClock(now=0.0), list[float]()
    alarm = Alarm(clock, lambda: rung.append(clock.now()))
    async with asyncio.TaskGroup() as alarm.tasks:
        alarm.wake_at(10)
        await clock.wind(100)
    assert len(rung) == 1
    assert 10 <= rung[0] <= 10.001
