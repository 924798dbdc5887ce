"""models.yaml: what is loaded, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from controller.config.waiting import SomeWaits
from controller.engines.settings import EngineModels
from controller.settings.impact import AT_ONCE
from controller.settings.values import Branch, Idle, ModelName, Redirects, empty_is_default


class OneModel(Branch):
    """What differs for one model. What is empty is as everywhere."""

    keep_alive: Annotated[Idle | Literal["forever"] | None, AT_ONCE] = Field(
        None, description="How long it stays in memory when idle."
    )
    preload: Annotated[Literal["no", "at_start"], AT_ONCE] = Field(
        "no", description="at_start: loaded as soon as its engine runs."
    )
    pin: Annotated[bool, AT_ONCE] = Field(False, description="Once loaded it stays, whatever else is wanted.")
    memory_gb: Annotated[float | None, AT_ONCE] = Field(
        None, gt=0, le=4096, description="GiB it takes when loaded, if you know better than the estimate."
    )
    times: SomeWaits = SomeWaits()


class Models(EngineModels):
    """models.yaml: what is loaded, and how."""

    max_loaded: Annotated[int, AT_ONCE] = Field(8, ge=1, le=256, description="Models in memory at a time, at most.")
    keep_alive: Annotated[Idle | Literal["forever"], AT_ONCE] = Field(
        "forever", description="How long an idle model stays in memory when nobody needs its room."
    )
    default: Annotated[ModelName | None, AT_ONCE] = Field(
        None, description="The model of a request that names none; empty: the engine's own error."
    )
    max_tokens: Annotated[int | None, AT_ONCE] = Field(
        None, ge=1, description="Longest answer a request may ask for, in tokens; empty: no limit but the time's."
    )
    redirect: Annotated[Redirects, AT_ONCE] = Field(
        {}, description="Names that mean another model, such as gpt-4o*. The answer then names the real one."
    )
    models: Annotated[dict[ModelName, OneModel], BeforeValidator(empty_is_default)] = Field(
        {}, description="What differs for one model, by name."
    )
