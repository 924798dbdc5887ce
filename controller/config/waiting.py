"""Who goes next, and how long the parts of a request may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from controller.settings.impact import AT_ONCE
from controller.settings.units import Bytes
from controller.settings.values import Branch, LaneName, Span, Wait, empty_is_default


class Waits(Branch):
    """How long the parts of a request may take. Each ends with its own reason."""

    wait: Annotated[Span, AT_ONCE] = Field(1800, description="Longest a request waits in the line.")
    load: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest it waits for its model while that loads; empty: as long as a load may take."
    )
    first_byte: Annotated[Span, AT_ONCE] = Field(
        600, description="Longest without the answer's first byte while its model does nothing for it."
    )
    gap: Annotated[Span, AT_ONCE] = Field(
        120, description="Longest silence in the middle of an answer while its model does nothing for it."
    )
    answer: Annotated[Span, AT_ONCE] = Field(
        600, description="Longest an answer goes on while somebody waits for its model or the memory that takes."
    )


class SomeWaits(Branch):
    """As `times`, for one lane or one model: what is empty is as everywhere."""

    wait: Annotated[Span | None, AT_ONCE] = Field(None, description="Longest a request waits in the line.")
    load: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest it waits for its model while that loads. Of a model: longest its load may take."
    )
    first_byte: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest without the answer's first byte while its model does nothing for it."
    )
    gap: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest silence in the middle of an answer while its model does nothing for it."
    )
    answer: Annotated[Span | None, AT_ONCE] = Field(
        None, description="Longest an answer goes on while somebody waits for its model or the memory that takes."
    )


class LineSettings(Branch):
    """Who goes next. Lower lanes go first; waiting makes up for a lane, so that everyone's turn comes."""

    aging: Annotated[Span, AT_ONCE] = Field(600, description="Waiting this long makes up for one lane.")
    patience: Annotated[Wait, AT_ONCE] = Field(
        30, description="How long requests for a loaded model may overtake one whose model is not loaded."
    )
    min_stay: Annotated[Wait, AT_ONCE] = Field(
        60, description="A model that was just loaded stays so long while somebody wants it (or 3 × its load time)."
    )
    linger: Annotated[Wait, AT_ONCE] = Field(
        10, description="A model a better lane has just used is kept so long: a coding agent thinks between calls."
    )
    max_charge: Annotated[Wait, AT_ONCE] = Field(60, description="The most that earlier use can set a caller back.")
    running: Annotated[int | None, AT_ONCE] = Field(
        None,
        ge=1,
        le=1000,
        description="Answers a caller may have at a time; empty: as many as there are free slots for.",
    )
    waiting: Annotated[int, AT_ONCE] = Field(64, ge=1, le=10000, description="Requests a caller may have waiting.")
    bytes: Annotated[Bytes, AT_ONCE] = Field(
        64 * 2**20, ge=1024, description="Bytes of waiting requests a caller may have."
    )
    whole: Annotated[int, AT_ONCE] = Field(1024, ge=1, le=100000, description="Requests that may wait in all.")
    times: Waits = Waits()
    lanes: Annotated[dict[LaneName, SomeWaits], BeforeValidator(empty_is_default)] = Field(
        {}, description="Other times for a lane, by its number."
    )
