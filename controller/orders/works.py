"""What is done about what runs: one function for each row of `orders/running.py`. Each returns its answer: a job where
the row says so, else JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from controller.desk import By, Desk, JobView
from controller.errors import SeadragonError
from controller.line_words import paused_seen

Work: TypeAlias = Callable[..., Awaitable[Any]]
"""Called with the desk, who orders, and the order's fields by name."""
W = TypeVar("W", bound=Work)
WORKS: Final[dict[str, Work]] = {}
"""By the name of the order."""


def does(name: str) -> Callable[[W], W]:
    """What carries out the order `name`."""

    def kept(work: W) -> W:
        WORKS[name] = work
        return work

    return kept


@does("models.load")
async def load(desk: Desk, by: By, *, model: str) -> JobView:
    return await desk.order("load", model)


@does("models.unload")
async def unload(desk: Desk, by: By, *, model: str) -> JobView:
    return await desk.order("unload", model)


@does("models.switch")
async def switch(desk: Desk, by: By, *, model: str, **how: str) -> JobView:
    return await desk.order("switch", model, **how)


@does("models.pin")
async def pin(desk: Desk, by: By, *, model: str, on: bool) -> JobView:
    return await desk.order("pin", model, on=on)


@does("queue.pause")
async def pause(desk: Desk, by: By, *, lane: float | None = None, model: str | None = None) -> list[str]:
    """What is paused afterwards."""
    await desk.pause(lane, model)
    return paused_seen(desk.queue()["paused"], by.sees)


@does("queue.resume")
async def resume(desk: Desk, by: By, *, lane: float | None = None, model: str | None = None) -> list[str]:
    """What is paused afterwards."""
    await desk.resume(lane, model)
    return paused_seen(desk.queue()["paused"], by.sees)


@does("queue.cancel")
async def cancel(desk: Desk, by: By, *, number: int) -> dict[str, int]:
    await desk.cancel(number, by.sees)
    return {"number": number}


@does("children.start")
async def start(desk: Desk, by: By, *, name: str) -> dict[str, Any]:
    await desk.start_child(child_called(desk, name))
    return _seen(desk, name)


@does("children.stop")
async def stop(desk: Desk, by: By, *, name: str) -> dict[str, Any]:
    await desk.stop_child(child_called(desk, name))
    return _seen(desk, name)


@does("children.restart")
async def restart(desk: Desk, by: By, *, name: str) -> dict[str, Any]:
    await desk.restart_child(child_called(desk, name))
    return _seen(desk, name)


@does("configuration.reload")
async def reload(desk: Desk, by: By) -> list[str]:
    """What changed, one sentence each."""
    return await desk.reload()


@does("storage.backup")
async def backup(desk: Desk, by: By, *, file: str | None = None) -> str:
    """Where the copy is."""
    return str(await desk.back_up(Path(file) if file is not None else None))


@does("controller.restart")
async def leave_children(desk: Desk, by: By) -> None:
    """Begins to leave; the next controller adopts the children."""
    desk.leave(keep_children=True)


@does("controller.down")
async def leave(desk: Desk, by: By) -> None:
    """Begins to leave, with the children."""
    desk.leave(keep_children=False)


def child_called(desk: Desk, name: str) -> str:
    """The child that is meant. Raises SeadragonError, naming the children there are."""
    names = [child.name for child in desk.children()]
    if name not in names:
        raise SeadragonError(f"There is no child called {name!r}. There is: {', '.join(names) or 'none'}.")
    return name


def _seen(desk: Desk, name: str) -> dict[str, Any]:
    """The child as it is afterwards."""
    return next(child.to_json() for child in desk.children() if child.name == name)
