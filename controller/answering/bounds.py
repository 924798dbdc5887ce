"""How much and how long: what the configuration allows a run, worked out once for each reload."""

from __future__ import annotations

from functools import lru_cache

from controller.answering.times import Times
from controller.auth.access import Principal
from controller.config.schema import Config
from controller.scheduling.ticket import Caps


class Bounds:
    """Those of one configuration."""

    __slots__ = ("_line", "hold", "times", "unread")

    def __init__(self, config: Config) -> None:
        self._line = config.server.line
        self.hold = config.server.hold  # seconds to wait for upstream, each time
        self.unread = config.server.limits.unread  # bytes of an answer that whoever asked may leave unread
        self.times = Times(config)

    def caps(self, who: Principal) -> Caps:
        """How much a principal may have in the line."""
        line = self._line
        return _caps(who.running or line.running, who.waiting or line.waiting, line.bytes)


_caps = lru_cache(64)(Caps)  # the same few for every question
