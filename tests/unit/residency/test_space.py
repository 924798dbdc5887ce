from __future__ import annotations

import errno
from collections.abc import Sequence

from controller.config.schema import Config
from controller.events import Journal
from controller.residency.memory import Reading
from controller.residency.space import MachineSpace
from tests.fakes.clock import WoundClock
from tests.fakes.gauge import FakeGauge


class Blinking(FakeGauge):
    """Reads nothing while its eyes are shut: the process has no descriptor left."""

    shut = True

    def read(self, pids: Sequence[int]) -> Reading:
        if self.shut:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().read(pids)


async def test_a_machine_that_cannot_be_read_for_a_moment_is_as_it_was_and_that_is_told_once() -> None:
    gauge, journal = Blinking(), Journal(WoundClock())
    space = MachineSpace(gauge, journal, Config)
    await space.look([])
    assert (space.reading, space.budget) == (None, None)
    gauge.shut = False
    await space.look([])
    seen, gauge.shut = space.budget, True
    for _ in range(3):
        await space.look([])
    assert seen is not None
    assert space.budget == seen
    [told] = journal.last(10)
    assert "The memory cannot be read" in told.text
