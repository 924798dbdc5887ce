"""Every view by its name, as somebody may see it. The right to look is asked before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from controller.desk import Desk
from controller.usage import Grouping
from controller.views.running import memory_seen, models_seen, queue_seen
from controller.views.status import facts, status
from controller.views.viewer import Onlooker


async def models(desk: Desk, who: Onlooker) -> list[dict[str, Any]]:
    """Raises Unreachable when nobody has ever told them."""
    return models_seen(await desk.models(), who)


async def queue(desk: Desk, who: Onlooker) -> dict[str, Any]:
    """The line."""
    return queue_seen(desk.queue(), who)


async def memory(desk: Desk, who: Onlooker) -> dict[str, Any]:
    """The memory."""
    return memory_seen(desk.memory(), who)


async def usage(
    desk: Desk,
    who: Onlooker,
    *,
    by: Grouping | None = "day",
    since: float = 0.0,
    only: Mapping[str, str] | None = None,
    requests: int | None = None,
) -> list[dict[str, Any]]:
    """Sums `by` something, or the last `requests` one by one, of those since `since` (seconds since the epoch); without
    models that do not exist for `who` any more.
    """
    if requests is not None or by is None:
        found = await desk.usage.requests(since, only, requests or 100)
    else:
        found = await desk.usage.sums(by, since, only)
    return [each for each in found if "model" not in each or who.sees(each["model"])]


async def audit(desk: Desk, who: Onlooker, **which: Any) -> list[dict[str, Any]]:
    """The last rows that fit, newest first."""
    return await desk.audit.rows(**which)


async def verdict(desk: Desk, who: Onlooker) -> dict[str, Any]:
    """Whether the audit is as it was written."""
    return asdict(await desk.audit.verify())


def _listed(what: str) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    async def listed(desk: Desk, who: Onlooker) -> list[dict[str, Any]]:
        return await desk.office.shown.listed(what)

    return listed


async def _status(desk: Desk, who: Onlooker) -> dict[str, Any]:
    return status(desk)


async def _facts(desk: Desk, who: Onlooker) -> dict[str, Any]:
    return facts(desk)


SHOWN: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "status": _status,
    "facts": _facts,
    "models": models,
    "queue": queue,
    "memory": memory,
    "usage": usage,
    "audit": audit,
    "verify": verdict,
    **{what: _listed(what) for what in ("keys", "users", "invites", "allow")},
}
"""Called with the desk, who looks, and what is asked for by name."""
