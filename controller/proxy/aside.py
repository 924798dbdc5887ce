"""What takes longer than a moment is done aside, in one thread, while the loop goes on with everybody else.

One at a time: two would fight over the interpreter with each other and with the loop. Whatever is done here must let
go of the interpreter now and then, as Python does between two steps, and no step may be a long one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from controller.proxy.room import SMALL

T = TypeVar("T")


class Aside:
    """The thread. It begins with the first that needs it, and ends with the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "aside")

    async def do(self, size: int, work: Callable[[], T]) -> T:
        """What `work` gives: at once, when what it looks at has a `size` of few bytes. Raises what it raises."""
        if size <= SMALL:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Nothing more is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)
