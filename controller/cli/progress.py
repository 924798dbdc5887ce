"""How far something is, while one waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from controller.plain import printable


@contextmanager
def progress(*, err: bool = False) -> Iterator[Callable[[str], None]]:
    """What shows each word of it: on a terminal in one line that changes and is gone afterwards, elsewhere each in a
    line of its own. `err`: on the standard error.
    """
    if not (sys.stderr if err else sys.stdout).isatty():
        yield lambda words: click.echo(printable(words), err=err)
        return
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    status: Status | None = None

    def show(words: str) -> None:
        nonlocal status
        if status is None:
            status = Status(Text(printable(words)), console=Console(stderr=err))
            status.start()
        else:
            status.update(Text(printable(words)))

    try:
        yield show
    finally:
        if status is not None:
            status.stop()
