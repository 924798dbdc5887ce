"""One question to a child over HTTP, with a limit on all of it."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.errors import Unreachable

if TYPE_CHECKING:
    import httpx

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
LONGEST_ANSWER = 256 * 1024  # bytes of an answer that are looked at


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: an HTTP status, and the body's beginning."""

    status: int
    body: bytes

    def facts(self) -> Mapping[str, object]:
        """The JSON object in the body; empty when there is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


async def ask(url: str, limit: float) -> Reply:
    """GET `url`, whatever proxies the environment names. Raises Unreachable, after `limit` seconds at most; and OSError
    when it is we who have no socket to ask with.

    A connection of its own, since one kept from before would answer for a process that may be gone.
    """
    import httpx  # here: it takes a tenth of a second, and nobody waits for the first probe as they do for the listener

    try:
        async with (
            asyncio.timeout(limit),
            httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client,  # noqa: S113, S501  # nosec  # http only
            client.stream("GET", url) as answer,
        ):
            return Reply(answer.status_code, await _beginning(answer))
    except TimeoutError:
        raise Unreachable(f"no answer from {url} within {limit:g} s") from None
    except httpx.ConnectError as problem:
        _raise_shortage(problem)
        raise Unreachable(f"nothing listens at {url}") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as problem:
        _raise_shortage(problem)
        raise Unreachable(f"no answer from {url}: {problem or type(problem).__name__}") from problem


def _raise_shortage(problem: BaseException | None) -> None:
    """The OSError at the bottom of this, if it says that we ourselves are short of something."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in SHORTAGES:
            raise problem
        problem = problem.__cause__ or problem.__context__


async def _beginning(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) >= LONGEST_ANSWER:
            break
    return bytes(body)
