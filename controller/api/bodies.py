"""What the API is sent and what it answers, as far as OpenAPI is to tell. Bodies of orders are made from the rows of
the table; a member that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from controller.orders import fields
from controller.orders.row import Order

LONGEST_WAIT = 300.0  # seconds

Seconds = Annotated[float, Field(ge=0, le=LONGEST_WAIT, description="Wait for the end, this many seconds at most.")]


class OrderBody(BaseModel):
    """Strict: no member too many, and no number in quotes."""

    model_config = ConfigDict(extra="forbid", strict=True)


class JobDocument(BaseModel):
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


class ErrorDocument(BaseModel):
    message: str
    type: str
    code: str | None
    param: str | None


class RefusalDocument(BaseModel):
    """As OpenAI's libraries expect an error."""

    error: ErrorDocument


def body_of(row: Order) -> type[OrderBody]:
    """What the order's body has to be. Two rows of one body have the same fields."""
    return _body(row.body, row.fields, row.job)


@cache
def _body(name: str, given: Sequence[fields.Field], waits: bool) -> type[OrderBody]:
    members: dict[str, Any] = {field.name: _member(field) for field in given}
    if waits:
        members["wait"] = (Seconds | None, None)
    return create_model(name, __base__=OrderBody, **members)


def _member(field: fields.Field) -> tuple[Any, Any]:
    kind = _kind(field)
    usual = ... if field.needed else field.usual
    about = Field(
        usual,
        alias=field.wire or None,
        description=field.help or None,
        examples=list(field.examples) or None,
    )
    return (kind if field.needed or field.usual is not None else kind | None, about)


def _kind(field: fields.Field) -> Any:
    """The type of its value."""
    if field.choices:
        return Literal[field.choices]
    bounds = Field(ge=field.least, gt=field.above, le=field.most)
    kinds: Final = {
        "text": Annotated[str, Field(min_length=0 if field.empty else 1, max_length=field.longest)],
        "texts": Annotated[list[Annotated[str, Field(max_length=field.longest)]], Field(max_length=fields.MOST_TEXTS)],
        "number": Annotated[float, bounds],
        "whole": Annotated[int, bounds],
        "flag": bool,
    }
    return kinds[field.kind]
