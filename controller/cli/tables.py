"""How a table is drawn: as wide as the terminal, with everything in it; elsewhere one line for each row."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import click

from controller.listing import Listing
from controller.plain import printable

_WIDE: Final = 10_000  # columns of what is no terminal: a program reads lines


def draw(listing: Listing) -> None:
    """On the standard output."""
    if not listing.rows:
        return click.echo(listing.none) if listing.none else None
    for line in lines(listing, shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE):
        click.echo(line)


def lines(listing: Listing, width: int) -> list[str]:
    """The lines of the table, coloured; what is too long for `width` columns goes on below."""
    from rich.console import Console  # takes as long to import as all our own
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in listing.head:
        table.add_column(name, justify="right" if name in listing.numbers else "left", overflow="fold")
    for row, colour in zip(listing.rows, listing.colours, strict=True):
        styles = [colour or "" if place == listing.coloured else "" for place in range(len(row))]
        table.add_row(
            *(Text(printable(cell).replace("\t", " "), style) for cell, style in zip(row, styles, strict=True))
        )
    console = Console(width=width, force_terminal=True, color_system="standard", highlight=False, legacy_windows=False)
    with console.capture() as drawn:
        console.print(table)
    return [line.rstrip() for line in drawn.get().rstrip("\n").split("\n")]
