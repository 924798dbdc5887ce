"""What a Mac's `ioreg` tells of its GPU: the memory in use, how busy it is, and for whom it has worked. Pure.

One question brings all of it. On Apple silicon each process that uses the GPU is a client below the accelerator, with
the time that the GPU has worked for it (what Activity Monitor shows); Intel's drivers tell it of the client itself.
None of it is documented, so whatever is not there is None.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers.expat import ExpatError

IOREG: Final = ("/usr/sbin/ioreg", "-r", "-c", "IOAccelerator", "-d", "2", "-w", "0", "-a")
_CREATOR: Final = re.compile(r"pid (\d+), ")
_NANOSECOND: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Metal:
    """The GPU at one moment."""

    used: int | None = None  # bytes that everybody together has in use on it
    share: float | None = None  # percent of it that is busy, for whomever
    seconds: Mapping[int, float] = field(default_factory=dict)  # it has worked so far, by process id

    def worked(self, *pids: int) -> float | None:
        """Seconds it has worked for these processes; None when it does not tell of any of them."""
        told = [self.seconds[pid] for pid in pids if pid in self.seconds]
        return sum(told) if told else None


DOUBTED: Final = Metal(share=100.0)
"""What it is at could not be seen: then it works."""


def metal(plist: bytes) -> Metal:
    """Read what `IOREG` wrote."""
    try:
        found = plistlib.loads(plist)
    except (plistlib.InvalidFileException, ExpatError, ValueError):
        return Metal()
    devices = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    statistics = [told for each in devices if isinstance(told := each.get("PerformanceStatistics"), dict)]
    used = [figure for each in statistics if (figure := _number(each.get("In use system memory"))) is not None]
    shares = [figure for each in statistics if (figure := _number(each.get("Device Utilization %"))) is not None]
    seconds: dict[int, float] = {}
    for pid, worked in (each for device in devices for each in _clients(device)):
        seconds[pid] = seconds.get(pid, 0.0) + worked
    return Metal(int(sum(used)) if used else None, max(shares, default=None), seconds)


def _clients(device: dict[str, Any]) -> Iterator[tuple[int, float]]:
    """Each client's process, and the seconds it has had: a process may have several clients."""
    children = device.get("IORegistryEntryChildren")
    for client in children if isinstance(children, list) else ():
        creator = _CREATOR.match(str(client.get("IOUserClientCreator"))) if isinstance(client, dict) else None
        usages = client.get("AppUsage", [client]) if creator else None
        if creator and isinstance(usages, list):
            times = [_number(each.get("accumulatedGPUTime")) for each in usages if isinstance(each, dict)]
            known = [each for each in times if each is not None]
            if known:
                yield int(creator[1]), sum(known) * _NANOSECOND


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
