"""What becomes of an answer that is ended while its client has no room for the next piece."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.answering.upstream import Answer
from controller.auth.keyring import Keyring
from controller.auth.visitor import DIRECT
from controller.clock import SystemClock
from controller.dialect import StreamEnding
from controller.proxy.callers import Callers
from controller.proxy.crowd import Places
from controller.proxy.exchange import Exchange
from controller.proxy.relay import break_off, relay
from tests.kit.until import until

FIRST, LAST = b'{"response":"hi","done":false}\n', b'{"response":"","done":true}\n'


class Client:
    """It reads when it is let."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.got = b""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.reads.wait()
            self.got += message["body"]

    async def receive(self) -> Any:
        raise AssertionError("Nobody listens to the client here.")


def answer_of(*pieces: bytes) -> Answer:
    answer = Answer(paced=False, limit=2**20, overflow=lambda: None)
    answer.status, answer.headers = 200, [(b"content-type", b"application/x-ndjson")]
    for piece in pieces:
        answer.arrived(piece)
    return answer


@pytest.mark.parametrize("pieces", [(FIRST,), (FIRST, LAST)])
async def test_an_answer_that_is_ended_meanwhile_never_stops_without_a_last_record(pieces: tuple[bytes, ...]) -> None:
    client = Client()
    scope = {"method": "POST", "query_string": b"", "client": None}
    exchange = Exchange(scope, client.receive, client.send, DIRECT, Places(), Callers(Keyring(), SystemClock()), 0.0)
    relaying = asyncio.create_task(relay(exchange, answer_of(*pieces), StreamEnding.DONE, 0.0))
    await until(lambda: exchange.unsent)
    relaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await relaying
    client.reads.set()
    await break_off(exchange, "The server is restarting.")
    lines = client.got.splitlines(keepends=True)
    assert b"".join(pieces) == b"".join(lines[: len(pieces)])
    assert lines[len(pieces) :] == ([] if LAST in pieces else [b'{"error":"The server is restarting."}\n'])
