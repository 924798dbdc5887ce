"""What runners need, and whether one fits beside what is in memory: asked by the line, by orders and by each swap."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from controller.engines.runner import Runner
from controller.residency.resident import Plan, Table, TooBig
from controller.residency.seams import Space

MORE = 1.25  # a runner that did not fit takes that much more than we thought, at least


class Planner:
    """Reads the table of what is in memory, and writes down only what turned out to need more than was thought. Bytes.

    Implements `scheduling/swaps.py: Planning`.
    """

    def __init__(self, table: Table, space: Space) -> None:
        self._table = table
        self._space = space
        self._raised: dict[str, int] = {}  # by runner key

    def need(self, runner: Runner) -> int:
        """What to promise it."""
        return max(runner.need, self._raised.get(runner.key, 0))

    def plan(self, target: Runner, candidates: Iterable[str], ordered: Collection[str] = (), freed: int = 0) -> Plan:
        """Whether it fits, and who of `candidates` (runner keys, best victim first) has to leave for it. What is pinned
        stays, unless it was `ordered` to leave. `freed`: of those that have left for it already.
        """
        table = {
            key: replace(row, pinned=row.pinned and key not in ordered)
            for key, row in self._table.items()
            if key != target.key
        }
        may_leave = [key for key in candidates if key in table and not table[key].pinned]
        return self._space.plan(replace(target, need=self.need(target)), table, may_leave, freed)

    def did_not_fit(self, runner: Runner) -> int:
        """Promise it more from now on, and say how much; but never more than there could be: memory may only have been
        short just now, and what can never fit is never tried again.
        """
        more = int(self.need(runner) * MORE)
        if not isinstance(self._space.plan(replace(runner, need=more), {}, ()), TooBig):
            self._raised[runner.key] = more
        return self.need(runner)

    def fitted(self, key: str) -> None:
        """It has been loaded: from now on what was seen of it counts."""
        self._raised.pop(key, None)
