"""Gauges that tests drive: one by hand, one by a file that a whole controller reads again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.engines.engine import Accelerator
from controller.plain import GIB
from controller.residency.memory import Reading
from controller.residency.resident import Pressure, Taken


@dataclass(slots=True)
class FakeGauge:
    """Implements `gauge.Gauge`: says what stands in it. A fresh one is a 64 GB Mac with nothing on it."""

    total: int = 64 * GIB
    available: int = 64 * GIB
    limit: int | None = 48 * GIB
    others_there: int = 0
    unified: bool = True
    pressure: Pressure = 1
    footprints: dict[int, int] = field(default_factory=dict)  # only those asked for are told
    elsewhere: int = 0
    notes: tuple[str, ...] = ()
    accelerator: Accelerator | None = None  # what it was told; changes nothing
    readings: int = 0  # how often it was read

    def read(self, ours: Mapping[int, Taken]) -> Reading:
        """What stands in it now."""
        self.readings += 1
        return Reading(
            total=self.total,
            available=self.available,
            limit=self.limit,
            others_there=self.others_there,
            unified=self.unified,
            pressure=self.pressure,
            footprints={pid: self.footprints[pid] for pid in ours if pid in self.footprints},
            elsewhere=self.elsewhere,
            at=time.monotonic(),
            notes=self.notes,
        )

    async def refresh(self) -> None:
        """Nothing is slow here."""


class FileGauge:
    """Implements `gauge.Gauge`: says what stands in a JSON file, read again each time. `write_gauge` writes it.

    Keys are those of `FakeGauge`; what is missing is as there. While there is no file, everything is.
    """

    def __init__(self, path: Path) -> None:
        self.accelerator: Accelerator | None = None
        self._path = path

    def read(self, ours: Mapping[int, Taken]) -> Reading:
        """What stands in the file now."""
        told = json.loads(self._path.read_text()) if self._path.exists() else {}
        footprints = {int(pid): held for pid, held in told.pop("footprints", {}).items()}
        return FakeGauge(**told, footprints=footprints).read(ours)

    async def refresh(self) -> None:
        """Nothing is slow here."""


def write_gauge(path: Path, **figures: Any) -> None:
    """Let every `FileGauge` of this path say these figures from now on. Never seen half-written."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(figures))
    new.replace(path)
