"""Two who ask: a client, through HTTP, and a plain Python caller, as a chat's run or a job is one. What they ask is
answered by the same code, so what they hear of upstream is the same, byte for byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Any, Protocol

import httpx

from controller.answering.asker import Asker
from controller.answering.bounds import Bounds
from controller.answering.question import Question
from controller.answering.sink import Sink, Wait
from controller.auth.access import Principal
from controller.auth.keyring import Keyring
from controller.proxy.fillers import ending_of
from controller.proxy.routes import Match, find
from controller.refusal import Refused
from controller.usage import Use
from tests.integration.plane import Plane
from tests.kit.until import until

_RECORDS = (b'{"error":"', b'data: {"error":', b"event: error\n")
"""How the records begin that end a stream in place of upstream."""
_numbers = count(1)


@dataclass
class Answered:
    """What became of a question."""

    status: int
    said: bytes  # by upstream, as it came
    told: str  # by us: why there was no answer, or not all of it
    reason: str
    retry_after: int | None
    attempts: int


class Ask(Protocol):
    """Asks one question of the route `path`, and says what became of it."""

    def __call__(self, plane: Plane, path: str, body: dict[str, Any]) -> Awaitable[Answered]: ...


# --- through HTTP -----------------------------------------------------------------------------------------------------


async def by_http(plane: Plane, path: str, body: dict[str, Any]) -> Answered:
    """A client with nothing of its own on the way: it neither tries again nor minds what it reads."""
    name, got, answer = f"http-{next(_numbers)}", b"", None
    async with plane.client() as client:
        try:
            async with client.stream("POST", path, json=body, headers={"X-Request-Id": name}) as answer:
                async for piece in answer.aiter_raw():
                    got += piece
        except (httpx.RemoteProtocolError, httpx.ReadError):
            pass  # it was reset: the access log says why
    await until(lambda: any(each.id == name for each in plane.records))
    record = next(each for each in plane.records if each.id == name)
    status = record.status if answer is None else answer.status_code
    if not record.reason:
        return Answered(status, got, "", "", None, record.attempts)
    if status >= 400:
        assert answer is not None
        after = answer.headers.get("retry-after")
        assert (after is None) == (answer.headers.get("x-should-retry") == "false"), "One of the two is said."
        return Answered(status, b"", _words(got), record.reason, after and int(after), record.attempts)
    cut = min((at for each in _RECORDS if (at := got.find(each)) >= 0), default=len(got))
    return Answered(status, got[:cut], got[cut:].decode(), record.reason, None, record.attempts)


def _words(document: bytes) -> str:
    error = json.loads(document)["error"]
    return str(error["message"] if isinstance(error, dict) else error)


# --- without it -------------------------------------------------------------------------------------------------------


@dataclass
class Watching:
    """A sink that writes down what it is told. It looks as often as the sweep does."""

    grace: float = 0.0
    every: float = 0.0
    begun: bool = False
    sent: int = 0
    told: list[tuple[int | None, float | None, bool, bool]] = field(default_factory=list)

    async def waits(self, wait: Wait) -> None:
        self.begun, self.sent = True, self.sent + 1
        self.told.append((wait.position, wait.estimate, wait.loading, wait.answering))


@dataclass
class Heard:
    """What a plain caller has heard so far."""

    said: bytes = b""
    refused: Refused | None = None
    use: Use | None = None


def caller(plane: Plane) -> Principal:
    """Who a client at 127.0.0.1 is, too."""
    keyring = Keyring()
    keyring.use(plane.settings[0].access)
    who = keyring.at("127.0.0.1", time.time(), tunnel=False).who
    assert who is not None
    return who


def question(plane: Plane, path: str, body: dict[str, Any], **more: Any) -> Question:
    """What a chat would ask: its body is its own, so nothing has to be judged."""
    match = find("POST", path)
    assert isinstance(match, Match)
    config = plane.settings[0]
    given: dict[str, Any] = {
        "replayable": match.route.replayable,
        "who": caller(plane),
        "model": body["model"],
        "runner": plane.names.known(body["model"]),
        "body": json.dumps(body).encode(),
        "dialect": match.route.dialect,
        "route": path,
        "bounds": Bounds(config),
        "rename": renamed,
        "ending": ending_of(match.route, body.get("stream")),
    }
    return Question(path, {b"content-type": b"application/json"}, b"python", **{**given, **more})


async def renamed(body: bytes, model: str) -> tuple[bytes, bytes] | Refused:
    """The body for another model."""
    return json.dumps({**json.loads(body), "model": model}).encode(), b""


async def listen(plane: Plane, asked: Question, heard: Heard, sink: Sink | None = None) -> Answered:
    """Ask, and write down what comes as it comes."""
    async with Asker(plane.shared, asked.who, f"python-{next(_numbers)}") as asker:
        run = asker.ask(asked, sink)
        async for piece in run:
            heard.said += piece
        status = 0 if asker.answer is None else asker.answer.status
    heard.refused, heard.use = asker.refused, asker.use
    refused = asker.refused
    if refused is None:
        return Answered(status, heard.said, "", "", None, asker.attempts)
    begun = bool(heard.said)
    return Answered(
        200 if begun else refused.status,
        heard.said,
        refused.text,
        refused.reason.value,
        None if begun else refused.retry_after,
        asker.attempts,
    )


async def by_python(plane: Plane, path: str, body: dict[str, Any]) -> Answered:
    """`async for piece in run`, and nothing between."""
    return await listen(plane, question(plane, path, body), Heard(), Watching(grace=inf))
