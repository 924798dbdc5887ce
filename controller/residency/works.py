"""One swap at a time: a queue for the line, orders and everything else that loads or unloads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from controller.engines.runner import Runner
from controller.plain import fault_words
from controller.residency.resident import Presence, Swap
from controller.residency.swap import SOURCE, Ending, Swapping, Work, as_seen, freed_by
from controller.scheduling.ticket import End


@dataclass(slots=True, eq=False)
class Works:
    """`tasks` is None until the residents run. `on_failed` hears for whom nobody has to wait any longer, `on_swap` of
    every swap that begins.
    """

    swaps: Swapping
    comes_back: Callable[[Runner], bool]  # after a failed load: whether one that left for it has to
    after: Callable[[Runner | None], None]  # a swap is over, and this was loaded: before anybody else hears of it
    on_failed: list[Callable[[str, End, str], None]] = field(default_factory=list)
    on_swap: list[Callable[[Swap], None]] = field(default_factory=list)
    tasks: asyncio.TaskGroup | None = None
    open: set[str] = field(default_factory=set)  # engines that are there, and of which it is known what they hold
    done: int = 0  # swaps so far: grows with each
    _task: asyncio.Task[None] | None = None
    _work: Work | None = None
    _queue: deque[Work] = field(default_factory=deque)

    @property
    def busy(self) -> bool:
        """Whether a swap is under way or has to be done first, or none can be."""
        return self._task is not None or self._first() is not None or not self.open or self.tasks is None

    def add(self, work: Work, *, first: bool = False) -> None:
        """Do this after what is under way; `first`: before all that waits, and nothing more goes to who leaves."""
        if self._joined(work):
            return
        if first:
            self._queue.appendleft(work)
            self._begin(work.swap.evict, None)
        else:
            self._queue.append(work)
        self.next()

    def there(self, runner: Runner) -> bool:
        """Whether its engine is there, and it is known what that holds."""
        return runner.engine in self.open

    def next(self) -> None:
        """Begin what waits, if it may. Its rows are marked when this returns."""
        work = self._first()
        if self._task is not None or work is None or self.tasks is None:
            return
        self._queue.remove(work)
        self._work, runner = work, work.swap.runner
        self._task = self.tasks.create_task(self._carry(work), name="swap")
        if self._aside(runner) is None:
            self._begin(work.swap.evict, runner)

    def _first(self) -> Work | None:
        """The first that waits, of those whose engines are all there."""
        return next((each for each in self._queue if self.swaps.concerned(each) <= self.open), None)

    def forget(self, engine: str) -> None:
        """It has gone: whatever it was to load or unload is given up."""
        works = [each for each in self._queue if engine in self.swaps.concerned(each)]
        for work in works:
            self._queue.remove(work)
        if self._work is not None and engine in self.swaps.concerned(self._work):
            works.insert(0, self._work)
            if self._task is not None:
                self._task.cancel()  # which may not even have begun: then it ends nothing itself
            self._undo(self._work)
            self._task = self._work = None
        for work in works:
            work.end(self._went(engine))

    def _went(self, engine: str) -> Ending:
        return Ending(words=f"{self.swaps.engines[engine].readiness.title} went away.")

    def _begin(self, evict: Sequence[str], runner: Runner | None) -> None:
        need = self.swaps.planner.need(runner) if runner is not None else 0
        self.swaps.rows.begin(evict, runner, need, self.swaps.clock.now())

    def _joined(self, work: Work) -> bool:
        """Two who want the same thing loaded share one load."""
        runner = work.swap.runner
        if runner is None or work.swap.evict:
            return False
        for other in (*self._queue, *([self._work] if self._work else [])):
            if other.swap.runner == runner:
                other.join(work)
                return True
        return False

    async def _carry(self, work: Work) -> None:
        ending = Ending(words="It was broken off.")
        try:
            ending = await self._ending(work)
        except OSError as problem:  # no descriptors are left, most likely: nothing can be seen, so nothing be sure
            ending = self._blind(work, problem)
        finally:
            mine = self._task is asyncio.current_task()
            if mine:
                self._task = self._work = None
                self.done += 1
            work.end(ending)
        if mine:
            self._settle(work, ending)

    async def _ending(self, work: Work) -> Ending:
        runner = work.swap.runner
        if runner is not None and (until := self._aside(runner)) is not None:
            return Ending(failed=End.QUARANTINED, words=self.swaps.aside_words(runner, until))
        if runner is not None and self._is_here(runner) and runner.key not in work.swap.evict:
            if not work.swap.evict:
                return Ending(loaded=True)  # somebody else was faster
            work.swap = replace(work.swap, runner=None)
        for told in list(self.on_swap):
            told(work.swap)
        return await self.swaps.carry(work)

    def _undo(self, work: Work) -> None:
        """Nobody leaves for it, and what it was to load does not come."""
        runner = work.swap.runner
        others = {key for each in self._queue for key in each.swap.evict}
        self.swaps.rows.stays([key for key in self.swaps.rows.table if key not in others])
        if runner is not None and not self._is_here(runner):
            self.swaps.rows.drop(runner.key)

    def _blind(self, work: Work, problem: OSError) -> Ending:
        self._undo(work)
        words = f"Nothing can be loaded or unloaded now: {fault_words(problem)}."
        self.swaps.journal.say(SOURCE, words, level="error")
        return Ending(failed=End.LOAD_FAILED, words=words)

    def _settle(self, work: Work, ending: Ending) -> None:
        """What it meant for others, and what comes next: all before the line hears that it may decide again."""
        runner = work.swap.runner
        if runner is not None and not ending.loaded:
            for row in reversed(ending.left):
                left = as_seen(row)
                if left.key != runner.key and (self.comes_back(left) or _undone(work, ending)):
                    self._queue.appendleft(Work(Swap(left, (), "return"), held=True, freed=freed_by((row,), left)))
        if runner is not None and ending.failed is not None:
            for told in list(self.on_failed):
                told(runner.key, ending.failed, ending.words)
        self.after(runner if ending.loaded else None)
        self.next()
        self.swaps.rows.tell()

    def _aside(self, runner: Runner | None) -> float | None:
        now = self.swaps.clock.now()
        return None if runner is None else self.swaps.quarantine.until(runner.key, now)

    def _is_here(self, runner: Runner) -> bool:
        row = self.swaps.rows.table.get(runner.key)
        return row is not None and row.presence is Presence.RESIDENT


def _undone(work: Work, ending: Ending) -> bool:
    """An order that failed leaves everything as it was."""
    return work.swap.why == "order" and ending.failed is not None
