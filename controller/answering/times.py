"""How long the parts of a request may take: the general times, those of its lane, those of its model. The last word is
the model's.
"""

from __future__ import annotations

from controller.config.schema import Config
from controller.config.waiting import SomeWaits, Waits
from controller.spelling import full_name

_REMEMBERED = 1024


class Times:
    """The times of one configuration."""

    def __init__(self, config: Config) -> None:
        line = config.server.line
        self._general = line.times
        self._lanes = {float(name): times for name, times in line.lanes.items()}
        self._models = {full_name(name): model.times for name, model in config.models.models.items()}
        self._known: dict[tuple[float, str], Waits] = {}

    def of(self, lane: float, model: str) -> Waits:
        """Those of a request, all in seconds."""
        key = (lane, model)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._look(lane, full_name(model) or model)
        return found

    def _look(self, lane: float, model: str) -> Waits:
        told = self._general.model_dump()
        for more in (self._lanes.get(lane), self._models.get(model)):
            told |= _set(more)
        return Waits(**told)


def _set(times: SomeWaits | None) -> dict[str, float]:
    return {} if times is None else {name: value for name, value in times.model_dump().items() if value is not None}
