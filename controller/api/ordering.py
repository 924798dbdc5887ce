"""Every order of the table that has a route, under `/api/v1/`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import JSONResponse

from controller.api import errors
from controller.api.bodies import JobDocument, RefusalDocument, Seconds, body_of
from controller.api.callers import needing, who
from controller.desk import By, Desk, JobView, job_document
from controller.errors import OrderRefused
from controller.orders.giving import give
from controller.orders.row import Order
from controller.orders.table import ORDERS
from controller.orders.views import ROOT

LOOK: Final = 1.0  # seconds between two looks at whether a waiting caller is still there

_JOBS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": JobDocument, "description": "It has ended well; only with `wait`."},
    202: {"model": JobDocument, "description": "It has begun. `Location` leads to how far it is."},
    400: {"model": RefusalDocument, "description": "Not an order, or it can never fit."},
    403: {"model": RefusalDocument, "description": "The caller may not manage."},
    404: {"model": RefusalDocument, "description": "There is no such model."},
    409: {"model": RefusalDocument, "description": "Things are not as the order takes for granted."},
    502: {"model": RefusalDocument, "description": "It was tried, waited for, and failed."},
    503: {"model": RefusalDocument, "description": "Something else has to end first."},
}
_SHAPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "queue.pause": lambda paused: {"object": "pauses", "paused": paused},
    "queue.resume": lambda paused: {"object": "pauses", "paused": paused},
    "queue.cancel": lambda ended: {"object": "request.cancelled", **ended},
}
"""Answers that are no JSON object by themselves, or do not say what they are."""


class Ordering:
    """The routes; put them into an application with `router`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """All of them."""
        routes = APIRouter()
        for row in ORDERS.values():
            if row.route:
                routes.add_api_route(
                    row.path,
                    self._route(row),
                    methods=[row.method],
                    status_code=row.status,
                    responses=_JOBS if row.job else errors.ADMINS if row.needs == "admin" else errors.UNKNOWN,
                    dependencies=[Depends(needing(row.needs))],
                    summary=row.summary,
                    name=row.name,
                )
        return routes

    def _route(self, row: Order) -> Callable[..., Any]:
        if row.method == "DELETE":
            return self._of_path(row)
        return self._beginning(row) if row.job else self._of_body(row)

    def _of_body(self, row: Order) -> Callable[..., Any]:
        """With its fields in a body, which may be left out when none is needed."""

        async def ordering(request: Request, body: Any) -> JSONResponse:
            answer = await self._give(request, row, {} if body is None else body.model_dump(exclude_unset=True))
            return JSONResponse(_SHAPES.get(row.name, _as_it_is)(answer), row.status)

        return _taking(ordering, row)

    def _of_path(self, row: Order) -> Callable[..., Any]:
        """What is to go is named in the path; a further field may be in the query."""
        first, *more = row.fields

        async def ending(request: Request, id: Any) -> JSONResponse:
            return JSONResponse(await self._give(request, row, {first.name: id}), row.status)

        async def losing(request: Request, id: Any, keep: Any = None) -> JSONResponse:
            return JSONResponse(await self._give(request, row, {first.name: id, "keep": keep or None}), row.status)

        ending.__annotations__["id"] = losing.__annotations__["id"] = Annotated[
            str, Path(max_length=first.longest, description=first.help)
        ]
        if not more:
            return ending
        (keep,) = more
        losing.__annotations__["keep"] = Annotated[str, Query(max_length=keep.longest, description=keep.help)]
        losing.__defaults__ = ("",)
        return losing

    def _beginning(self, row: Order) -> Callable[..., Any]:
        """It takes a while: answered at once, or when it has ended. Who hangs up does not undo it."""

        async def beginning(request: Request, body: Any, wait: Seconds | None = None) -> JSONResponse:
            given = body.model_dump(exclude_unset=True)
            own = given.pop("wait", None)
            seconds = wait if own is None else own
            job: JobView = await self._give(request, row, given)
            if seconds:
                await self._until_ended(request, job, seconds)
            told = job_document(job)
            if seconds and job.state == "failed":
                return errors.job_failed(told)
            status = 200 if seconds and job.state == "done" else row.status
            return JSONResponse(told, status, {"Location": f"{ROOT}/jobs/{job.id}"})

        return _taking(beginning, row)

    async def _give(self, request: Request, row: Order, given: Mapping[str, Any]) -> Any:
        try:
            return await give(self._desk, row.name, by(request), given)
        except OrderRefused as error:
            if error.kind == "failed" and not row.job:  # what was asked for cannot be: nothing behind us has failed
                raise errors.Invalid(str(error)) from None
            raise

    async def _until_ended(self, request: Request, job: JobView, seconds: float) -> None:
        """For as long as somebody waits for it and the controller stays."""
        end = asyncio.get_running_loop().time() + seconds
        while job.state == "running" and self._desk.phase not in ("draining", "stopping"):
            left = end - asyncio.get_running_loop().time()
            if left <= 0 or await request.is_disconnected():
                return
            await job.wait(min(LOOK, left))


def _taking(ordering: Callable[..., Any], row: Order) -> Callable[..., Any]:
    """Each route has a body of its own, which is what OpenAPI tells."""
    body: Any = body_of(row)
    if any(field.needed for field in row.fields):
        ordering.__annotations__["body"] = body
    else:
        ordering.__annotations__["body"] = body | None
        ordering.__defaults__ = (None, *(ordering.__defaults__ or ()))
    return ordering


def _as_it_is(answer: Any) -> Any:
    return answer


def by(request: Request) -> By:
    """Who orders, for the audit."""
    caller, client = who(request), request.client.host if request.client else ""
    peer, number = request.scope.get("seadragon.peer", client), request.scope.get("seadragon.request", "")
    return By(caller.label, caller.identity, peer, number, caller.sees)
