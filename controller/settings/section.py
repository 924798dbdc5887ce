"""What the YAML says of every engine alike."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from controller.settings.impact import AT_ONCE
from controller.settings.units import Seconds
from controller.settings.values import DAY, Branch


class EngineSection(Branch):
    """Of one engine: what it is called, and the patience with its process."""

    title: ClassVar[str]  # what people call it
    usual_port: ClassVar[int]  # where one that somebody else started usually listens

    @staticmethod
    @abstractmethod
    def fetching(model: str, url: str | None = None) -> str:
        """The command that fetches a model, asked of the engine at `url` itself; None: of whichever it finds."""

    startup: Annotated[Seconds, AT_ONCE] = Field(
        120, gt=0, le=DAY, description="Longest it may take to answer after a start."
    )
    probe_every: Annotated[Seconds, AT_ONCE] = Field(2, gt=0, le=DAY, description="Pause between two probes.")
    probe_limit: Annotated[Seconds, AT_ONCE] = Field(2, gt=0, le=DAY, description="Longest a probe may take.")
    probe_misses: Annotated[int, AT_ONCE] = Field(
        3, ge=1, le=1000, description="Missed probes in a row that mean it hangs."
    )
    stop_grace: Annotated[Seconds, AT_ONCE] = Field(
        10, ge=0, le=DAY, description="Time to leave after TERM, then KILL."
    )
