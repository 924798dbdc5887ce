"""Commands about copies of the database: backup, restore."""

from __future__ import annotations

import time
from pathlib import Path

import click

from controller.cli.group import main, places
from controller.errors import AlreadyRunning, NotRunning, SeadragonError
from controller.machine.ownership import as_owner_of
from controller.paths import Paths

_FILE = click.Path(path_type=Path, dir_okay=False)


@main.command()
@places
@click.argument("file", type=_FILE, required=False)
def backup(paths: Paths, file: Path | None) -> None:
    """Copy the database to FILE, also while Seadragon runs. Without FILE: into data/backups."""
    from controller.control import client
    from controller.plain import size_words
    from controller.storage.backup import by_hand
    from controller.storage.file import NAME

    target = file.absolute() if file else None
    try:  # the running controller makes it: so it is whose the data is
        made = Path(str(client.ask(paths.socket, "backup", file=str(target) if target else None)))
    except NotRunning:
        with as_owner_of(paths.data):
            made = by_hand(paths.data / NAME, time.time(), target)
    click.echo(f"Copied to {made} ({size_words(made.stat().st_size)}). Whoever has it can read it: keep it safe.")


@main.command()
@places
@click.argument("file", type=_FILE)
@click.option("--everything", is_flag=True, help="Also what was taken back since: keys, people, invites, addresses.")
def restore(paths: Paths, file: Path, everything: bool) -> None:
    """Put the copy FILE back as the database. Seadragon must be stopped; what is replaced is kept."""
    from controller.machine import lock
    from controller.machine.socketpath import private_folder
    from controller.storage import restore as storage
    from controller.storage.barred import NAME as BARRED
    from controller.storage.barred import BarredFile
    from controller.storage.file import NAME

    now = time.time()
    try:
        with as_owner_of(paths.data):
            private_folder(paths.data)
        with as_owner_of(paths.data), lock.held(paths.data, now):
            aside = storage.restore(file.absolute(), paths.data / NAME, now)
            if everything:
                BarredFile(paths.data / BARRED).forget()
    except AlreadyRunning:
        raise SeadragonError(
            "Seadragon runs, and would write over it. Stop it first: seadragon down. Where it starts with the machine: "
            "seadragon uninstall, and install again afterwards."
        ) from None
    click.echo(f"{file} is the database now.{f' The one before is kept as {aside}.' if aside else ''}")
    if everything:
        click.echo("What was taken back since that copy was made is back too: look at keys, people and allow.")
    else:
        click.echo(
            "What was refused since that copy was made stays so: keys and invites that were taken back, addresses "
            "that are kept out, and people, who are back but shut out (seadragon users enable lets them in)."
        )
