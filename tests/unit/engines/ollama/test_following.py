"""What Ollama lists, and what is made of it."""

from __future__ import annotations

from typing import Any, cast

from controller.engines.ollama.following import Following
from controller.engines.ollama.loading import Loading, Pace
from controller.errors import Unreachable
from controller.events import Journal
from controller.residency.rows import Rows
from controller.residency.seams import Names
from controller.residency.swap import Swaps
from tests.fakes.clock import WoundClock
from tests.fakes.demand import FakeDemand, KeptInMemory
from tests.fakes.residents import runner
from tests.kit.residing import QUICK


class Listing:
    """An Ollama that lists one model, under another name than we loaded it by, and then answers nothing more."""

    async def ps(self, limit: float = 0.0) -> list[dict[str, Any]]:
        return [{"name": "another:latest", "size": 1}]

    def known(self, model: str) -> None:
        return None

    async def look_up(self, model: str) -> None:
        raise Unreachable("Ollama did not answer.")


async def test_a_model_is_not_given_up_because_nobody_can_say_just_now_whose_name_is_listed() -> None:
    a, clock, ollama = runner("a"), WoundClock(), Listing()
    rows, journal = Rows(), Journal(clock)
    rows.found(a, (), 1, 0, 1, 0.0)
    nothing = cast(Loading, None)
    swaps = Swaps(rows, cast(Any, None), nothing, FakeDemand(), cast(Any, None), KeptInMemory(), clock, journal, QUICK)
    following = Following(rows, cast(Any, ollama), cast(Names, ollama), nothing, swaps, clock, journal, Pace())
    assert await following.compare(lambda: True) == []
    assert list(rows.table) == ["a"]
