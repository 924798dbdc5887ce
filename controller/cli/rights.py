"""Commands that look at rights, and at what was done and used: users, invites, keys, allow, audit, usage."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from controller import rights_words as words
from controller.cli.group import FAILED, main, places
from controller.cli.ordering import ANSWERING, Span
from controller.cli.tables import draw
from controller.cli.told import tell_json
from controller.control import client
from controller.listing import Listing
from controller.paths import Paths
from controller.usage import GROUPINGS

VERIFYING: Final = 600.0  # seconds a look at all of the audit may take
Drawn = Callable[[Sequence[Any], float], Listing]

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_since = click.option("--since", type=Span(), metavar="SPAN", help="Only the last SPAN, such as 2h or 7d.")


def _group(view: str, help: str, table: Drawn) -> click.Group:
    """A group that lists what it is about, by itself and as `list`; orders are added to it."""

    def listed(paths: Paths, as_json: bool) -> None:
        found: Any = client.ask(paths.socket, view, limit=ANSWERING)
        _tell(found, as_json, table(found, time.time()))

    @main.group(view, invoke_without_command=True, help=help)
    @places
    @_as_json
    def group(paths: Paths, as_json: bool) -> None:
        if click.get_current_context().invoked_subcommand is None:
            listed(paths, as_json)

    first = help.partition(";")[0].rstrip(".")
    group.command("list", help=f"{first}.")(places(_as_json(listed)))
    return group


GROUPS: Final = {
    "users": _group("users", "Who may sign in; add them, give roles, end their sessions.", words.user_table),
    "invites": _group("invites", "Who was invited; invite somebody, take it back.", words.invite_table),
    "keys": _group("keys", "The keys of applications; make, change, pause and revoke them.", words.key_table),
    "allow": _group("allow", "Which addresses need no key; let one in, or keep it out.", words.allow_table),
}


@main.command()
@places
@_since
@click.option("--who", help="Only what this one did.")
@click.option("--what", help="Only deeds that begin so, such as keys. or login.")
@click.option("-n", "--count", type=click.IntRange(1, 10000), default=50, show_default=True, help="At most so many.")
@click.option("--verify", is_flag=True, help="Look whether it is as it was written.")
@_as_json
def audit(
    paths: Paths, since: float | None, who: str | None, what: str | None, count: int, verify: bool, as_json: bool
) -> None:
    """Who did what, and what was refused."""
    if verify:
        verdict: Any = client.ask(paths.socket, "verify", limit=VERIFYING)
        click.echo(json.dumps(verdict, indent=2) if as_json else words.verdict_line(verdict))
        if verdict["broken"] is not None:
            sys.exit(FAILED)
        return
    now = time.time()
    rows: Any = client.ask(
        paths.socket, "audit", limit=ANSWERING, since=_from(since, now), actor=who, what=what, count=count
    )
    _tell(rows, as_json, words.audit_table(rows, now))


@main.command()
@places
@_since
@click.option("--by", type=click.Choice(GROUPINGS), default="caller", show_default=True, help="What is summed up.")
@click.option("--requests", type=click.IntRange(1, 10000), metavar="N", help="The last N requests, as JSON.")
@_as_json
def usage(paths: Paths, since: float | None, by: str, requests: int | None, as_json: bool) -> None:
    """Who used how much, of which model, when."""
    start = _from(since, time.time())
    if requests is not None:
        return tell_json(client.ask(paths.socket, "usage", limit=ANSWERING, since=start, count=requests))
    sums: Any = client.ask(paths.socket, "usage", limit=ANSWERING, since=start, by=by)
    _tell(sums, as_json, words.sum_table(by, sums))


def _tell(found: Any, as_json: bool, table: Listing) -> None:
    return tell_json(found) if as_json else draw(table)


def _from(since: float | None, now: float) -> float:
    return 0.0 if since is None else now - since
