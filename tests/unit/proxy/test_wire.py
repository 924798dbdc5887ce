"""How long a connection may say nothing between two requests, on a loop whose time is wound by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from controller.proxy.exchange import Receive, Scope, Send
from controller.proxy.wire import HEAD_LIMIT, Wire

PAUSE = 60.0
ASK = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\n"


@dataclass
class Timer:
    at: float
    call: Callable[[], None]
    over: bool = False

    def cancel(self) -> None:
        self.over = True


class Loop:
    """What `Wire` asks of a loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.made.append(Timer(self.now + delay, call))
        return self.made[-1]

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    def wind(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.made if not timer.over and timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            first.over, self.now = True, first.at
            first.call()
        self.now = end


class Line(asyncio.Transport):
    """The client's side, which takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers += 1

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Talk:
    """One connection to an application that answers when `answer` is set."""

    def __init__(self) -> None:
        self.loop, self.line, self.answer = Loop(), Line(), asyncio.Event()
        self.answer.set()
        config = uvicorn.Config(
            self._serve, http=Wire, interface="asgi3", timeout_keep_alive=int(PAUSE), log_config=None
        )
        config.load()
        state = ServerState()
        self.wire = Wire(config, state, {}, _loop=cast(asyncio.AbstractEventLoop, self.loop))
        self.tasks = state.tasks
        self.wire.connection_made(self.line)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self) -> None:
        self.wire.data_received(ASK)
        await self.settle()

    async def settle(self) -> None:
        """All that can be answered has been."""
        if self.answer.is_set():
            await asyncio.gather(*self.tasks)


async def test_who_says_nothing_after_an_answer_is_let_go() -> None:
    talk = Talk()
    await talk.ask()
    talk.loop.wind(PAUSE - 1)
    assert not talk.line.closed
    talk.loop.wind(1)
    assert talk.line.closed


async def test_every_answer_begins_the_pause_anew() -> None:
    talk = Talk()
    for _ in range(5):
        await talk.ask()
        talk.loop.wind(PAUSE - 1)
    assert (talk.line.answers, talk.line.closed) == (5, False)
    talk.loop.wind(1)
    assert talk.line.closed


async def test_an_answer_may_take_longer_than_a_pause() -> None:
    talk = Talk()
    await talk.ask()
    talk.answer.clear()
    await talk.ask()
    talk.loop.wind(10 * PAUSE)
    assert not talk.line.closed
    talk.answer.set()
    await talk.settle()
    talk.loop.wind(PAUSE - 1)
    assert (talk.line.answers, talk.line.closed) == (2, False)
    talk.loop.wind(1)
    assert talk.line.closed


async def test_ten_requests_in_a_row_take_one_timer() -> None:
    talk = Talk()
    for _ in range(10):
        await talk.ask()
    waiting = [timer for timer in talk.loop.made if not timer.over]
    assert (talk.line.answers, len(waiting), len(talk.loop.made)) == (10, 1, 2), "the other one was for the first head"


async def test_who_was_answered_before_all_of_the_body_had_come_is_let_go_like_anybody() -> None:
    talk = Talk()
    await talk.ask()
    talk.loop.wind(PAUSE - 1)
    talk.wire.data_received(POST + b"12345")
    await talk.settle()
    talk.loop.wind(2)  # past the look that the first answer had set
    talk.wire.data_received(b"67890")
    assert (talk.line.answers, talk.line.closed) == (2, False)
    talk.loop.wind(PAUSE)
    assert talk.line.closed


async def test_the_body_of_a_request_whose_turn_has_come_may_take_its_time() -> None:
    talk = Talk()
    talk.answer.clear()
    talk.wire.data_received(ASK + POST + b"12345")
    await asyncio.sleep(0)
    talk.answer.set()
    await asyncio.sleep(0)  # the first is answered, and the turn of the second has come
    talk.answer.clear()
    talk.loop.wind(HEAD_LIMIT + 1)
    assert (talk.line.answers, talk.line.closed) == (1, False)
    talk.answer.set()
    await talk.settle()
    assert talk.line.answers == 2


async def test_requests_that_come_at_once_are_answered_one_after_another() -> None:
    talk = Talk()
    talk.answer.clear()
    talk.wire.data_received(ASK * 3)
    await asyncio.sleep(0)
    assert (len(talk.tasks), talk.line.answers) == (1, 0)
    talk.answer.set()
    while talk.line.answers < 3:
        await talk.settle()
    assert not talk.line.closed


async def test_who_hangs_up_with_more_requests_on_the_way_is_noticed_by_the_one_being_served() -> None:
    talk = Talk()
    talk.answer.clear()
    talk.wire.data_received(ASK)
    served = talk.wire.cycle
    talk.wire.data_received(ASK)
    assert (await served.receive())["type"] == "http.request"
    talk.wire.connection_lost(None)
    assert (await asyncio.wait_for(served.receive(), 5))["type"] == "http.disconnect"
    talk.answer.set()
    await talk.settle()
    assert talk.line.answers == 0


async def test_who_hangs_up_is_noticed_by_all_who_listen() -> None:
    talk = Talk()
    talk.answer.clear()
    await talk.ask()
    body, first, second = await asyncio.gather(
        talk.wire.cycle.receive(), asyncio.wait_for(talk.wire.cycle.receive(), 5), _later(talk)
    )
    assert (body["type"], first["type"], second) == ("http.request", "http.disconnect", "http.disconnect")
    talk.answer.set()
    await talk.settle()
    assert talk.line.answers == 0


async def _later(talk: Talk) -> str:
    """Another who listens on the same connection, while its client hangs up."""
    listening = asyncio.ensure_future(talk.wire.cycle.receive())
    await asyncio.sleep(0)
    talk.wire.connection_lost(None)
    return (await listening)["type"]
