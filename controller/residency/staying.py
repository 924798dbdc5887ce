"""Who stays in memory, and how much of it: pins, idle models, and what has to go when memory is critical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.config.models import Models
from controller.config.schema import Config
from controller.engines.runner import Runner
from controller.plain import span_words
from controller.residency.resident import Cause, Presence, Swap
from controller.residency.seams import NameTable
from controller.residency.swap import SOURCE, Swapping, Work
from controller.residency.wishes import Wishes, differs, idle_too_long, some_leave_at_once, wishes
from controller.residency.works import Works


@dataclass(slots=True, eq=False)
class Staying:
    """Judges the rows of the table, and unloads who is not needed."""

    swaps: Swapping
    names: NameTable
    settings: Callable[[], Config]
    _seen: Models | None = None  # of which `_some` tells whether any leaves at once
    _some: bool = False
    _pins: dict[str, bool] = field(default_factory=dict)  # by name, as ordered: prevails over models.yaml
    _told: dict[str, float] = field(default_factory=dict)  # by runner: the `memory_gb` that was said to be wrong

    def wishes(self, runner: Runner) -> Wishes:
        """What models.yaml wants of it."""
        return wishes(self.settings().models, self._names(runner))

    def leaves_at_once(self, runner: Runner) -> bool:
        """Whether it is to go as soon as it is idle. Asked after most answers, so it costs next to nothing where no
        model is told to.
        """
        models = self.settings().models
        if self._seen is not models:
            self._seen, self._some = models, some_leave_at_once(models)
        return self._some and self.wishes(runner).keep_alive == 0

    def pin(self, runner: Runner, on: bool) -> None:
        """By order: it is never evicted, or may be again; nor is what its names mean after a reload."""
        self._pins |= dict.fromkeys(self._names(runner), on)

    def pinned(self, runner: Runner) -> bool:
        """Whether it stays whatever else is wanted. Not one whose name means another by now."""
        meant = self.names.known(runner.name)
        if meant is not None and meant != runner:
            return False
        ordered = [on for name in self._names(runner) if (on := self._pins.get(name)) is not None]
        return any(ordered) if ordered else self.wishes(runner).pin

    def comes_back(self, runner: Runner) -> bool:
        """Whether one that left for a load that failed has to be there again."""
        return self.pinned(runner) or self.swaps.demand.wanted(runner.key)

    def judge(self) -> None:
        """Bring the rows up to date with what is wanted, used and possible now."""
        now = self.swaps.clock.now()
        for row in self.swaps.rows.table.values():
            slots = self.swaps.space.slots(row.runner.slots)
            self.swaps.rows.judged(row.runner.key, pinned=self.pinned(row.runner), slots=slots)
            if self._in_use(row.runner.key):
                self.swaps.rows.used(row.runner.key, now)

    def tell_surprise(self, runner: Runner) -> None:
        """Say so, once, when what was seen is not what the owner states in models.yaml."""
        row, stated = self.swaps.rows.table.get(runner.key), self.wishes(runner).memory_gb
        if row is None or stated is None or self._told.get(runner.key) == stated:
            return
        if words := differs(stated, row.taken):
            self._told[runner.key] = stated
            self.swaps.journal.say(SOURCE, f"{runner.name}: {words}", level="warning")

    def idle(self, works: Works) -> None:
        """Unload one that nobody has used for as long as it may stay."""
        here = {row.runner.key: row for row in self.swaps.rows.here() if works.there(row.runner)}
        wanted = {key: self.wishes(row.runner) for key, row in here.items()}
        used = [key for key in here if self._in_use(key)]
        late = idle_too_long(here, wanted, used, self.swaps.clock.now())
        if late and not works.busy:
            span = wanted[late[0]].keep_alive
            why = f"nobody used it for {span_words(span)}" if span else "nobody uses it"
            self._unload(works, here[late[0]].runner, "idle", why)

    def make_way(self, works: Works) -> None:
        """Memory is critical: the least recently used one that nobody uses goes."""
        unused = [key for key in self.swaps.leavable() if not self.swaps.demand.busy(key)]
        free = [runner for key in unused if works.there(runner := self.swaps.rows.table[key].runner)]
        if free and not works.busy:
            self._unload(works, free[0], "pressure", "memory is critical")

    def nameless(self, works: Works, runner: Runner) -> None:
        """Its last name was deleted."""
        row = self.swaps.rows.table.get(runner.key)
        if row is not None and row.presence is Presence.RESIDENT:
            self._unload(works, runner, "deleted", "it has been deleted")

    def _names(self, runner: Runner) -> set[str]:
        return {runner.name, *self.names.names_of(runner.key)}

    def _unload(self, works: Works, runner: Runner, why: Cause, words: str) -> None:
        self.swaps.journal.say(SOURCE, f"Unloading {runner.name}: {words}.", why=why)
        works.add(Work(Swap(None, (runner.key,), why), held=True))

    def _in_use(self, key: str) -> bool:
        return bool(self.swaps.demand.busy(key)) or self.swaps.demand.wanted(key)
