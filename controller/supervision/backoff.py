"""The wait before the next start, and the breaker that makes it long. Plain arithmetic on monotonic seconds.

The rules are systemd's and OTP's with their known holes closed: only *proven* readiness is forgiven, a breaker that
opens never gives up, and every pause is jittered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Pace:
    """Every constant of supervision that is not configuration, in seconds unless it says otherwise."""

    first: float = 0.25  # the n-th failure in a row waits first * 2**n …
    longest: float = 30.0  # … but never longer than this
    jitter: float = 0.25  # share by which a pause is drawn shorter or longer
    proven: float = 60.0  # ready for so long: what was before is forgiven
    start_window: float = 120.0
    crash_window: float = 1800.0
    degraded_first: float = 60.0  # pause once the breaker is open, doubling …
    degraded_longest: float = 300.0  # … up to this
    look_every: float = 1.0  # a missing program is looked for this often: one stat
    conflict_every: float = 2.0  # a taken port is looked at this often
    outside_window: float = 60.0  # two stops from outside within this are somebody's doing
    outside_first: float = 10.0  # pause after that, doubling …
    outside_longest: float = 300.0  # … up to this
    offline_first: float = 5.0  # retry while the network is away, doubling …
    offline_longest: float = 60.0  # … up to this
    gpu_first: float = 15.0  # one that found no GPU is started anew after this, doubling …
    gpu_longest: float = 900.0  # … up to this
    settle: float = 10.0  # time to connect after a start before it is called offline
    outage: float = 300.0  # alive but not connected for so long, with the network up: start it afresh …
    outage_gap: float = 900.0  # … but not again before this
    network_every: float = 60.0  # how often the network is asked about meanwhile
    start_probe_fast: float = 0.025  # cadence of probes after a start …
    start_probe_slow: float = 1.0  # … slowing down to this …
    start_probe_phase: float = 2.0  # … after so long
    gap: float = 30.0  # a loop that is woken later than this was asleep with its machine
    glance_every: float = 1.0  # how often a process is looked at: stopped by a signal?
    memory_every: float = 2.0  # how often the memory of its tree is added up
    failed_starts: int = 5  # within start_window: the breaker opens
    crashes: int = 10  # within crash_window: likewise

    def scaled(self, factor: float) -> Pace:
        """The same rules in a faster or slower time: counts, the jitter's share and what a sleep is stay."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        kept = {name for name, value in values.items() if isinstance(value, int)} | {"jitter", "gap"}
        scaled: dict[str, Any] = {name: value * factor for name, value in values.items() if name not in kept}
        return replace(self, **scaled)


@dataclass(frozen=True, slots=True)
class Delay:
    """How long to wait, and whether that is because the breaker is open."""

    seconds: float
    degraded: bool = False


@dataclass(slots=True)
class Backoff:
    """What one child's failures add up to."""

    pace: Pace = field(default_factory=Pace)
    failures: int = 0  # in a row, since readiness was last proven
    tries: int = 0  # pauses with the breaker open, likewise
    starts: deque[float] = field(default_factory=deque)  # moments of failed starts
    crashes: deque[float] = field(default_factory=deque)  # moments of any failure

    def failed(self, now: float, *, was_ready: bool, luck: float) -> Delay:
        """It failed now; `luck` in 0…1 draws the jitter. The first failure of one that was ready costs no wait."""
        self.failures += 1
        self.crashes.append(now)
        if not was_ready:
            self.starts.append(now)
        if self._breaks(now):
            self.tries += 1
            seconds = min(self.pace.degraded_longest, self.pace.degraded_first * 2 ** min(self.tries - 1, 16))
            return Delay(self._jittered(seconds, luck), degraded=True)
        if was_ready and self.failures == 1:
            return Delay(0.0)
        return Delay(self._jittered(min(self.pace.longest, self.pace.first * 2 ** min(self.failures, 16)), luck))

    def prove(self) -> None:
        """It has been ready for `pace.proven`. The windows slide on: a crash every three minutes still adds up."""
        self.failures = self.tries = 0

    def forgive(self) -> None:
        """A person asked for a start: everything is forgotten."""
        self.prove()
        self.starts.clear()
        self.crashes.clear()

    def _breaks(self, now: float) -> bool:
        recent_starts = _recent(self.starts, now - self.pace.start_window)
        recent_crashes = _recent(self.crashes, now - self.pace.crash_window)
        # An open breaker stays open until readiness is proven: its own long pauses would empty the windows.
        return self.tries > 0 or recent_starts >= self.pace.failed_starts or recent_crashes >= self.pace.crashes

    def _jittered(self, seconds: float, luck: float) -> float:
        return seconds * (1 + self.pace.jitter * (2 * luck - 1))


@dataclass(slots=True)
class Doubling:
    """Pauses that grow: `first`, then twice the one before, up to `longest`."""

    first: float
    longest: float
    _next: float = field(default=0.0, init=False)

    def next(self) -> float:
        """The pause to make now."""
        pause = self._next or self.first
        self._next = min(self.longest, pause * 2)
        return pause

    def reset(self) -> None:
        """Begin again with the first."""
        self._next = 0.0


def _recent(moments: deque[float], since: float) -> int:
    while moments and moments[0] <= since:
        moments.popleft()
    return len(moments)
