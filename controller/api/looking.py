"""Every view of the table, under `/api/v1/`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse

from controller.api import errors
from controller.api.bodies import JobDocument
from controller.api.callers import NOT_ADMIN, Caller, MayNot, needing
from controller.auth.access import Principal
from controller.auth.policy import Right
from controller.desk import Desk, job_document
from controller.errors import OrderRefused, Unreachable
from controller.orders.views import ROOT, VIEWS, View
from controller.residency.meaning import Meanings
from controller.spelling import full_name
from controller.usage import Grouping
from controller.views.show import SHOWN

LISTING: Final = 5.0  # seconds that the list of models may take
_LATEST: Final = 1e11  # seconds since the epoch, in the year 5138: beyond that, calendars end
_LARGEST: Final = 2**63 - 1  # number of a row
Since = Annotated[
    float, Query(ge=0, le=_LATEST, description="Only what ended after this moment, in seconds since the epoch.")
]
Row = Annotated[int, Query(ge=0, le=_LARGEST, description="Only rows before the one of this number.")]
Count = Annotated[int, Query(ge=1, le=10_000, description="At most so many.")]


class Looking:
    """The routes; put them into an application with `router`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """All of them but OpenAPI's own."""
        routes = APIRouter()
        special: dict[str, Callable[..., Any]] = {
            "models": self._models,
            "model": self._model,
            "job": self._job,
            "audit": self._audit,
            "usage": self._usage,
        }
        for view in VIEWS.values():
            if view.name != "openapi":
                self._add(routes, view, special.get(view.name) or self._of(view))
        return routes

    @staticmethod
    def _add(routes: APIRouter, view: View, look: Callable[..., Any]) -> None:
        documented: dict[int | str, dict[str, Any]] = errors.ADMINS if view.needs == "admin" else {}
        if "{" in view.path:
            documented = {**({200: {"model": JobDocument}} if view.name == "job" else {}), **errors.UNKNOWN}
        path = view.path.replace("{name}", "{model:path}")
        asked = [Depends(needing(view.needs))]
        routes.add_api_route(path, look, summary=view.summary, responses=documented, dependencies=asked)

    def _of(self, view: View) -> Callable[..., Any]:
        """One without questions of its own."""

        async def look(caller: Caller) -> JSONResponse:
            found = await SHOWN[view.name](self._desk, caller)
            return JSONResponse({"object": view.name, **found} if isinstance(found, dict) else _list(found))

        return look

    # --- models ---

    async def _models(self, caller: Caller) -> JSONResponse:
        """The models that exist for the caller, and the names that mean one of them."""
        installed = {full_name(each["id"]): each for each in await self._installed(caller)}
        meanings = Meanings(self._desk.config.models.redirect)
        own = [each for each in installed.values() if not meanings.redirects(each["id"])]
        others = ((name, installed.get(target.full)) for name, target in meanings.listed.items())
        return JSONResponse(_list(own + [{**each, "id": name} for name, each in others if each is not None]))

    async def _model(self, model: str, caller: Caller) -> JSONResponse:
        wanted = full_name(self._desk.meant(model))
        found = next((each for each in await self._installed(caller) if full_name(each["id"]) == wanted), None)
        if found is None:
            raise OrderRefused(f"There is no model called {model!r}. See: GET {ROOT}/models", "unknown")
        return JSONResponse(found)

    async def _installed(self, caller: Principal) -> list[dict[str, Any]]:
        """Raises Unreachable."""
        try:
            async with asyncio.timeout(LISTING):
                found: list[dict[str, Any]] = await SHOWN["models"](self._desk, caller)
                return found
        except TimeoutError:
            title = self._desk.readiness.title
            raise Unreachable(f"{title} is too busy to list its models. Please try again in a moment.") from None

    async def _job(self, id: str, caller: Caller) -> JSONResponse:
        job = self._desk.job(id)
        if job is None or not caller.sees(job.model):
            raise OrderRefused(f"There is no job {id!r}, or it was long ago.", "unknown")
        return JSONResponse(job_document(job))

    # --- usage and audit ---

    async def _usage(
        self,
        caller: Caller,
        by: Grouping = "day",
        since: Since = 0.0,
        everybody: bool = False,
        requests: Count | None = None,
    ) -> JSONResponse:
        if everybody and not caller.may(Right.ADMIN):
            raise MayNot(NOT_ADMIN)
        only = {} if everybody else own(caller)
        found = await SHOWN["usage"](self._desk, caller, by=by, since=since, only=only, requests=requests)
        return JSONResponse(_list(found))

    async def _audit(
        self,
        caller: Caller,
        since: Since = 0.0,
        actor: str = "",
        what: str = "",
        before: Row | None = None,
        count: Count = 100,
    ) -> JSONResponse:
        which = {"since": since, "actor": actor, "what": what, "before": before, "count": count}
        return JSONResponse(_list(await SHOWN["audit"](self._desk, caller, **which)))


def own(caller: Principal) -> dict[str, str]:
    """Whose usage is a caller's own."""
    if caller.kind == "key":
        return {"key_id": caller.id}
    if caller.kind == "person":
        return {"user_id": caller.id}
    return {"caller_id": caller.identity}


def _list(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": found}
