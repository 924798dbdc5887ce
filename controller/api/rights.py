"""People, keys, invites, addresses, usage and audit under `/api/v1/`: for admins, but for one's own usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse

from controller.api import errors
from controller.api.bodies import Asked, Refusal
from controller.api.callers import Caller, MayNot, who
from controller.api.rights_bodies import KEEPS, NewAddress, NewInvite, NewKey, NewRole, NewUser, NoUser, OneKey, OneUser
from controller.auth.access import Principal
from controller.auth.policy import Right
from controller.desk import By, Desk
from controller.errors import OrderRefused
from controller.usage import Grouping

_NOT_ADMIN = (
    "This is for admins: use a key with the scope `admin`, sign in as an admin, or run `seadragon` on the server."
)
_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "Not an order, or it cannot be."},
    403: {"model": Refusal, "description": "The caller is no admin."},
    404: {"model": Refusal, "description": "There is no such thing."},
    409: {"model": Refusal, "description": "Things are not as the order takes for granted."},
    503: {"model": Refusal, "description": "The database is not to be had."},
}
_LATEST = 1e11  # seconds since the epoch, in the year 5138: beyond that, calendars end
_LARGEST = 2**63 - 1  # number of a row
Since = Annotated[
    float, Query(ge=0, le=_LATEST, description="Only what ended after this moment, in seconds since the epoch.")
]
Row = Annotated[int, Query(ge=0, le=_LARGEST, description="Only rows before the one of this number.")]
Keep = Annotated[str, Query(max_length=64, description=KEEPS)]
Count = Annotated[int, Query(ge=1, le=10_000, description="At most so many.")]


def admin(request: Request) -> Principal:
    """Who calls, if they are an admin. Raises MayNot."""
    caller = who(request)
    if not caller.may(Right.ADMIN):
        raise MayNot(_NOT_ADMIN)
    return caller


class Rights:
    """The routes; put them into an application with `router`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """All of them."""
        routes = APIRouter(responses=_REFUSED)
        for what in ("keys", "users", "invites", "allow"):
            self._add(routes, f"/{what}", self._listing(what), "GET", f"All {what}")
        self._add(routes, "/keys", self._ordering("keys.create", NewKey), "POST", "Make a key, shown this once", 201)
        self._add(routes, "/keys/pause", self._ordering("keys.pause", OneKey), "POST", "Refuse a key for a while")
        self._add(routes, "/keys/resume", self._ordering("keys.resume", OneKey), "POST", "Take it again")
        self._add(routes, "/keys/{id}", self._losing("keys.revoke", "id"), "DELETE", "Revoke a key, for good")
        self._add(routes, "/users", self._ordering("users.add", NewUser), "POST", "Add a person", 201)
        self._add(routes, "/users/role", self._ordering("users.role", NewRole), "POST", "Give a role")
        for name, words in (
            ("enable", "Let them in again"),
            ("end_sessions", "Sign them out everywhere"),
            ("reset_link", "Make the link by which they set a new password"),
        ):
            self._add(routes, f"/users/{name}", self._ordering(f"users.{name}", OneUser), "POST", words)
        self._add(routes, "/users/disable", self._ordering("users.disable", NoUser), "POST", "Shut a person out")
        self._add(routes, "/users/{id}", self._losing("users.delete", "user"), "DELETE", "Forget a person")
        self._add(routes, "/invites", self._ordering("invites.create", NewInvite), "POST", "Invite somebody", 201)
        self._add(routes, "/invites/{id}", self._ending("invites.revoke", "id"), "DELETE", "Let nobody in by it")
        self._add(routes, "/allow", self._ordering("allow.add", NewAddress), "POST", "Let an address in", 201)
        self._add(routes, "/allow/{id}", self._ending("allow.remove", "id"), "DELETE", "Undo that")
        self._add(routes, "/audit", self._audit, "GET", "Who did what, newest first")
        routes.add_api_route("/usage", self._usage, summary="One's own usage; an admin may ask for everybody's")
        return routes

    @staticmethod
    def _add(
        routes: APIRouter, path: str, verb: Callable[..., Any], method: str, summary: str, status: int = 200
    ) -> None:
        routes.add_api_route(
            path, verb, methods=[method], summary=summary, status_code=status, dependencies=[Depends(admin)]
        )

    # --- orders ---

    def _listing(self, what: str) -> Callable[..., Any]:
        async def listing() -> JSONResponse:
            return JSONResponse({"object": "list", "data": await self._desk.office.order(what, By("", ""))})

        return listing

    def _ordering(self, order: str, body_type: type[Asked]) -> Callable[..., Any]:
        async def ordering(request: Request, body: Asked) -> JSONResponse:
            given = {name: value for name, value in body.model_dump().items() if value is not None}
            made = order in ("keys.create", "users.add", "invites.create", "allow.add")
            return await self._order(request, order, 201 if made else 200, **given)

        ordering.__annotations__["body"] = body_type  # each route has its own, which is what OpenAPI tells
        return ordering

    def _ending(self, order: str, named: str) -> Callable[..., Any]:
        async def ending(request: Request, id: str) -> JSONResponse:
            return await self._order(request, order, 200, **{named: id})

        return ending

    def _losing(self, order: str, named: str) -> Callable[..., Any]:
        async def losing(request: Request, id: str, keep: Keep = "") -> JSONResponse:
            return await self._order(request, order, 200, **{named: id, "keep": keep})

        return losing

    async def _order(self, request: Request, order: str, status: int, **arguments: Any) -> JSONResponse:
        try:
            answer = await self._desk.office.order(order, by(request), **arguments)
        except OrderRefused as error:
            if error.kind == "failed":  # what was asked for cannot be: nothing behind us has failed
                return errors.refusal(400, str(error), "invalid")
            raise
        return JSONResponse(answer, status)

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
            raise MayNot(_NOT_ADMIN)
        only = {} if everybody else own(caller)
        usage = self._desk.usage
        found = await usage.sums(by, since, only) if requests is None else await usage.requests(since, only, requests)
        if caller.restricted:  # they may have used what is not for them any more
            found = [each for each in found if "model" not in each or caller.sees(each["model"])]
        return JSONResponse({"object": "list", "data": found})

    async def _audit(
        self, since: Since = 0.0, actor: str = "", what: str = "", before: Row | None = None, count: Count = 100
    ) -> JSONResponse:
        found = await self._desk.audit.rows(since, actor=actor, what=what, before=before, count=count)
        return JSONResponse({"object": "list", "data": found})


def own(caller: Principal) -> dict[str, str]:
    """Whose usage is a caller's own."""
    if caller.kind == "key":
        return {"key_id": caller.id}
    if caller.kind == "person":
        return {"user_id": caller.id}
    return {"caller_id": caller.identity}


def by(request: Request) -> By:
    """Who orders, for the audit."""
    caller, client = who(request), request.client.host if request.client else ""
    peer, number = request.scope.get("seadragon.peer", client), request.scope.get("seadragon.request", "")
    return By(caller.label, caller.identity, peer, number)
