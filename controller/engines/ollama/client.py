"""Ollama as the controller itself talks to it: a few questions with limits, and the processes that hold its models.

What clients ask goes another way (`proxy/`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psutil

from controller.engines.engine import SlotStates
from controller.engines.ollama.failures import brief, words_of
from controller.engines.ollama.inside import NEWEST, Held, Inside, RunnerKind, file_in_place, held_by
from controller.engines.ollama.slots import slots_in, together
from controller.errors import Declined, Unreachable
from controller.supervision.grandchildren import argv
from controller.supervision.ports import HERE
from controller.supervision.probe import ask
from controller.supervision.tree import members

QUESTION_LIMIT = 10.0  # seconds; /api/ps waits while a model loads (Ollama ≥ 0.30): late means busy, not dead
UNLOAD_LIMIT = 30.0
CREATE_LIMIT = 60.0  # from a model that is there it takes some milliseconds
SLOTS_LIMIT = 0.5  # seconds; it answers between two batches


class OllamaClient:
    """Asks the Ollama that `url` gives at that moment, which is as `inside` says. Everything raises Unreachable when it
    does not answer in time or is not there (`url` gives None); and Declined, which is one of those, when it answers
    with an error.
    """

    def __init__(self, url: Callable[[], str | None], inside: Callable[[], Inside] = lambda: NEWEST) -> None:
        self._url = url
        self._inside = inside

    @property
    def inside(self) -> Inside:
        """What is known of the Ollama that is asked."""
        return self._inside()

    async def tags(self) -> list[dict[str, Any]]:
        """The models on disk."""
        return _models(await self._ask("GET", "/api/tags"), "/api/tags")

    async def ps(self, limit: float = QUESTION_LIMIT) -> list[dict[str, Any]]:
        """The models in memory. One that is loading is not among them."""
        return _models(await self._ask("GET", "/api/ps", limit=limit), "/api/ps")

    async def show(self, model: str) -> dict[str, Any]:
        """What Ollama knows of a model."""
        return await self._ask("POST", "/api/show", {"model": model})

    async def create(self, model: str, base: str, **further: object) -> None:
        """Make a model from another one, named exactly as it is stored, which has to be there: Ollama would fetch one
        that is not from the internet. `further`: parameters, system, license …
        """
        content = {"model": model, "from": base, "stream": False, **further}
        await self._ask("POST", "/api/create", content, limit=CREATE_LIMIT)

    async def delete(self, model: str) -> None:
        """Forget a name, and what only that name needs."""
        await self._ask("DELETE", "/api/delete", {"model": model})

    async def load(self, model: str, *, embeds: bool, keep_alive: float | None = None) -> None:
        """Return when it is loaded. Whoever stops waiting takes the load back: Ollama ties it to the connection.

        `keep_alive` in seconds, below 0 for ever; None: as Ollama was started. There is no limit but the caller's.
        """
        content: dict[str, Any] = {"model": model, "input": ""} if embeds else {"model": model}
        if keep_alive is not None:
            content["keep_alive"] = keep_alive
        await self._ask("POST", "/api/embed" if embeds else "/api/generate", content, limit=None)

    async def probe(self, model: str, *, embeds: bool) -> None:
        """Return when a loaded model has brought one token, or one embedding: it really works. No limit either."""
        if embeds:
            await self._ask("POST", "/api/embed", {"model": model, "input": "a"}, limit=None)
            return
        content = {"model": model, "prompt": "a", "raw": True, "stream": False, "options": {"num_predict": 1}}
        await self._ask("POST", "/api/generate", content, limit=None)

    async def unload(self, model: str, limit: float = UNLOAD_LIMIT) -> None:
        """Let a model go as soon as nobody uses it; its runner ends a little later."""
        await self._ask("POST", "/api/generate", {"model": model, "keep_alive": 0}, limit=limit)

    async def _ask(
        self, method: str, path: str, content: dict[str, Any] | None = None, *, limit: float | None = QUESTION_LIMIT
    ) -> dict[str, Any]:
        url = self._url()
        if url is None:
            raise Unreachable("Ollama does not run.")
        import httpx  # here, as in `supervision/probe.py`: a start does not wait for it

        try:
            plain = httpx.AsyncClient(timeout=None, trust_env=False, verify=False)  # noqa: S113, S501  # nosec  # http only
            async with asyncio.timeout(limit), plain as client:
                answer = await client.request(method, f"{url}{path}", json=content)
            if not answer.is_success:
                raise _declined(path, answer.status_code, answer.content, self.inside)
            return dict(answer.json()) if answer.content else {}
        except TimeoutError:
            raise Unreachable(f"Ollama did not answer {path} within {limit:g} s.") from None
        except (httpx.HTTPError, OSError, ValueError, TypeError) as problem:
            raise Unreachable(f"Ollama did not answer {path}: {problem or type(problem).__name__}.") from problem


def _models(answer: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """The rows that have a name. Raises Unreachable for an answer without any list: that is no Ollama."""
    listed = answer.get("models", ())
    if not isinstance(listed, list | None):
        raise Unreachable(f"What answers {path} is no Ollama.")
    return [each for each in listed or () if isinstance(each, dict) and each.get("name")]


def _declined(path: str, status: int, content: bytes, inside: Inside) -> Declined:
    words = words_of(content)
    told = f" ({brief(words, inside)})" if words else ""
    return Declined(f"Ollama answered {path} with {status}{told}.", status, words)


class Runners:
    """The processes below our `ollama serve` that hold models; `pid` gives the server's, None while there is none."""

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid

    @property
    def ours(self) -> bool:
        """Whether there is a server of ours whose processes can be seen; an external one's cannot."""
        return self._pid() is not None

    async def holding(self, *models: str) -> list[psutil.Process]:
        """Those started with one of these: file names of weights or, of models that have no one file, names."""
        server = self._pid()
        return [] if server is None else await asyncio.to_thread(_holding, server, set(models))

    async def all(self) -> list[psutil.Process]:
        """Those that hold any model."""
        server = self._pid()
        return [] if server is None else await asyncio.to_thread(_holding, server, None)

    async def slots(self, runners: Sequence[psutil.Process]) -> SlotStates | None:
        """What these say of their slots, together. None: they do not say, as all but llama-server.

        Raises OSError when we have no socket left to ask with.
        """
        return await _slots(runners)


def holders(server: int) -> list[tuple[psutil.Process, Held]]:
    """The processes below an `ollama serve` that hold a model, and which. Raises OSError when they cannot be seen: that
    there are none would mean that all has been unloaded.
    """
    below = (_process(pid) for pid in sorted(members(server)) if pid != server)
    return [(each, held) for each in below if each is not None and (held := held_by(argv(each))) is not None]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:  # gone since it was listed
        return None


def _holding(server: int, wanted: set[str] | None) -> list[psutil.Process]:
    """Those below `server` that hold one of `wanted`; None: whatever they hold."""
    return [each for each, held in holders(server) if wanted is None or held.model in wanted]


async def _slots(runners: Sequence[psutil.Process]) -> SlotStates | None:
    held = [held_by(each) for each in await asyncio.to_thread(lambda: [argv(each) for each in runners])]
    ports = [each.port for each in held if each is not None and each.kind is RunnerKind.LLAMA_SERVER and each.port]
    if len(ports) < len(runners):
        return None
    return together(await asyncio.gather(*map(_slots_at, ports)))


async def _slots_at(port: int) -> SlotStates | None:
    try:
        reply = await ask(f"http://{HERE}:{port}/slots", SLOTS_LIMIT)
    except Unreachable:
        return None
    return slots_in(reply.body) if reply.status == 200 else None


def mapped(runners: Sequence[psutil.Process]) -> int:
    """Bytes of the files that these use in place, without a copy of their own."""
    total = 0
    for runner in runners:
        path = file_in_place(argv(runner))
        with suppress(OSError):
            total += 0 if path is None else os.stat(path).st_size
    return total
