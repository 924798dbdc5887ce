"""Where every order comes in, whoever gives it and however: checked against its row, carried out, noted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.desk import By, Desk
from controller.errors import OrderRefused
from controller.orders.carrying import audited
from controller.orders.fields import read
from controller.orders.row import Order
from controller.orders.table import order_called
from controller.orders.works import WORKS


async def give(desk: Desk, name: str, by: By, given: Mapping[str, Any]) -> Any:
    """Carry out the order `name` with these fields; what comes of it, a `JobView` where its row says so. It is in the
    audit afterwards, however it ended. The right to it is asked before, by who lets `by` in.

    Raises SeadragonError, also for what is no order, and OrderRefused.
    """
    row = order_called(name)
    if row.touches == "rights":
        return await desk.office.order(name, by, **given)
    fields = read(name, row.fields, given)
    target = row.target(fields)

    async def work() -> tuple[str, Any]:
        _exist(desk, row, fields, by)
        return target, await WORKS[name](desk, by, **fields)

    return await audited(desk.audit, name, by, fields, target, work)


def _exist(desk: Desk, row: Order, fields: Mapping[str, Any], by: By) -> None:
    """Raises OrderRefused for a model that does not exist for who orders: word for word as for one that is nowhere."""
    for field in row.fields:
        model = fields.get(field.name) if field.model else None
        if model is not None and not by.sees(desk.meant(model)):
            raise OrderRefused(f"There is no model {model}.", "unknown")
