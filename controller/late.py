"""Applications that are made once the controller listens: what they import takes a quarter of a second and more, and no
request of the data plane has to wait for that. If one cannot be made, the data plane goes on without it.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from controller.events import Journal

NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Made(Protocol):
    """What comes of it."""

    @property
    def asgi(self) -> ASGIApp: ...


MadeT = TypeVar("MadeT", bound=Made)


class Late(Generic[MadeT]):
    """One such application, made in a thread by `warm`, or by the first request.

    `what` is its name in the journal, where it is told once when it cannot be made.
    """

    def __init__(self, make: Callable[[], MadeT], journal: Journal, what: str) -> None:
        self._make, self._journal, self._what = make, journal, what
        self._making = asyncio.Lock()
        self._made: MadeT | None = None
        self._broken = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        made = self._made or await self.warm()
        if made is not None:
            return await made.asgi(scope, receive, send)
        from starlette.responses import PlainTextResponse

        words = f"Not to be had: {self._what}. The log says why: seadragon logs\n"
        await PlainTextResponse(words, 500)(scope, receive, send)

    async def warm(self) -> MadeT | None:
        """Make it now, if it is not made yet. None when it cannot be made, which the journal tells once."""
        async with self._making:
            if self._made is None and not self._broken:
                try:
                    self._made = await asyncio.to_thread(self._make)
                except Exception as error:  # a template somebody edited, say: answers matter more than pages
                    if getattr(error, "errno", None) in NO_DESCRIPTORS:
                        return None  # there will be some again
                    self._broken = True
                    words = f"Not to be had: {self._what}. {error!r}. When it is put right: seadragon restart"
                    self._journal.say("controller", words, level="error")
            return self._made
