"""All orders by name. To add one: a row, a function that carries it out, a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controller.errors import SeadragonError
from controller.orders import rights, running
from controller.orders.row import Order, Way

ORDERS: Final[Mapping[str, Order]] = {row.name: row for row in (*running.ROWS, *rights.ROWS)}
COMMANDS: Final[Mapping[str, tuple[Order, Way]]] = {
    way.command: (row, way) for row in ORDERS.values() for way in row.ways if way.command
}
"""By the command of the terminal: the order that it gives, and how."""
BUTTONS: Final[Mapping[str, tuple[Order, Way]]] = {
    way.button: (row, way) for row in ORDERS.values() for way in row.ways if way.button
}
"""By the name of the first page's button."""


def order_called(name: object) -> Order:
    """The row. Raises SeadragonError for what is no order."""
    if isinstance(name, str) and name in ORDERS:
        return ORDERS[name]
    raise SeadragonError(f"There is no such order. There is: {', '.join(ORDERS)}.")
