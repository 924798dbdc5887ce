"""What every order has in common while it is carried out: it is in the audit afterwards, however it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from controller.desk import AuditView, By
from controller.errors import OrderRefused

T = TypeVar("T")


async def audited(
    audit: AuditView,
    name: str,
    by: By,
    fields: Mapping[str, Any],
    wanted: str,
    work: Callable[[], Awaitable[tuple[str, T]]],
) -> T:
    """What `work` answers, after what it says it was done to; `wanted` is what that is called when it does not come so
    far. Raises what `work` raises.
    """

    def note(target: str, outcome: str, facts: Mapping[str, object]) -> None:
        audit.note(name, actor=by.actor, target=target, outcome=outcome, peer=by.peer, request=by.request, facts=facts)

    try:
        target, answer = await work()
    except asyncio.CancelledError:
        note(wanted, "failed", {"why": "It was broken off: whoever ordered it has hung up, or the controller leaves."})
        raise
    except Exception as error:
        note(wanted, "refused" if isinstance(error, OrderRefused) else "failed", {"why": str(error)})
        raise
    note(target, "done", {field: value for field, value in fields.items() if value is not None})
    return answer
