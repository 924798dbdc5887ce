"""The controller's end of a conversation with a keeper (`wire.py` has the words)."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Self

from controller.errors import Unreachable
from controller.supervision.wire import LONGEST_MESSAGE, VERSION, Message, encode

ANSWER_LIMIT = 5.0  # seconds for a keeper to answer; one that does not is frozen


class Link:
    """One connection to one keeper. Somebody must keep hearing for questions to be answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._answers: dict[int, asyncio.Future[Message]] = {}

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        """Talk over a connected socket, which is the link's from now on."""
        try:
            return cls(*await asyncio.open_unix_connection(sock=sock, limit=LONGEST_MESSAGE))
        except BaseException:
            sock.close()
            raise

    def say(self, do: str, **message: object) -> None:
        """Tell the keeper something; it is lost when the keeper is gone."""
        if not self._writer.is_closing():
            self._writer.write(encode({"v": VERSION, "do": do, **message}))

    async def ask(self, do: str, **message: object) -> Message:
        """The keeper's answer. Raises Unreachable when it is gone or frozen."""
        if self._writer.is_closing():
            raise Unreachable("the keeper is gone")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self.say(do, id=number, **message)
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                return await answer
        except TimeoutError:
            raise Unreachable("the keeper does not answer") from None
        finally:
            del self._answers[number]

    async def hear(self) -> Message | None:
        """The next news; None when the connection ended, however it ended. Answers go to who asked."""
        while True:
            try:
                line = await self._reader.readline()
            except (ConnectionError, ValueError):  # reset; or longer than any message may be
                return None
            if not line.endswith(b"\n"):
                return None
            message: Message = json.loads(line)
            answer = self._answers.get(message.get("id", 0))
            if answer is None:
                return message
            if not answer.done():
                answer.set_result(message)

    async def hear_first(self) -> Message | None:
        """The first thing that a keeper says. Raises TimeoutError when it does not."""
        async with asyncio.timeout(ANSWER_LIMIT):
            return await self.hear()

    def close(self) -> None:
        self._writer.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Unreachable("the keeper is gone"))
