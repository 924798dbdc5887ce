"""The machine's memory, as it is read. What cannot be read is missing from the reading, never an error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Protocol

from controller.engines.engine import Accelerator
from controller.residency.gauge_linux import LinuxGauge
from controller.residency.gauge_mac import MacGauge
from controller.residency.memory import Reading
from controller.residency.resident import Taken


class Gauge(Protocol):
    """Reads memory."""

    accelerator: Accelerator | None
    """What an engine says it works with: to be set after each of its starts."""

    def read(self, ours: Mapping[int, Taken]) -> Reading:
        """Now, with the footprints of our processes that still run. Blocks for some milliseconds: call it in a thread.
        Which are ours, and what they hold, has to be told each time: a gauge remembers what the others had.
        """
        ...

    async def refresh(self) -> None:
        """Ask the slow tools again, if what they said is old. Before each reading; what they said last is in it."""
        ...


@cache
def ram_size() -> int:
    """Bytes of RAM that this machine has, or our control group may have of it."""
    return gauge_for_this_machine().read({}).total


def gauge_for_this_machine() -> Gauge:
    """macOS's, or Linux's for all else."""
    return MacGauge() if sys.platform == "darwin" else LinuxGauge()
