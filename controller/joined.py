"""Questions that several may wait for: each is asked once, and given up when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Joined(Generic[T]):
    """By a name for each question."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Task[T]] = {}
        self._waiting: Counter[str] = Counter()

    async def ask(self, name: str, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to `question`, or to the same one that is under way. Raises what it raises."""
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = asyncio.create_task(question())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it
        self._waiting[name] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name] or task.done():
                self._forget(name, task)

    def _forget(self, name: str, task: asyncio.Task[T]) -> None:
        if self._asked.get(name) is task:
            del self._asked[name]
        if not self._waiting[name]:
            del self._waiting[name]
            task.cancel()
