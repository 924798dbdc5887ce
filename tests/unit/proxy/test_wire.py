"""The head of an answer and its body go out together, and never later than they could."""

from __future__ import annotations

import asyncio

from controller.proxy.wire import HeadWithBody

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what was sent, one entry a packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "uvloop raises when a closed transport is written to"
        self.packets.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def joined() -> tuple[HeadWithBody, Wire]:
    wire = Wire()
    return HeadWithBody(wire, asyncio.get_running_loop()), wire


async def test_a_head_and_the_body_that_follows_it_are_one_packet() -> None:
    transport, wire = joined()
    transport.write(HEAD)
    transport.write(b"body")
    transport.write(b"more")
    assert wire.packets == [HEAD + b"body", b"more"]


async def test_a_head_whose_body_is_not_there_yet_goes_out_in_the_same_turn_of_the_loop() -> None:
    transport, wire = joined()
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert wire.packets == [HEAD]
    transport.write(b"body")
    assert wire.packets == [HEAD, b"body"]


async def test_nothing_is_sent_twice() -> None:
    transport, wire = joined()
    transport.write(HEAD)
    transport.write(b"body")
    await asyncio.sleep(0)
    assert wire.packets == [HEAD + b"body"]


async def test_closing_sends_what_was_kept() -> None:
    transport, wire = joined()
    transport.write(HEAD)
    transport.close()
    assert wire.packets == [HEAD]
    await asyncio.sleep(0)
    assert wire.packets == [HEAD]


async def test_a_reset_sends_nothing_more() -> None:
    transport, wire = joined()
    transport.write(HEAD)
    transport.abort()
    await asyncio.sleep(0)
    assert wire.packets == []


async def test_a_client_that_left_meanwhile_is_not_written_to() -> None:
    transport, wire = joined()
    transport.write(HEAD)
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.packets == []
