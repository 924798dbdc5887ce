"""Commands for the line and the models: models, switch, queue, pause, resume, cancel."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from controller.cli import patience
from controller.cli.group import FAILED, main, places
from controller.control import client
from controller.line_words import model_lines, queue_lines
from controller.paths import Paths
from controller.plain import printable

AGAIN = 1.0  # seconds between two looks of `queue --watch`
ANSWERING = 30.0  # seconds a question may take

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_no_wait = click.option("--no-wait", is_flag=True, help="Give the order, and do not wait for its end.")
_lane = click.option("--lane", type=click.FloatRange(0, 1000), help="Only this lane.")
_model = click.option("--model", help="Only this model.")


@main.group(invoke_without_command=True)
@places
@_as_json
def models(paths: Paths, as_json: bool) -> None:
    """What is installed and what is loaded; load, unload, pin and unpin it."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    installed = patience.ask(paths, "models")
    for line in [json.dumps(installed, indent=2)] if as_json else model_lines(installed, click.style):
        click.echo(line)


@models.command()
@places
@click.argument("name")
@_no_wait
def load(paths: Paths, name: str, no_wait: bool) -> None:
    """Load the model NAME; what is in its way leaves as soon as its answers are finished."""
    _order(paths, "load", name, wait=not no_wait)


@models.command()
@places
@click.argument("name")
@_no_wait
def unload(paths: Paths, name: str, no_wait: bool) -> None:
    """Unload the model NAME as soon as its answers are finished."""
    _order(paths, "unload", name, wait=not no_wait)


@models.command()
@places
@click.argument("name")
def pin(paths: Paths, name: str) -> None:
    """Keep the model NAME in memory, whatever else is wanted."""
    _order(paths, "pin", name, on=True)


@models.command()
@places
@click.argument("name")
def unpin(paths: Paths, name: str) -> None:
    """Let the model NAME leave again when its room is needed."""
    _order(paths, "pin", name, on=False)


@main.command()
@places
@click.argument("name", metavar="MODEL")
@click.option("--from", "from_", metavar="MODEL", help="The model that leaves; without: whatever is in the way.")
@click.option(
    "--waiting",
    type=click.Choice(["keep", "redirect", "refuse"]),
    default="keep",
    show_default=True,
    help="Who waits for the one that leaves waits on, gets the new one, or is told no.",
)
@click.option("--now", is_flag=True, help="Cut the answers it is writing, instead of letting them finish.")
@_no_wait
def switch(paths: Paths, name: str, from_: str | None, waiting: str, now: bool, no_wait: bool) -> None:
    """Put MODEL in the place of what is loaded."""
    when = "now" if now else "free"
    _order(paths, "switch", name, from_=from_, waiting=waiting, when=when, wait=not no_wait)


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
        for each in [json.dumps(line, indent=None if watch else 2)] if as_json else queue_lines(line, click.style):
            click.echo(each)
        if not watch:
            return
        time.sleep(AGAIN)


@main.command()
@places
@_lane
@_model
def pause(paths: Paths, lane: float | None, model: str | None) -> None:
    """Let nobody through until `resume`: those who wait keep their place. Answers that are being written go on."""
    _tell_paused(patience.ask(paths, "pause", lane=lane, model=model))


@main.command()
@places
@_lane
@_model
def resume(paths: Paths, lane: float | None, model: str | None) -> None:
    """Undo that `pause`; without an option, every pause."""
    _tell_paused(patience.ask(paths, "resume", lane=lane, model=model))


@main.command()
@places
@click.argument("number", type=click.IntRange(min=1))
def cancel(paths: Paths, number: int) -> None:
    """End the request NUMBER of `queue`, waiting or being answered; its client is told so."""
    client.ask(paths.socket, "cancel", number=number, limit=ANSWERING)
    click.echo(f"Request {number} has been ended.")


def _order(paths: Paths, kind: str, model: str, *, wait: bool = True, **options: Any) -> None:
    """Give the order, tell how far it is, and leave with the exit code of its end."""
    job: Any = {}
    said = ""
    for job in patience.listen(paths, "order", kind=kind, model=model, wait=wait, follow=wait, **options):
        if job["text"] != said:
            said = job["text"]
            click.echo(printable(said), err=job.get("state") == "failed")
    if job["touched"]:
        click.echo(f"Requests it touched, waiting or being answered: {job['touched']}.")
    if job["state"] == "failed":
        sys.exit(FAILED)


def _tell_paused(paused: Any) -> None:
    words = ", ".join(map(printable, paused))
    click.echo(f"Paused: {words}. To go on: seadragon resume" if words else "Nothing is paused.")
