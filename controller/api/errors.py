"""Every error of the API, in the shape OpenAI's libraries show, and in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from controller.api.bodies import RefusalDocument
from controller.errors import OrderFault, OrderRefused

_STATUS: Mapping[OrderFault, int] = {
    "unknown": 404,
    "conflict": 409,
    "no_room": 400,  # a 5xx would be tried again by libraries, and it will not fit then either
    "busy": 503,
    "failed": 502,
}
assert set(_STATUS) == set(get_args(OrderFault))
_AGAIN = 5  # seconds
_TYPES = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error"}
_HTTP = {
    404: "There is nothing at this path.",
    405: "This path does not take that method.",
    413: "This body is longer than any order.",
}

ANYWHERE: dict[int | str, dict[str, Any]] = {
    status: {"model": RefusalDocument, "description": words}
    for status, words in (
        (400, "What was sent cannot be read, or makes no sense."),
        (401, "The key is not good."),
        (403, "The caller is not let in, or may not do this."),
        (413, "The body is longer than any order."),
        (415, "The body is packed in a way that is not known here."),
        (421, "This server does not go by that name."),
        (429, "The caller asks too often. `Retry-After` tells when to come back."),
        (503, "What it takes is not to be had at the moment."),
    )
}
"""What each operation may answer beside its own, mostly at the door: for OpenAPI."""
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": RefusalDocument, "description": "There is no such thing."}}

ADMINS: dict[int | str, dict[str, Any]] = {
    400: {"model": RefusalDocument, "description": "Not an order, or it cannot be."},
    403: {"model": RefusalDocument, "description": "The caller is no admin."},
    404: {"model": RefusalDocument, "description": "There is no such thing."},
    409: {"model": RefusalDocument, "description": "Things are not as the order takes for granted."},
    503: {"model": RefusalDocument, "description": "The database is not to be had."},
}
"""What a route for admins may answer."""


class Invalid(Exception):
    """What was asked for cannot be: 400, not a failure of ours."""


def refusal(
    status: int, message: str, code: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One error."""
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "code": code, "param": param}
    return JSONResponse({"error": error}, status, headers)


def order_refused(error: OrderRefused) -> JSONResponse:
    """An order that is not begun."""
    headers = {"Retry-After": str(_AGAIN)} if error.kind == "busy" else None
    return refusal(_STATUS[error.kind], str(error), error.kind, headers=headers)


def job_failed(job: Mapping[str, Any]) -> JSONResponse:
    """An order that was begun, waited for, and failed."""
    answer = refusal(502, job["text"], "failed")
    return JSONResponse(
        {"error": {"message": job["text"], "type": "api_error", "code": "failed", "param": None}, "job": job},
        answer.status_code,
    )


def not_valid(error: RequestValidationError) -> JSONResponse:
    """One mistake of a body or a query, with the member's name: one too many, if there is one, explains the rest."""
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    place = [each for each in first["loc"][1:] if isinstance(each, str)]  # after "body", "query" or "path"
    return refusal(400, _words(first, place), first["type"], param=place[0] if place else None)


def _words(first: Mapping[str, Any], place: Sequence[str]) -> str:
    name = f"`{place[0]}`" if place else "The body"
    match first["type"]:
        case "json_invalid":
            return "The body is not JSON."
        case "extra_forbidden":
            return f"{name} is no member that is known here."
        case "missing":
            return f"{name} is missing." if place else "The body is missing: it must be a JSON object."
    return f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}."


async def http(request: Request, error: Exception) -> JSONResponse:
    """What the routing itself refuses."""
    assert isinstance(error, HTTPException)
    return refusal(
        error.status_code, _HTTP.get(error.status_code, str(error.detail)), "http_error", headers=error.headers
    )
