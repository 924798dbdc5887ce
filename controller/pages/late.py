"""Pages that are made once the controller listens: what they import takes a quarter of a second, and no request of the
data plane has to wait for that. If they cannot be made, the data plane goes on without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from starlette.types import Receive, Scope, Send

from controller.desk import Desk
from controller.pages.view import Installed, Traffic

if TYPE_CHECKING:
    from controller.pages.app import Pages

Scrape: TypeAlias = Callable[[], tuple[bytes, str]]
"""The text of `/metrics` and its content type."""

_BROKEN = "The pages cannot be shown. The log says why: seadragon logs\n"


class LatePages:
    """All pages, as for `Pages`; made in a thread by `warm`, or by the first request. `metrics` is made with them."""

    def __init__(
        self,
        desk: Desk,
        *,
        traffic: Callable[[], Traffic],
        models: Callable[[], Awaitable[Sequence[Installed] | None]],
        metrics: Callable[[], Scrape],
    ) -> None:
        self._desk, self._traffic, self._models, self._metrics = desk, traffic, models, metrics
        self._making = asyncio.Lock()
        self._pages: Pages | None = None
        self._broken = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pages = self._pages or await self.warm()
        if pages is not None:
            return await pages.asgi(scope, receive, send)
        from starlette.responses import PlainTextResponse

        await PlainTextResponse(_BROKEN, 500)(scope, receive, send)

    async def warm(self) -> Pages | None:
        """Make them now, if they are not made yet. None when they cannot be made, which the journal tells once."""
        async with self._making:
            if self._pages is None and not self._broken:
                try:
                    self._pages = await asyncio.to_thread(self._make)
                except Exception as error:  # a template somebody edited: answers matter more than pages
                    self._broken = True
                    words = f"The pages cannot be made: {error!r}. When it is put right: seadragon restart"
                    self._desk.journal.say("controller", words, level="error")
            return self._pages

    def _make(self) -> Pages:
        from controller.pages.app import Pages

        return Pages(self._desk, traffic=self._traffic, models=self._models, metrics=self._metrics())
