"""Commands that look at the line and the models: models, queue."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from controller.cli import patience
from controller.cli.group import main, places
from controller.cli.tables import draw
from controller.cli.told import tell_json
from controller.control import client
from controller.line_words import line_words, model_table, queue_table
from controller.paths import Paths

AGAIN = 1.0  # seconds between two looks of `queue --watch`
ANSWERING = 30.0  # seconds a question may take

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@main.group(invoke_without_command=True)
@places
@_as_json
def models(paths: Paths, as_json: bool) -> None:
    """What is installed and what is loaded; load, unload, pin and unpin it."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    installed = patience.ask(paths, "models")
    if as_json:
        tell_json(installed)
    else:
        draw(model_table(installed))


@main.command()
@places
@_as_json
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
def queue(paths: Paths, as_json: bool, watch: bool) -> None:
    """Who waits for what, how long, and why."""
    while True:
        line: Any = client.ask(paths.socket, "queue", limit=ANSWERING)
        if watch and not as_json:
            click.clear()
        if as_json:
            click.echo(json.dumps(line, indent=None if watch else 2))
        else:
            table = queue_table(line)
            click.echo(f"The line: {line_words(line)}")
            if table.rows:
                click.echo()
                draw(table)
        if not watch:
            return
        time.sleep(AGAIN)
