"""What an engine lists, and what is made of it."""

from __future__ import annotations

from typing import Any, cast

from controller.engines.engine import Engine, HeldModel
from controller.errors import Unreachable
from controller.events import Journal
from controller.residency.following import Following
from controller.residency.rows import Rows
from controller.residency.seams import NameTable
from controller.residency.swap import Swapping
from tests.fakes.clock import WoundClock
from tests.fakes.demand import FakeDemand, KeptInMemory
from tests.fakes.residents import runner
from tests.kit.residing import QUICK


class Listing:
    """An engine that lists one model, under another name than we loaded it by, and then answers nothing more."""

    name = "ollama"

    async def held(self, limit: float) -> list[HeldModel]:
        return [HeldModel("another:latest", 1)]

    def known(self, model: str) -> None:
        return None

    async def look_up(self, model: str) -> None:
        raise Unreachable("Ollama did not answer.")


async def test_a_model_is_not_given_up_because_nobody_can_say_just_now_whose_name_is_listed() -> None:
    a, clock, engine = runner("a"), WoundClock(), Listing()
    rows, journal, nothing = Rows(), Journal(clock), cast(Any, None)
    rows.found(a, (), 1, 0, 1, 0.0)
    swaps = Swapping(
        rows, nothing, nothing, FakeDemand(), nothing, KeptInMemory(), clock, journal, QUICK, lambda runner: 1.0
    )
    following = Following(cast(Engine, engine), rows, cast(NameTable, engine), swaps, clock, journal, QUICK)
    assert await following.compare(lambda: True) == []
    assert list(rows.table) == ["a"]
