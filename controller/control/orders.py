"""Verbs about the line, the models and the memory. An order is followed until it ends, unless told not to wait."""

from __future__ import annotations

from typing import Any, get_args

from controller.control import Request, Tell
from controller.desk import Desk, JobView, Order, Waiting, When, job_document
from controller.errors import SeadragonError

LOOK = 0.2  # seconds between two looks at how far a job is
_KINDS: dict[str, Order] = {kind: kind for kind in get_args(Order)}
_OPTIONS: dict[Order, dict[str, tuple[object, ...]]] = {
    "load": {},
    "unload": {},
    "switch": {"from_": (str,), "waiting": get_args(Waiting), "when": get_args(When)},
    "pin": {"on": (True, False)},
}
"""Of each order: its options, and what they may be."""


async def models(desk: Desk, request: Request, tell: Tell) -> object:
    return await desk.models()


async def queue(desk: Desk, request: Request, tell: Tell) -> object:
    return desk.queue()


async def memory(desk: Desk, request: Request, tell: Tell) -> object:
    return desk.memory()


async def order(desk: Desk, request: Request, tell: Tell) -> object:
    """Tell how far it is while it runs; the answer is the job, ended unless `wait` is false."""
    kind, model = _KINDS.get(str(request.get("kind"))), request.get("model")
    if not isinstance(model, str) or not model:
        raise SeadragonError("Say which model: `model` must be its name.")
    if kind is None:
        raise SeadragonError(f"There is no such order. There is: {', '.join(_KINDS)}.")
    job = await desk.order(kind, model, **_options(kind, request))
    if request.get("wait", True):
        await _follow(job, tell)
    return job_document(job)


async def pause(desk: Desk, request: Request, tell: Tell) -> object:
    await desk.pause(**_which(request))
    return desk.queue()["paused"]


async def resume(desk: Desk, request: Request, tell: Tell) -> object:
    await desk.resume(**_which(request))
    return desk.queue()["paused"]


async def cancel(desk: Desk, request: Request, tell: Tell) -> object:
    number = request.get("number")
    if not isinstance(number, int) or isinstance(number, bool):
        raise SeadragonError("Say which request: `number` must be its number.")
    await desk.cancel(number)
    return {"number": number}


async def _follow(job: JobView, tell: Tell) -> None:
    said = ""
    while job.state == "running":
        if job.text != said:
            said = job.text
            await tell({"text": said})
        await job.wait(LOOK)


def _options(kind: Order, request: Request) -> dict[str, Any]:
    given = {name: request[name] for name in _OPTIONS[kind] if request.get(name) is not None}
    for name, value in given.items():
        allowed = _OPTIONS[kind][name]
        if value not in allowed and not (str in allowed and isinstance(value, str)):
            raise SeadragonError(f"`{name}` cannot be {value!r}. It may be: {', '.join(map(str, allowed))}.")
    return given


def _which(request: Request) -> dict[str, Any]:
    """The lane and the model that are meant. Raises SeadragonError for what is neither."""
    lane, model = request.get("lane"), request.get("model")
    if not (lane is None or (isinstance(lane, int | float) and not isinstance(lane, bool) and 0 <= lane <= 1000)):
        raise SeadragonError("`lane` must be a number from 0 to 1000.")
    if not (model is None or isinstance(model, str)):
        raise SeadragonError("`model` must be a model's name.")
    return {"lane": lane if lane is None else float(lane), "model": model}
