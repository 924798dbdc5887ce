"""Room for request bodies in memory."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.room import SHARES, Room


async def test_who_finds_no_room_waits_for_it_in_turn() -> None:
    room = Room(100)
    assert await room.wait("a", 80, 1)
    first, second = asyncio.ensure_future(room.wait("b", 50, 60)), asyncio.ensure_future(room.wait("c", 10, 60))
    await asyncio.sleep(0)
    assert not room.take("d", 10)  # there would be room, but others were here first
    room.give("a", 80)
    assert await first
    assert await second
    assert room.taken == 60


async def test_nobody_waits_for_ever() -> None:
    room = Room(100)
    assert room.take("a", 80)
    assert not await room.wait("b", 50, 0.01)
    assert room.taken == 80


async def test_who_gives_up_lets_the_next_one_in() -> None:
    room = Room(100)
    assert room.take("a", 80)
    large, small = asyncio.ensure_future(room.wait("b", 50, 60)), asyncio.ensure_future(room.wait("c", 10, 60))
    await asyncio.sleep(0)
    large.cancel()
    assert await small
    assert room.taken == 90


async def test_what_is_larger_than_the_room_gets_in_alone() -> None:
    room = Room(100)
    assert await room.wait("a", 500, 1)
    assert not room.take("b", 1)
    room.give("a", 500)
    assert room.take("b", 1)


async def test_one_caller_has_a_share_and_is_in_nobodys_way_while_waiting_for_it() -> None:
    room = Room(100)
    assert room.take("slow", 20)
    second = asyncio.ensure_future(room.wait("slow", 20, 60))
    await asyncio.sleep(0)
    assert room.take("other", 25)
    assert await room.wait("third", 25, 1)
    assert not room.take("slow", 1)  # those of one caller keep their order, too
    assert not second.done()
    room.give("slow", 20)
    assert await second


async def test_what_is_larger_than_a_share_gets_in_when_its_caller_has_nothing_else_there() -> None:
    room = Room(100)
    assert room.take("a", 60)
    assert not room.take("a", 1)
    assert room.take("b", 30)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 120), st.booleans()), max_size=30))
async def test_it_is_never_promised_twice(steps: list[tuple[str, int, bool]]) -> None:
    room = Room(100)
    inside: list[tuple[str, int]] = []
    waiting: list[tuple[str, int, asyncio.Task[bool]]] = []
    for caller, count, leaves in steps:
        waiting.append((caller, count, asyncio.ensure_future(room.wait(caller, count, 60))))
        if leaves and inside:
            room.give(*inside.pop())
        elif leaves:
            waiting[0][2].cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        inside += [(who, each) for who, each, task in waiting if task.done() and not task.cancelled()]
        waiting = [one for one in waiting if not one[2].done()]
        assert room.taken == sum(each for _, each in inside)
        assert room.taken <= 100 or len(inside) == 1
        for who, number in Counter(who for who, _ in inside).items():
            assert number == 1 or sum(each for other, each in inside if other == who) <= 100 // SHARES
        if not inside:
            assert not waiting
    for *_, task in waiting:
        task.cancel()
    await asyncio.gather(*(task for *_, task in waiting), return_exceptions=True)
    assert room.taken == sum(each for _, each in inside)
