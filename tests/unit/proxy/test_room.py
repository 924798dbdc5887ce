"""Room for request bodies in memory."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.room import Room


async def test_who_finds_no_room_waits_for_it_in_turn() -> None:
    room = Room(100)
    assert await room.wait(80, 1)
    first, second = asyncio.ensure_future(room.wait(50, 60)), asyncio.ensure_future(room.wait(10, 60))
    await asyncio.sleep(0)
    assert not room.take(10)  # there would be room, but others were here first
    room.give(80)
    assert await first
    assert await second
    assert room.taken == 60


async def test_nobody_waits_for_ever() -> None:
    room = Room(100)
    assert room.take(80)
    assert not await room.wait(50, 0.01)
    assert room.taken == 80


async def test_who_gives_up_lets_the_next_one_in() -> None:
    room = Room(100)
    assert room.take(80)
    large, small = asyncio.ensure_future(room.wait(50, 60)), asyncio.ensure_future(room.wait(10, 60))
    await asyncio.sleep(0)
    large.cancel()
    assert await small
    assert room.taken == 90


async def test_what_is_larger_than_the_room_gets_in_alone() -> None:
    room = Room(100)
    assert await room.wait(500, 1)
    assert not room.take(1)
    room.give(500)
    assert room.take(1)


@given(st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=30))
async def test_it_is_never_promised_twice(steps: list[tuple[int, bool]]) -> None:
    room = Room(100)
    inside: list[int] = []
    waiting: list[tuple[int, asyncio.Task[bool]]] = []
    for count, leaves in steps:
        waiting.append((count, asyncio.ensure_future(room.wait(count, 60))))
        if leaves and inside:
            room.give(inside.pop())
        elif leaves:
            waiting[0][1].cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        inside += [each for each, task in waiting if task.done() and not task.cancelled()]
        waiting = [(each, task) for each, task in waiting if not task.done()]
        assert room.taken == sum(inside)
        assert room.taken <= 100 or len(inside) == 1
    for _, task in waiting:
        task.cancel()
    await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    assert room.taken == sum(inside)
