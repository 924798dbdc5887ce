"""Commands for the controller and its children: up, down, restart, start, stop, reload, status."""

from __future__ import annotations

import json
import sys
import time

import click

from controller.cli.group import LOOK, main, places
from controller.cli.setting_up import unit_of
from controller.cli.told import tell_child
from controller.control import client
from controller.errors import NotRunning, SeadragonError
from controller.machine import lock
from controller.paths import Paths

LEAVING = 300.0  # seconds `down` and `restart` wait: longer than any drain


@main.command()
@places
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the first direct listener, instead of the YAML's.")
@click.option("--service", is_flag=True, help="A service manager runs this: stay up even when the YAML is broken.")
def up(paths: Paths, port: int | None, service: bool) -> None:
    """Start, and serve until Ctrl-C."""
    from controller.app import run

    sys.exit(run(paths, port, service))


@main.command()
@places
def down(paths: Paths) -> None:
    """Finish the answers in flight, stop everything, leave."""
    pid = int(str(client.status(paths.socket)["pid"]))
    if _follow_out(paths, "down") and not _unit_halted(paths):
        click.echo("To stop Seadragon too: sudo seadragon down. To start what it ran again: seadragon restart")
        return
    _until_gone(paths, pid)
    click.echo("Seadragon has left.")


@main.command()
@places
@click.argument("name", required=False)
def restart(paths: Paths, name: str | None) -> None:
    """Restart the child NAME; without NAME the controller itself, under which its children keep running."""
    if name is not None:
        tell_child("restart", client.ask(paths.socket, "restart", name=name))
        return
    before = client.status(paths.socket)["started_at"]
    _follow_out(paths, "restart")
    after = _next_controller(paths, before)
    click.echo(f"Seadragon {after['version']} runs again, process {after['pid']}.")


@main.command()
@places
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(paths: Paths, as_json: bool) -> None:
    """How it is doing; says so when it is not running."""
    from controller.status_words import status_lines

    seen = client.status(paths.socket)
    lines = [json.dumps(seen, indent=2)] if as_json else status_lines(seen, time.time(), click.style)
    for line in lines:
        click.echo(line)


def _follow_out(paths: Paths, verb: str) -> bool:
    """Give the order to leave and show what happens. True: the controller is still there and says that it stays."""
    try:
        for line in client.listen(paths.socket, verb, limit=LEAVING):
            if isinstance(line, dict) and line.get("stays"):
                return True
            if isinstance(line, dict):
                click.echo(f"{line.get('source')}: {line.get('text')}")
    except client.Left:
        pass
    return False


def _unit_halted(paths: Paths) -> bool:
    import asyncio

    from controller import install as service
    from controller.supervision.tools import run_tool

    try:
        unit = unit_of(paths)
    except SeadragonError:  # nobody could have installed one here
        return False
    return asyncio.run(service.halt(unit, run_tool, click.echo))


def _until_gone(paths: Paths, pid: int) -> None:
    """Until its lock is free, which is the last thing that happens: the next `up` may come."""
    end = time.monotonic() + LEAVING
    while (holder := lock.holder(paths.data)) is not None and holder.pid == pid:
        if time.monotonic() > end:
            raise SeadragonError(f"Process {pid} is still there. Look at: seadragon logs")
        time.sleep(LOOK)


def _next_controller(paths: Paths, before: object) -> dict[str, object]:
    """How the one that comes next is doing. Raises NotRunning when none comes."""
    deadline = time.monotonic() + LEAVING
    while True:
        try:
            seen = client.status(paths.socket)
            if seen["started_at"] != before:
                return seen
        except SeadragonError:
            if time.monotonic() > deadline:
                raise NotRunning("It left, and no new one came. Start it with: seadragon up") from None
        time.sleep(LOOK)
