"""Commands for the way in from outside: tunnel import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.group import main, places
from controller.errors import SeadragonError
from controller.machine.ownership import as_owner_of
from controller.paths import Paths

if TYPE_CHECKING:
    from controller.config.foreign_tunnel import ForeignTunnel
    from controller.config.schema import Config

_USUAL = ("~/.cloudflared/config.yml", "~/.cloudflared/config.yaml", "/etc/cloudflared/config.yml")


@main.group()
def tunnel() -> None:
    """The way in from the internet."""


@tunnel.command("import")
@places
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--hostname", multiple=True, metavar="NAME", help="Take this name too, though it leads elsewhere now.")
@click.option("--write", is_flag=True, help="Put the lines into server.yaml, instead of printing them.")
def tunnel_import(paths: Paths, file: Path | None, hostname: tuple[str, ...], write: bool) -> None:
    """Read the configuration FILE of a cloudflared of yours (~/.cloudflared/config.yml), and say it in our words.

    FILE itself is only read.
    """
    from controller.config import document, foreign_tunnel
    from controller.config.load import load

    config = load(paths.config, os.environ).config
    source = file or _usual()
    found = foreign_tunnel.understand(document.read(source.read_bytes(), source, "tunnel"))
    names = tuple(dict.fromkeys([*found.leading_to(_ours(config, paths)), *(each.lower() for each in hostname)]))
    _tell_left_out(found, names)
    if not names:
        raise SeadragonError(
            "None of its names leads to Seadragon. Say which one shall, with --hostname NAME, or lead one to "
            f"{config.server.listeners[0].address}."
        )
    if write:
        _write(paths.config / "server.yaml", found, names)
        click.echo("Saved in server.yaml. A running Seadragon starts the tunnel now.")
        click.echo("The cloudflared that ran until now must be stopped: sudo cloudflared service uninstall")
    else:
        click.echo(foreign_tunnel.block(foreign_tunnel.settings(found, names)), nl=False)


def _usual() -> Path:
    for each in map(Path, _USUAL):
        if each.expanduser().is_file():
            return each.expanduser()
    raise SeadragonError(f"There is no {_USUAL[0]}. Name the file: seadragon tunnel import FILE")


def _ours(config: Config, paths: Paths) -> list[str]:
    from controller import wanted
    from controller.config.foreign_tunnel import services_of

    given = [each.address for each in wanted.listeners(config, paths.run)]
    return services_of(dict.fromkeys([*given, wanted.origin(config, paths.run)]))


def _tell_left_out(found: ForeignTunnel, names: tuple[str, ...]) -> None:
    for name, service in found.services.items():
        if name not in names:
            click.echo(f"Left out: {name}, which leads to {service}.", err=True)
    for name, title in found.to_engines().items():
        said = f"{name} leads straight to {title}, which asks nobody for a key: take it out there, or bring it here "
        click.echo(
            f"{said}with --hostname {name}." if name not in names else f"{name} led to {title} itself.", err=True
        )


def _write(file: Path, found: ForeignTunnel, names: tuple[str, ...]) -> None:
    """Raises SeadragonError for a result that would not say what is meant; the file is then as it was."""
    from controller.config import document, foreign_tunnel
    from controller.config.load import load, read_texts, understand

    folder = file.parent
    texts = read_texts(folder)
    text = texts.get(file.name, b"").decode()
    lines = foreign_tunnel.settings(found, names)
    new = foreign_tunnel.put_in(document.read(text.encode(), file, "server"), text, lines)
    read = understand({**texts, file.name: new.encode()}, folder, os.environ).config
    before = load(folder, os.environ).config
    rest = {"tunnel": before.server.tunnel}
    if not foreign_tunnel.agrees(read, found, names) or read.server.model_copy(update=rest) != before.server:
        block = foreign_tunnel.block(lines)
        raise SeadragonError(
            f"{file} is laid out in a way that is better edited by hand. These are the lines:\n{block}"
        )
    draft = file.with_suffix(".new")
    with as_owner_of(folder):
        draft.write_text(new)
        draft.chmod(file.stat().st_mode & 0o777 if file.exists() else 0o600)
        draft.replace(file)
