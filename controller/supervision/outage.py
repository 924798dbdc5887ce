"""A child that lives and is not connected: how long it is left alone. Plain arithmetic on monotonic seconds.

A program that reconnects by itself is slower for being restarted: only a long outage with the network demonstrably up
earns it a fresh start, and then not another one soon (HA's watchdog gave a tunnel up for good over its owner's ISP).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.supervision.backoff import Pace


@dataclass(slots=True)
class Outage:
    """The outage of one child, if there is one."""

    pace: Pace
    under_way: bool = False
    _ask_at: float = field(default=0.0, init=False)  # when to ask about the network
    _asking: bool = field(default=False, init=False)
    _restarted: float | None = field(default=None, init=False)  # when it last led to a fresh start

    def goes_on(self, now: float) -> bool:
        """It is not connected now. True when the network has to be asked about, once."""
        if not self.under_way:
            self.under_way, self._ask_at = True, now + self.pace.outage
        may_restart = self._restarted is None or now - self._restarted >= self.pace.outage_gap
        if self._asking or now < self._ask_at or not may_restart:
            return False
        self._asking = True
        return True

    def network_is(self, up: bool, now: float) -> bool:
        """The answer. True when the child deserves a fresh start."""
        self._asking = False
        if not self.under_way:
            return False
        if not up:
            self._ask_at = now + self.pace.network_every
            return False
        self._restarted = now
        return True

    def over(self) -> None:
        """It is connected, or another process now."""
        self.under_way = self._asking = False

    def slept(self, now: float) -> None:
        """Nobody saw what happened until now: its time begins anew."""
        if self.under_way:
            self._ask_at = now + self.pace.outage

    def forgive(self) -> None:
        """A person asked for a start: the next fresh start need not keep its distance from the last."""
        self._restarted = None
