"""Commands that set it up: demo, config, install, uninstall."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from controller.cli import patience
from controller.cli.group import LOOK, main, places
from controller.control import client
from controller.errors import SeadragonError
from controller.paths import Paths

if TYPE_CHECKING:
    from controller.install import Unit

PLATFORM = sys.platform
FIRST_WORDS = 60.0  # seconds a service that was just started may take to answer
NO_WORDS = "It was started, and does not answer. See what it says: tail -20 {}, and what is amiss: seadragon doctor"


@main.command()
@places
def demo(paths: Paths) -> None:
    """Make a tiny model, here and now, without internet: the first answer comes at once."""
    seen = patience.ask(paths, "engine")
    from controller.demo.create import ENGINE, create_demo, invitation, left_words

    engine = seen["children"][ENGINE]
    left = create_demo(engine["url"])
    direct = (listener["url"] for listener in seen["listeners"] if listener.get("kind") == "direct")
    click.echo(invitation(next(direct, engine["url"])))
    click.echo(left_words(left), nl=False)


@main.group()
def config() -> None:
    """The YAML."""


@config.command("check")
@places
def config_check(paths: Paths) -> None:
    """Read it and say every mistake at once, each with its place."""
    from controller.config.check import check

    lines, code = check(paths.config, os.environ)
    for line in lines:
        click.echo(line, err=code != 0)
    sys.exit(code)


@main.command()
@places
@click.option("--print", "only_print", is_flag=True, help="Only show what would be written.")
@click.option("--agent", is_flag=True, help="macOS: start when you log in, not with the machine; see docs/mac.md.")
def install(paths: Paths, only_print: bool, agent: bool) -> None:
    """Start with the machine and keep running, by launchd or systemd."""
    import asyncio

    from controller import install as service
    from controller.config.load import load
    from controller.engines.rules import folders_of
    from controller.supervision.tools import run_tool

    config = load(paths.config, os.environ).config
    person = service.person(os.environ)
    place = service.place_of(
        person, config=paths.config, data=paths.data, logs=paths.logs, server=config.server, agent=agent
    )
    unit = service.unit_for(place, PLATFORM)
    if only_print:
        click.echo(f"{unit.file}:\n\n{unit.text}")
        return
    _refuse_a_second(unit, unit_of(paths))
    if PLATFORM == "darwin":
        for line in (line for folder in folders_of(config, place.home) for line in service.concerns(place, folder)):
            click.echo(line)
    asyncio.run(service.install(unit, place, run_tool, click.echo))
    _await_first_words(paths)
    when = "you are logged in" if agent else "this machine runs"
    click.echo(f"Installed as {unit.file}. It runs now, and whenever {when}. See: seadragon status")


def _refuse_a_second(wanted: Unit, there: Unit) -> None:
    """A daemon and an agent at once would take turns at failing."""
    if there.file != wanted.file and there.file.exists():
        how = "sudo seadragon uninstall" if there.by_root else "seadragon uninstall"
        raise SeadragonError(f"It is installed already, as {there.file}. First: {how}")


def _await_first_words(paths: Paths) -> None:
    """Until it answers. Raises SeadragonError when it does not: what was started need not run."""
    end = time.monotonic() + FIRST_WORDS
    while True:
        try:
            client.status(paths.socket)
            return
        except SeadragonError:
            if time.monotonic() > end:
                raise SeadragonError(NO_WORDS.format(paths.logs / "boot.log")) from None
        time.sleep(LOOK)


@main.command()
@places
@click.option("--print", "only_print", is_flag=True, help="Only show what would be removed.")
def uninstall(paths: Paths, only_print: bool) -> None:
    """Undo `install`: stop it and remove it from the machine's start. Settings, models and logs stay."""
    import asyncio

    from controller import install as service
    from controller.supervision.tools import run_tool

    unit = unit_of(paths)
    if only_print:
        click.echo(str(unit.file))
        return
    asyncio.run(service.uninstall(unit, run_tool, click.echo))
    click.echo(f"{unit.file} is gone, and Seadragon with it. Start it by hand with: seadragon up")


def unit_of(paths: Paths) -> Unit:
    """What is installed for these folders; its text is of no interest, but how long it may take to stop is."""
    from controller import install as service
    from controller.config.load import load
    from controller.config.problem import ConfigInvalid
    from controller.config.schema import Server

    try:
        server = load(paths.config, os.environ).config.server
    except ConfigInvalid:
        server = Server()
    person = service.person(os.environ)
    place = service.place_of(person, config=paths.config, data=paths.data, logs=paths.logs, server=server)
    return service.unit_for(service.installed(place), PLATFORM)
