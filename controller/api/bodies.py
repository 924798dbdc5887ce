"""What the API is sent and what it answers, as far as OpenAPI is to tell. A member that is not known is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_WAIT = 300.0  # seconds

Seconds = Annotated[float, Field(ge=0, le=LONGEST_WAIT, description="Wait for the end, this many seconds at most.")]
ModelName = Annotated[str, Field(min_length=1, max_length=512, description="The model's name.")]


class Asked(BaseModel):
    """Strict: no member too many, and no number in quotes."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Load(Asked):
    model: ModelName
    wait: Seconds | None = None


class Unload(Load):
    pass


class Switch(Load):
    from_: ModelName | None = Field(None, alias="from", description="What leaves; else whatever is in the way.")
    waiting: Literal["keep", "redirect", "refuse"] = Field(
        "keep", description="Those who wait for what leaves: wait on, get the new model, or are told no."
    )
    when: Literal["free", "now"] = Field("free", description="now: answers that are being written are cut.")


class Pin(Load):
    pinned: bool = Field(True, description="false lets it leave again.")


class Pause(Asked):
    lane: float | None = Field(None, ge=0, le=1000, description="Only this lane.")
    model: ModelName | None = Field(None, description="Only this model.")


class Cancel(Asked):
    number: int = Field(ge=1, description="The request's number, as `/queue` tells it.")


class Job(BaseModel):
    """An order on its way. Times are seconds since the epoch."""

    id: str
    object: Literal["job"]
    kind: Literal["load", "unload", "switch", "pin"]
    model: str
    state: Literal["running", "done", "failed"]
    text: str
    started: float
    ended: float | None
    touched: int = Field(description="Requests that were waiting for, or being answered by, what leaves.")


class Error(BaseModel):
    message: str
    type: str
    code: str | None
    param: str | None


class Refusal(BaseModel):
    """As OpenAI's libraries expect an error."""

    error: Error
