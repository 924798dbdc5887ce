"""The group that all commands belong to, and what they have in common."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from controller.errors import NotRunning, SeadragonError
from controller.machine import lock
from controller.paths import Paths, settle_home
from controller.plain import fault_words

FAILED, NOBODY, INTERRUPTED = 1, 3, 130
LOOK = 0.2  # seconds between two looks at a file or a process, which cannot be waited for
NEED_IT = (
    *("status", "down", "restart", "start", "stop", "reload", "demo"),
    *("models", "switch", "queue", "pause", "resume", "cancel"),
    *("admin-code", "users", "invites", "keys", "allow", "audit", "usage"),
)


class Commands(click.Group):
    """Says an error of ours in its own words, and gives it its exit code."""

    def invoke(self, context: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            context.color = False
        try:
            return super().invoke(context)
        except SeadragonError as error:
            click.echo(str(error), err=True)
            context.exit(NOBODY if isinstance(error, NotRunning) else FAILED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read along, `head` say, has left: click ends quietly
                raise
            click.echo(f"{fault_words(error)}. {_remedy(error)}".rstrip(), err=True)
            context.exit(FAILED)
        except KeyboardInterrupt:  # somebody has seen enough of a log
            context.exit(INTERRUPTED)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Those that work at any time, then those that speak to a running Seadragon."""
        names = self.list_commands(context)
        for title, part in (
            ("At any time", [name for name in names if name not in NEED_IT]),
            ("While it runs", [name for name in names if name in NEED_IT]),
        ):
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(110)) for name in part])


def _remedy(error: OSError) -> str:
    return "Run this as the user Seadragon runs as." if isinstance(error, PermissionError) else ""


def _holder(paths: Paths) -> lock.LockHolder | None:
    """Who runs here, whether or not they can be asked."""
    try:
        return lock.holder(paths.data)
    except OSError:
        return None


def _tell_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        context.invoke(version)
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_tell_version,
    help="Tell it, and leave.",
)
def main() -> None:
    """Seadragon: a family's own LLM server."""


def places(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command the folders it works on."""

    @click.option("--config", metavar="DIR", help="Folder of the YAML files.  [SEADRAGON_CONFIG]")
    @click.option("--data", metavar="DIR", help="Folder of what must survive.  [SEADRAGON_DATA]")
    @click.option("--logs", metavar="DIR", help="Folder of the logs.  [SEADRAGON_LOGS]")
    @wraps(command)
    def with_paths(config: str | None, data: str | None, logs: str | None, **options: Any) -> None:
        group = click.get_current_context().parent
        above = {} if group is None else group.params  # `models --data X load NAME` is `models load NAME --data X`
        given = {"config": config, "data": data, "logs": logs}
        settle_home(os.environ)
        paths = Paths.chosen(os.environ, **{name: value or above.get(name) for name, value in given.items()})
        settle_home(os.environ, otherwise=paths.data)
        try:
            command(paths, **options)
        except NotRunning:
            if (holder := _holder(paths)) is None:
                raise
            raise SeadragonError(
                f"Seadragon runs (process {holder.pid}), and cannot be asked just now: it is starting or leaving, or "
                f"somebody has deleted {paths.socket}, which it makes anew within a minute. Try again in a moment."
            ) from None

    return with_paths


@main.command()
def version() -> None:
    """Which version this is."""
    from importlib.metadata import version as installed

    click.echo(f"seadragon {installed('seadragon')}")
