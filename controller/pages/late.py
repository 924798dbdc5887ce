"""Pages that are made once the controller listens: what they import takes a good part of the start, and no request of
the data plane has to wait for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from controller.desk import Desk
from controller.pages.view import Installed, Traffic

if TYPE_CHECKING:
    from controller.pages.app import Pages


class LatePages:
    """All pages, as for `Pages`; made in a thread by `warm`, or by the first request."""

    def __init__(
        self,
        desk: Desk,
        *,
        traffic: Callable[[], Traffic],
        models: Callable[[], Awaitable[Sequence[Installed] | None]],
        metrics: Callable[[], Callable[[], tuple[bytes, str]]],
    ) -> None:
        """As for `Pages`, but `metrics` makes what gives the text of `/metrics`."""
        self._desk, self._traffic, self._models, self._metrics = desk, traffic, models, metrics
        self._making = asyncio.Lock()
        self._pages: Pages | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pages = self._pages or await self.warm()
        await pages.asgi(scope, receive, send)

    async def warm(self) -> Pages:
        """Make them now, if they are not made yet."""
        async with self._making:
            if self._pages is None:
                self._pages = await asyncio.to_thread(self._make)
            return self._pages

    def _make(self) -> Pages:
        from controller.pages.app import Pages

        return Pages(self._desk, traffic=self._traffic, models=self._models, metrics=self._metrics())
