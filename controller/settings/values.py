"""The kinds of values that the YAML holds, each with its words, and the branch that all of the tree is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from controller.settings import addresses, names
from controller.settings.units import Says, Seconds

DAY = 86400  # seconds; no wait is longer


def empty_is_default(value: object) -> object:
    """A block whose every line is commented out is the block left out."""
    return {} if value is None else value


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text without line breaks or control characters")
    return text


def _no_zero(text: str) -> str:
    if "\0" in text:
        raise ValueError("text without zero characters: no program could receive it")
    return text


def _hidden(variables: dict[str, str]) -> dict[str, str]:
    """Values of variables may be secrets: their names may be shown, they themselves leave only to the child."""
    return dict.fromkeys(variables, "(not shown)")


Address = Annotated[str, AfterValidator(addresses.listener_address), Says(addresses.LISTENER_WORDS)]
Network = Annotated[str, AfterValidator(addresses.network), Says(addresses.NETWORK_WORDS)]
Prefix = Annotated[str, AfterValidator(addresses.path_prefix), Says(addresses.PREFIX_WORDS)]
HostName = Annotated[str, AfterValidator(addresses.host_name), Says(addresses.HOST_WORDS)]
PublicName = Annotated[str, AfterValidator(addresses.public_name), Says(addresses.PUBLIC_NAME_WORDS)]
Origin = Annotated[str, AfterValidator(addresses.origin), Says(addresses.ORIGIN_WORDS)]
EdgeAddress = Annotated[str, AfterValidator(addresses.edge_address), Says(addresses.EDGE_WORDS)]
HeaderName = Annotated[str, AfterValidator(addresses.header_name), Says(addresses.HEADER_WORDS)]
Url = Annotated[str, AfterValidator(addresses.upstream_url), Says(addresses.URL_WORDS)]
ProbeUrl = Annotated[str, AfterValidator(addresses.probe_url), Says(addresses.PROBE_WORDS)]
Idle = Annotated[Seconds, Field(ge=0, le=365 * DAY)]
Span = Annotated[Seconds, Field(gt=0, le=DAY)]
Keep = Annotated[Seconds, Field(ge=DAY, le=36500 * DAY)]
Wait = Annotated[Seconds, Field(ge=0, le=DAY)]
LaneName = Annotated[str, AfterValidator(names.lane_name), Says(names.LANE_WORDS)]
ModelName = Annotated[str, AfterValidator(names.model_name), Says(names.MODEL_WORDS)]
ModelPattern = Annotated[str, AfterValidator(names.model_pattern), Says(names.PATTERN_WORDS)]
Text = Annotated[str, AfterValidator(_one_line), Says("text on one line")]
Argument = Annotated[str, AfterValidator(_no_zero), Says("text")]
Variables = Annotated[
    dict[str, Annotated[str, AfterValidator(_no_zero)]],
    BeforeValidator(empty_is_default),
    PlainSerializer(_hidden),
    Says("lines of the form NAME: value, NAME: {file: path} or NAME: {from: NAME}"),
]
Redirects = Annotated[
    dict[ModelPattern, ModelName],
    BeforeValidator(empty_is_default),
    Says("lines of the form pattern: model, such as gpt-4o*: qwen3:32b"),
]


class Branch(BaseModel):
    """A part of the tree: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return empty_is_default(value)
