"""What becomes of an order is in the audit, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controller.desk import OPERATOR
from controller.errors import OrderRefused, SeadragonError
from controller.orders.carrying import audited


class Notes:
    """An audit that keeps what it is told."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str]] = []

    def note(self, what: str, *, target: str, outcome: str, **_: Any) -> None:
        self.kept.append((what, target, outcome))


async def done() -> tuple[str, str]:
    return "the one", "yes"


def failing(error: BaseException) -> Callable[[], Awaitable[tuple[str, str]]]:
    async def work() -> tuple[str, str]:
        raise error

    return work


async def test_what_is_done_is_noted_with_what_it_was_done_to() -> None:
    notes: Any = Notes()
    assert await audited(notes, "things.do", OPERATOR, {}, "one", done) == "yes"
    assert notes.kept == [("things.do", "the one", "done")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OrderRefused("No.", "conflict"), "refused"),
        (SeadragonError("It cannot be reached."), "failed"),
        (OSError("The disk is full."), "failed"),
        (asyncio.CancelledError(), "failed"),
    ],
)
async def test_what_is_not_done_is_noted_too_also_when_nobody_waits_for_it_any_more(
    error: BaseException, outcome: str
) -> None:
    notes: Any = Notes()
    with pytest.raises(type(error)):
        await audited(notes, "things.do", OPERATOR, {}, "one", failing(error))
    assert notes.kept == [("things.do", "one", outcome)]
