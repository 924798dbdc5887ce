from __future__ import annotations

import errno
from collections.abc import Mapping

from controller.config.schema import Config
from controller.engines.ollama.settings import OLLAMA
from controller.engines.runner import ModelFacts, Runner
from controller.events import Journal
from controller.plain import GIB
from controller.residency.memory import Budget, Reading
from controller.residency.resident import Fits, NoRoom, Presence, Resident, Taken, TooBig
from controller.residency.space import MachineSpace
from tests.fakes.clock import WoundClock
from tests.fakes.gauge import FakeGauge
from tests.kit.engines import an_ollama


class Blinking(FakeGauge):
    """Reads nothing while its eyes are shut: the process has no descriptor left."""

    shut = True

    def read(self, ours: Mapping[int, Taken]) -> Reading:
        if self.shut:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().read(ours)


async def test_a_machine_that_cannot_be_read_for_a_moment_is_as_it_was_and_that_is_told_once() -> None:
    gauge, journal = Blinking(), Journal(WoundClock())
    space = MachineSpace(gauge, {OLLAMA: an_ollama()}, journal, Config)
    await space.look({})
    assert (space.reading, space.budget) == (None, None)
    gauge.shut = False
    await space.look({})
    seen, gauge.shut = space.budget, True
    for _ in range(3):
        await space.look({})
    assert seen is not None
    assert space.budget == seen
    [told] = journal.last(10)
    assert "The memory cannot be read" in told.text


async def test_the_memory_of_an_ollama_on_another_machine_is_not_this_ones() -> None:
    gauge = FakeGauge(total=GIB, available=GIB // 8, limit=None, pressure=4)
    wish = {"ollama": {"mode": "external", "url": "http://192.168.1.5:11434"}}
    config = [Config.model_validate({"server": wish})]
    space = MachineSpace(
        gauge, {OLLAMA: an_ollama(settings=lambda: config[0])}, Journal(WoundClock()), lambda: config[0]
    )
    await space.look({})
    space.judge(0.0)
    big = Runner("big", "blob", "big", ModelFacts(40 * GIB), engine="ollama", need=40 * GIB)
    assert (space.budget, space.may_load, space.plan(big, {}, ())) == (None, True, Fits())
    config[0] = Config.model_validate({"server": {**wish, "memory": {"budget": "32GiB"}}})
    assert space.budget == Budget(32 * GIB)
    assert isinstance(space.plan(big, {}, ()), TooBig)


async def test_while_memory_is_short_only_what_frees_more_is_loaded_and_when_it_is_very_short_nothing() -> None:
    gauge = FakeGauge(pressure=2)
    space = MachineSpace(gauge, {OLLAMA: an_ollama()}, Journal(WoundClock()), Config)
    await space.look({})
    space.judge(0.0)
    assert (space.may_load, space.may_swap, space.may_grant) == (False, True, True)
    large, small = (
        Runner(key, key, key, ModelFacts(1), engine="ollama", need=need) for key, need in (("large", 20), ("small", 10))
    )
    table = {"large": Resident(large, Presence.RESIDENT, 0.0, 20, 1)}
    assert space.plan(small, table, ["large"]) == Fits(("large",))
    assert space.plan(small, {}, [], freed=20) == Fits()
    assert isinstance(space.plan(small, {}, []), NoRoom)
    gauge.pressure = 4
    await space.look({})
    space.judge(1.0)
    assert (space.may_load, space.may_swap, space.may_grant) == (False, False, False)
