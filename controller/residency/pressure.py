"""How short memory is, and what is done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from controller.residency.resident import Pressure

SHORT, VERY_SHORT = 0.08, 0.04  # share of all memory that is still available (Linux)
STALLED, VERY_STALLED = 10.0, 40.0  # percent of the last ten seconds in which nobody got on (Linux PSI, full avg10)
SETTLED = 10.0  # seconds at a better level before it counts
UNLOAD_EVERY = 5.0  # seconds until one unload has shown its effect


def linux_pressure(available: int, total: int, stalled: float | None) -> Pressure:
    """The level that macOS's kernel would tell; `stalled` is PSI's full avg10 in percent, None where there is none."""
    share = available / total if total else 1.0
    if share < VERY_SHORT or (stalled or 0.0) > VERY_STALLED:
        return 4
    return 2 if share < SHORT or (stalled or 0.0) > STALLED else 1


@dataclass(frozen=True, slots=True)
class Action:
    """What may be done at a level of pressure."""

    level: Pressure
    may_load: bool  # something may be loaded
    may_swap: bool  # something may be loaded if more leaves for it: a Mac may call memory short for hours
    may_grant: bool  # something may be started on what is loaded
    share: float  # of each runner's slots that may be used; one always may
    unload: bool  # the least recently used one is to go now

    def slots(self, of: int) -> int:
        """Slots of a runner that may be used."""
        return max(1, int(of * self.share))


class Pressures:
    """Worse counts at once, better when it has lasted."""

    def __init__(self) -> None:
        self._level: Pressure = 1
        self._better: tuple[float, Pressure] | None = None  # since when, and the worst since then
        self._unload_at = float("-inf")

    def see(self, level: Pressure, now: float) -> Action:
        """Take in what the gauge says. Call it once a second or so."""
        self._settle(level, now)
        unload = level == 4 and now >= self._unload_at
        if unload:
            self._unload_at = now + UNLOAD_EVERY
        counts = self._level
        share = 1.0 if counts == 1 else 0.5
        able = counts < 4
        return Action(counts, may_load=counts == 1, may_swap=able, may_grant=able, share=share, unload=unload)

    def _settle(self, level: Pressure, now: float) -> None:
        if level >= self._level:
            self._level, self._better = level, None
            return
        since, worst = self._better or (now, level)
        worst = max(worst, level)
        if now - since < SETTLED:
            self._better = since, worst
        else:
            self._level = worst
            self._better = (now, level) if level < worst else None
