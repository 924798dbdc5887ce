"""The management API under `/api/v1/`: the models, the line, the memory; FastAPI. Rights are in `rights.py`.

Who calls is decided before (`seadragon.who` of the scope is their Principal), and so is whether a foreign web page is
behind it. Orders are checked here once more, since they change what everybody gets.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api import errors
from controller.api.bodies import Cancel, Job, Load, Pause, Pin, Refusal, Seconds, Switch, Unload
from controller.api.callers import Caller, MayNot, manager, who
from controller.api.rights import Rights
from controller.auth.access import Principal
from controller.desk import Desk, JobView, Order, job_document
from controller.errors import OrderRefused, SeadragonError, Unreachable
from controller.line_words import paused_seen, seen_by
from controller.residency.meaning import Meanings
from controller.spelling import full_name

ROOT = "/api/v1"
LARGEST = 64 * 2**10  # bytes of a body
LISTING = 5.0  # seconds that the list of models may take
LOOK = 1.0  # seconds between two looks at whether a waiting caller is still there


_ORDERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Job, "description": "It has ended well; only with `wait`."},
    202: {"model": Job, "description": "It has begun. `Location` leads to how far it is."},
    400: {"model": Refusal, "description": "Not an order, or it can never fit."},
    403: {"model": Refusal, "description": "The caller may not manage."},
    404: {"model": Refusal, "description": "There is no such model."},
    409: {"model": Refusal, "description": "Things are not as the order takes for granted."},
    502: {"model": Refusal, "description": "It was tried, waited for, and failed."},
    503: {"model": Refusal, "description": "Something else has to end first."},
}


_FAILED = "It could not be loaded the last time."
"""To a guest, instead of what went wrong inside."""


def _unknown(model: str) -> OrderRefused:
    return OrderRefused(f"There is no model called {model!r}. See: GET {ROOT}/models", "unknown")


def _which(desk: Desk, body: Pause | None, caller: Principal) -> dict[str, Any]:
    """The lane and the model that are meant. Raises OrderRefused for a model that does not exist for `caller`."""
    if body is None:
        return {}
    if body.model is not None and not caller.sees(desk.meant(body.model)):
        raise _unknown(body.model)
    return body.model_dump()


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
            openapi_url=f"{ROOT}/openapi.json",
            docs_url=None,  # it would fetch its scripts from another site
            redoc_url=None,
            redirect_slashes=False,
            max_body_size=LARGEST,
            responses=errors.ANYWHERE,
            exception_handlers={HTTPException: errors.http, Exception: self._failed},
        )
        application.add_exception_handler(RequestValidationError, self._refused)
        application.add_exception_handler(SeadragonError, self._refused)
        application.add_exception_handler(MayNot, self._refused)
        application.include_router(self._router(), prefix=ROOT)
        application.include_router(Rights(self._desk).router(), prefix=ROOT)
        return application

    def _router(self) -> APIRouter:
        routes = APIRouter()
        routes.add_api_route("/models", self._models, summary="What is installed, and what is loaded")
        routes.add_api_route("/models/{model:path}", self._model, responses=errors.UNKNOWN, summary="One model")
        routes.add_api_route(
            "/jobs/{id}",
            self._job,
            dependencies=[Depends(manager)],
            responses={200: {"model": Job}, **errors.UNKNOWN},
            summary="A job",
        )
        routes.add_api_route("/queue", self._queue, summary="Who waits for what; of others only how many")
        routes.add_api_route("/memory", self._memory, summary="Memory, and what of it models may take")
        for path, verb in (
            ("load", self._load),
            ("unload", self._unload),
            ("switch", self._switch),
            ("pin", self._pin),
        ):
            routes.add_api_route(
                f"/models/{path}",
                verb,
                methods=["POST"],
                status_code=202,
                responses=_ORDERS,
                dependencies=[Depends(manager)],
                summary=f"{path.capitalize()} a model",
            )
        for path, act in (("pause", self._pause), ("resume", self._resume)):
            routes.add_api_route(
                f"/queue/{path}",
                act,
                methods=["POST"],
                responses=errors.UNKNOWN,
                dependencies=[Depends(manager)],
                summary=f"{path.capitalize()} the line",
            )
        routes.add_api_route(
            "/queue/cancel",
            self._cancel,
            methods=["POST"],
            responses=errors.UNKNOWN,
            dependencies=[Depends(manager)],
            summary="End one request, waiting or being answered",
        )
        return routes

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

    # --- looking ---

    async def _models(self, caller: Caller) -> JSONResponse:
        return JSONResponse({"object": "list", "data": await self._listed(caller)})

    async def _model(self, model: str, caller: Caller) -> JSONResponse:
        wanted = full_name(self._desk.meant(model))
        found = next((each for each in await self._installed(caller) if full_name(each["id"]) == wanted), None)
        if found is None:
            raise _unknown(model)
        return JSONResponse(found)

    async def _listed(self, caller: Principal) -> list[dict[str, Any]]:
        """The models that exist for `caller`, and the names that mean one of them. Raises Unreachable."""
        installed = {full_name(each["id"]): each for each in await self._installed(caller)}
        meanings = Meanings(self._desk.config.models.redirect)
        own = [each for each in installed.values() if not meanings.redirects(each["id"])]
        others = ((name, installed.get(target.full)) for name, target in meanings.listed.items())
        return own + [{**each, "id": name} for name, each in others if each is not None]

    async def _installed(self, caller: Principal) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(LISTING):
                found = [each for each in await self._desk.models() if caller.sees(each["id"])]
                return (
                    [{**each, "last_error": _FAILED if each["last_error"] else ""} for each in found]
                    if (caller.guest)
                    else found
                )
        except TimeoutError:
            raise Unreachable("Ollama is too busy to list its models. Please try again in a moment.") from None

    async def _job(self, id: str, caller: Caller) -> JSONResponse:
        job = self._desk.job(id)
        if job is None or not caller.sees(job.model):
            raise OrderRefused(f"There is no job {id!r}, or it was long ago.", "unknown")
        return JSONResponse(job_document(job))

    async def _queue(self, caller: Caller) -> JSONResponse:
        seen = seen_by(self._desk.queue(), caller.identity, caller.sees, manage=caller.manage)
        return JSONResponse({"object": "queue", **seen})

    async def _memory(self, caller: Caller) -> JSONResponse:
        memory = self._desk.memory()
        loaded = {name: gb for name, gb in memory.get("models_loaded", {}).items() if caller.sees(name)}
        return JSONResponse({"object": "memory", **memory, "models_loaded": loaded})

    # --- orders ---

    async def _load(self, request: Request, body: Load, wait: Seconds | None = None) -> Response:
        return await self._order(request, body, wait, "load")

    async def _unload(self, request: Request, body: Unload, wait: Seconds | None = None) -> Response:
        return await self._order(request, body, wait, "unload")

    async def _switch(self, request: Request, body: Switch, wait: Seconds | None = None) -> Response:
        if body.from_ is not None and not who(request).sees(self._desk.meant(body.from_)):
            raise _unknown(body.from_)
        return await self._order(request, body, wait, "switch", from_=body.from_, waiting=body.waiting, when=body.when)

    async def _pin(self, request: Request, body: Pin, wait: Seconds | None = None) -> Response:
        return await self._order(request, body, wait, "pin", on=body.pinned)

    async def _order(
        self, request: Request, body: Load, wait: float | None, kind: Order, **options: Any
    ) -> JSONResponse:
        """Begin; answer at once, or when it has ended. Who hangs up does not undo it."""
        if not who(request).sees(self._desk.meant(body.model)):
            raise _unknown(body.model)
        job = await self._desk.order(kind, body.model, **options)
        wait = wait if body.wait is None else body.wait
        if wait:
            await self._until_ended(request, job, wait)
        told = job_document(job)
        if wait and job.state == "failed":
            return errors.job_failed(told)
        status = 200 if wait and job.state == "done" else 202
        return JSONResponse(told, status, {"Location": f"{ROOT}/jobs/{job.id}"})

    async def _until_ended(self, request: Request, job: JobView, seconds: float) -> None:
        """For as long as somebody waits for it and the controller stays."""
        end = asyncio.get_running_loop().time() + seconds
        while job.state == "running" and self._desk.phase not in ("draining", "stopping"):
            left = end - asyncio.get_running_loop().time()
            if left <= 0 or await request.is_disconnected():
                return
            await job.wait(min(LOOK, left))

    async def _pause(self, caller: Caller, body: Pause | None = None) -> JSONResponse:
        await self._desk.pause(**_which(self._desk, body, caller))
        return self._paused(caller)

    async def _resume(self, caller: Caller, body: Pause | None = None) -> JSONResponse:
        await self._desk.resume(**_which(self._desk, body, caller))
        return self._paused(caller)

    async def _cancel(self, caller: Caller, body: Cancel) -> JSONResponse:
        await self._desk.cancel(body.number, caller.sees)
        return JSONResponse({"object": "request.cancelled", "number": body.number})

    def _paused(self, caller: Principal) -> JSONResponse:
        return JSONResponse({"object": "pauses", "paused": paused_seen(self._desk.queue()["paused"], caller.sees)})

    # --- what goes wrong ---

    async def _refused(self, request: Request, error: Exception) -> Response:
        match error:
            case RequestValidationError():
                return errors.not_valid(error)
            case OrderRefused():
                return errors.order_refused(error)
            case MayNot():
                return errors.refusal(403, str(error), "may_not_manage")
        return errors.refusal(503, str(error), "unreachable", headers={"Retry-After": "5"})

    async def _failed(self, request: Request, error: Exception) -> Response:
        words = f"{request.method} {request.url.path} failed: {error!r}"
        self._desk.journal.say("controller", words, level="error")
        return errors.refusal(500, "Something went wrong. It is noted in the log: seadragon logs", "failed")
