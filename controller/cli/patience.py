"""Asking a controller that may have been started only a moment ago, for what its engine may not be able to do yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from controller.cli.group import LOOK
from controller.cli.progress import progress
from controller.control import client
from controller.errors import NotRunning
from controller.machine import lock
from controller.paths import Paths

STARTING: Final = 15.0  # seconds a controller may take from its first step until it hears orders
ANSWERING: Final = 30.0  # seconds it may say nothing at all


def listen(paths: Paths, verb: str, *, limit: float | None = None, **arguments: object) -> Iterator[object]:
    """As `client.listen`; the first words of a controller that is just starting are waited for."""
    end = time.monotonic() + STARTING
    while True:
        try:
            yield from client.listen(paths.socket, verb, limit=limit, **arguments)
            return
        except NotRunning:  # before the first line, if at all
            if lock.holder(paths.data) is None or time.monotonic() > end:
                raise
        time.sleep(LOOK)


def ask(paths: Paths, verb: str, **arguments: object) -> Any:
    """The answer alone; what it waits for meanwhile is shown, and no part of the output. Raises as `client.listen`."""
    line: Any = None
    with progress(err=True) as show:
        for line in listen(paths, verb, limit=ANSWERING, follow=True, **arguments):
            if isinstance(line, dict) and "text" in line:
                show(str(line["text"]))
    return line
