"""What is said when an order is done: the words of its row, and more where there is more to say."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import click

from controller.cli.group import FAILED
from controller.cli.progress import progress
from controller.orders.row import Order, Way
from controller.plain import moment_words, printable

Teller = Callable[[Mapping[str, Any], Any], None]
"""Called with the order's fields and its answer."""
_WELL: Final = {"start": ("ready", "starting"), "stop": ("stopped",), "restart": ("ready", "starting")}
"""The states in which a child is as it was ordered to be."""


def tell(row: Order, way: Way, given: Mapping[str, Any], answer: Any) -> None:
    """The end of an order that is done at once."""
    if teller := TELLERS.get(row.name):
        teller(given, answer)
    else:
        words = {name: printable(str(value)) for name, value in {**given, **answer}.items()}
        click.echo(way.done.format_map(words))
    if isinstance(answer, dict):
        _tell_followed(answer, given.get("keep"))


def tell_json(found: Any) -> None:
    """For programs."""
    click.echo(json.dumps(found, indent=2))


def tell_job(lines: Iterable[Any]) -> None:
    """How far it is, and its end; leaves with the exit code of that."""
    with progress() as show:
        job = _end_of(lines, show)
    click.echo(printable(job["text"]), err=job["state"] == "failed")
    if job["touched"]:
        click.echo(f"Requests it touched, waiting or being answered: {job['touched']}.")
    if job["state"] == "failed":
        sys.exit(FAILED)


def _end_of(lines: Iterable[Any], show: Callable[[str], None]) -> Any:
    """The job itself, which comes last; each word before it is shown, once."""
    job: Any = {}
    said = ""
    for job in lines:
        if "state" not in job and job["text"] != said:
            said = job["text"]
            show(said)
    return job


def tell_child(order: str, child: Any) -> None:
    """How a child is after `order`; leaves with an exit code when that is not what was wanted."""
    click.echo(f"{child['name']} is {child['state']}. {child['reason']}".rstrip())
    if child["state"] not in _WELL[order]:
        sys.exit(FAILED)


def _tell_paused(given: Mapping[str, Any], paused: Any) -> None:
    words = ", ".join(map(printable, paused))
    click.echo(f"Paused: {words}. To go on: seadragon resume" if words else "Nothing is paused.")


def _tell_changes(given: Mapping[str, Any], changes: Any) -> None:
    for change in changes or ["The YAML is what runs already."]:
        click.echo(change)


def _tell_key(given: Mapping[str, Any], made: Any) -> None:
    click.echo(f"{made['key']}\n")
    click.echo(f"This is the key of {printable(made['name'])}. It is shown this once: copy it now.")
    click.echo("Set it as the API key (OPENAI_API_KEY, ANTHROPIC_API_KEY) of the application, or send the header")
    click.echo(f"  Authorization: Bearer {made['key']}")
    click.echo(f"To take it back: seadragon keys revoke {made['id']}")


def _tell_code(given: Mapping[str, Any], made: Any) -> None:
    click.echo(f"{made['code']}\n\nWithin 15 minutes, open one of these and type it in:")
    for link in made["links"]:
        click.echo(f"  {link}")
    _tell_caution(made)


def _tell_limits(given: Mapping[str, Any], user: Any) -> None:
    said = f"only {', '.join(user['models'])}" if user["models"] else "all models"
    lane = f", lane {user['lane']:g}" if user["lane"] is not None else ""
    click.echo(f"{printable(user['name'])} may use {printable(said)}{lane}.")


def _tell_entry(given: Mapping[str, Any], entry: Any) -> None:
    done = "is kept out" if entry["verdict"] == "deny" else "is let in"
    click.echo(f"{entry['cidr']} {done}. To undo it: seadragon allow remove {entry['id']}")


def _tell_invite(given: Mapping[str, Any], made: Any) -> None:
    _tell_link(made, f"{made['label']} joins until {moment_words(made['expires_at'], time.time())}")


def _tell_followed(told: Mapping[str, Any], keep: str | None) -> None:
    """What became of what somebody had given out, who may not give it any more."""
    for each in told.get("also_ended", ()):
        click.echo(f"Ended with it: {printable(each)}")
    for each in told.get("handed_over", ()):
        click.echo(f"{printable(str(keep))} answers for it now: {printable(each)}")


def _tell_link(made: Any, what: str) -> None:
    """The best link, also as a QR code where there is a terminal; then the others."""
    first, *others = made["links"]
    click.echo(f"{printable(what)} here. The link is shown this once:\n\n  {first}\n")
    for link in others:
        click.echo(f"  {link}")
    if sys.stdout.isatty() and not made.get("caution"):
        click.echo(_picture(first))
    _tell_caution(made)


def _tell_caution(made: Any) -> None:
    """Why a link would not work where it is sent, and what to set."""
    if caution := made.get("caution"):
        click.echo(f"\n{click.style(caution, fg='yellow')}")


def _picture(link: str) -> str:
    import segno

    drawn = io.StringIO()
    segno.make(link, error="m", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue()


TELLERS: Final[Mapping[str, Teller]] = {
    "queue.pause": _tell_paused,
    "queue.resume": _tell_paused,
    "children.start": lambda given, child: tell_child("start", child),
    "children.stop": lambda given, child: tell_child("stop", child),
    "configuration.reload": _tell_changes,
    "keys.create": _tell_key,
    "users.add": lambda given, made: _tell_link(made, f"{made['name']} sets a password"),
    "users.reset_link": lambda given, made: _tell_link(made, f"{made['name']} sets a new password"),
    "users.limit": _tell_limits,
    "users.admin_code": _tell_code,
    "invites.create": _tell_invite,
    "allow.add": _tell_entry,
}
"""By the name of the order: those of which there is more to say than a sentence."""
