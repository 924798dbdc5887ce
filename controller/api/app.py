"""The management API under `/api/v1/`: FastAPI over the tables of orders and of views.

Who calls is decided before (`seadragon.who` of the scope is their Principal), and so is whether a foreign web page is
behind it. The right to each is asked here once more.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api import errors
from controller.api.callers import MayNot
from controller.api.looking import Looking
from controller.api.ordering import Ordering
from controller.desk import Desk
from controller.errors import OrderRefused, SeadragonError
from controller.orders.views import ROOT, VIEWS

LARGEST = 64 * 2**10  # bytes of a body


class _Application(FastAPI):
    """FastAPI tells of a 422 wherever something is asked for; what is not valid is 400 here."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for operation in (each for path in document["paths"].values() for each in path.values()):
            operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document


class Api:
    """All of it, as one ASGI application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._application = self._made()
        self.asgi: ASGIApp = self._let_in

    def _made(self) -> FastAPI:
        application = _Application(
            title="Seadragon",
            version=self._desk.version,
            openapi_url=f"{ROOT}{VIEWS['openapi'].path}",
            docs_url=None,  # it would fetch its scripts from another site
            redoc_url=None,
            redirect_slashes=False,
            max_body_size=LARGEST,
            responses=errors.ANYWHERE,
            exception_handlers={HTTPException: errors.http, Exception: self._failed},
        )
        for known in (RequestValidationError, SeadragonError, MayNot, errors.Invalid):
            application.add_exception_handler(known, self._refused)
        application.include_router(Looking(self._desk).router(), prefix=ROOT)
        application.include_router(Ordering(self._desk).router(), prefix=ROOT)
        return application

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every body is JSON here, whatever it is called: `curl -d` calls it a form. HEAD is a GET without its body."""

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        headers = [*others, (b"content-type", b"application/json")]
        await self._application({**scope, "method": method, "headers": headers}, receive, hardened)

    # --- what goes wrong ---

    async def _refused(self, request: Request, error: Exception) -> Response:
        match error:
            case RequestValidationError():
                return errors.not_valid(error)
            case OrderRefused():
                return errors.order_refused(error)
            case MayNot():
                return errors.refusal(403, str(error), "may_not_manage")
            case errors.Invalid():
                return errors.refusal(400, str(error), "invalid")
        return errors.refusal(503, str(error), "unreachable", headers={"Retry-After": "5"})

    async def _failed(self, request: Request, error: Exception) -> Response:
        words = f"{request.method} {request.url.path} failed: {error!r}"
        self._desk.journal.say("controller", words, level="error")
        return errors.refusal(500, "Something went wrong. It is noted in the log: seadragon logs", "failed")
