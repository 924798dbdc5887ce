"""Commands about rights: admin-code, users, invites, keys, allow, audit, usage."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from controller import rights_words as words
from controller.cli.group import FAILED, main, places
from controller.control import client
from controller.paths import Paths
from controller.plain import Style, moment_words, printable
from controller.usage import GROUPINGS

ANSWERING = 30.0  # seconds an order may take
VERIFYING = 600.0  # … and a look at all of the audit


class Span(click.ParamType[float]):
    """A duration: 90s, 2h, 30d."""

    name = "duration"

    def convert(self, value: Any, option: click.Parameter | None, context: click.Context | None) -> float:
        from controller.config.units import seconds  # pydantic is slow to import

        try:
            return float(str(seconds(value)))
        except ValueError as error:
            self.fail(f"{value!r} is not {error}.", option, context)


_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_since = click.option("--since", type=Span(), metavar="SPAN", help="Only the last SPAN, such as 2h or 7d.")
_lasts = click.option("--for", "lasts", type=Span(), metavar="SPAN", help="It ends after SPAN, such as 72h or 90d.")
_lane = click.option("--lane", type=click.FloatRange(0, 1000), help="Priority; lower goes sooner.")
_scopes = click.option("--may", "scopes", multiple=True, metavar="RIGHT", help="infer, embed, audio, list, manage …")
_keep = click.option(
    "--keep",
    metavar="NAME",
    help="What was given out with this right (invites, links, keys, addresses) goes to the admin NAME; else it ends.",
)
_models = click.option("--model", "models", multiple=True, metavar="PATTERN", help="Only these models, * for anything.")


@main.command("admin-code")
@places
@_as_json
def admin_code(paths: Paths, as_json: bool) -> None:
    """Make the code that makes somebody an admin, good for a quarter of an hour."""
    made = _order(paths, "users.admin_code")
    if as_json:
        return _tell_json(made)
    click.echo(f"{made['code']}\n\nWithin 15 minutes, open one of these and type it in:")
    for link in made["links"]:
        click.echo(f"  {link}")
    _tell_caution(made)


# --- people ---


@main.group(invoke_without_command=True)
@places
@_as_json
def users(paths: Paths, as_json: bool) -> None:
    """Who may sign in; add them, give roles, end their sessions."""
    _list(paths, "users", as_json, words.user_lines)


@users.command("list")
@places
@_as_json
def users_list(paths: Paths, as_json: bool) -> None:
    """Who may sign in."""
    _list(paths, "users", as_json, words.user_lines)


@users.command("add")
@places
@click.argument("name")
@click.option("--role", type=click.Choice(["child", "member", "admin"]), default="member", show_default=True)
@_as_json
def users_add(paths: Paths, name: str, role: str, as_json: bool) -> None:
    """Add NAME, and make the link by which they set their password."""
    _tell_link(_order(paths, "users.add", name=name, role=role), as_json, f"{name} sets a password")


@users.command("role")
@places
@click.argument("name")
@click.argument("role", type=click.Choice(["child", "member", "admin"]))
@_keep
def users_role(paths: Paths, name: str, role: str, keep: str | None) -> None:
    """Give NAME the role ROLE."""
    user = _order(paths, "users.role", user=name, role=role, keep=keep)
    click.echo(f"{printable(user['name'])} is {user['role']} now.")
    _tell_followed(user, keep)


@users.command("rename")
@places
@click.argument("name")
@click.argument("new")
def users_rename(paths: Paths, name: str, new: str) -> None:
    """Call NAME by the name NEW, with which they sign in from then on."""
    user = _order(paths, "users.rename", user=name, name=new)
    click.echo(f"{printable(name)} is called {printable(user['name'])} now.")


@users.command("limit")
@places
@click.argument("name")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only these models; * stands for anything.")
@click.option("--lane", type=click.FloatRange(0, 1000), help="Who goes first; lower goes sooner.")
@click.option("--per-minute", type=click.IntRange(1), help="Requests a minute.")
@click.option("--running", type=click.IntRange(1), help="Answers at a time.")
@click.option("--waiting", type=click.IntRange(1), help="Requests in the line at a time.")
def users_limit(paths: Paths, name: str, **limits: Any) -> None:
    """Set what NAME may have, all at once: what you leave out is as for everybody."""
    user = _order(paths, "users.limit", user=name, **limits)
    said = f"only {', '.join(user['models'])}" if user["models"] else "all models"
    lane = f", lane {user['lane']:g}" if user["lane"] is not None else ""
    click.echo(f"{printable(user['name'])} may use {printable(said)}{lane}.")


def _shut(order: str, told: str, help: str) -> None:
    @users.command(order, help=help)
    @places
    @click.argument("name")
    @_keep
    def shut(paths: Paths, name: str, keep: str | None) -> None:
        user = _order(paths, f"users.{order}", user=name, keep=keep)
        click.echo(told.format(name=printable(user["name"])))
        _tell_followed(user, keep)


def _switch(order: str, told: str, help: str) -> None:
    @users.command(order.replace("_", "-"), help=help)
    @places
    @click.argument("name")
    def switch(paths: Paths, name: str) -> None:
        user = _order(paths, f"users.{order}", user=name)
        click.echo(told.format(name=printable(user["name"]), ended=user.get("ended")))


_shut("disable", "{name} is shut out, signed out everywhere, and so are their keys.", "Shut NAME out.")
_switch("enable", "{name} may come in again.", "Let NAME in again.")
_shut("delete", "{name} is gone, with sessions and keys.", "Forget NAME. What they used stays counted.")
_switch("end_sessions", "{name} was signed out of {ended} browsers.", "Sign NAME out everywhere.")


@users.command("reset-link")
@places
@click.argument("name")
@_as_json
def users_reset_link(paths: Paths, name: str, as_json: bool) -> None:
    """Make the link by which NAME sets a new password, once, within a day."""
    _tell_link(_order(paths, "users.reset_link", user=name), as_json, f"{name} sets a new password")


@users.command("rotate-keys")
@places
def users_rotate_keys(paths: Paths) -> None:
    """Sign sessions with a new key. Done twice, it signs everybody out."""
    _order(paths, "users.rotate_keys")
    click.echo("Sessions are signed with a new key from now on. Whoever is signed in stays so until you do this again.")


# --- invites ---


@main.group(invoke_without_command=True)
@places
@_as_json
def invites(paths: Paths, as_json: bool) -> None:
    """Who was invited; invite somebody, take it back."""
    _list(paths, "invites", as_json, words.invite_lines)


@invites.command("list")
@places
@_as_json
def invites_list(paths: Paths, as_json: bool) -> None:
    """Who was invited."""
    _list(paths, "invites", as_json, words.invite_lines)


@invites.command("create")
@places
@click.argument("label")
@click.option("--role", type=click.Choice(["child", "member", "admin"]), default="member", show_default=True)
@click.option("--uses", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many may come by it.")
@_lasts
@_as_json
def invites_create(paths: Paths, label: str, role: str, uses: int, lasts: float | None, as_json: bool) -> None:
    """Invite somebody: LABEL says whom. The link is shown once, also as a picture for a phone's camera."""
    made = _order(paths, "invites.create", label=label, role=role, uses=uses, lasts=lasts)
    until = moment_words(made["expires_at"], time.time())
    _tell_link(made, as_json, f"{label} joins until {until}")


@invites.command("revoke")
@places
@click.argument("id")
def invites_revoke(paths: Paths, id: str) -> None:
    """Let nobody else in by the invite ID."""
    _order(paths, "invites.revoke", id=id)
    click.echo(f"Nobody comes in by invite {printable(id)} any more.")


# --- keys ---


@main.group(invoke_without_command=True)
@places
@_as_json
def keys(paths: Paths, as_json: bool) -> None:
    """The keys of applications; make, pause and revoke them."""
    _list(paths, "keys", as_json, words.key_lines)


@keys.command("list")
@places
@_as_json
def keys_list(paths: Paths, as_json: bool) -> None:
    """The keys of applications."""
    _list(paths, "keys", as_json, words.key_lines)


@keys.command("create")
@places
@click.argument("name")
@click.option("--user", metavar="NAME", help="Whose it is; it ends with them.")
@_lane
@_scopes
@_models
@click.option("--from", "cidrs", multiple=True, metavar="ADDRESS", help="Only from these addresses or ranges.")
@click.option("--per-minute", type=click.IntRange(1), help="Requests a minute.")
@click.option("--running", type=click.IntRange(1), help="Answers at a time.")
@click.option("--waiting", type=click.IntRange(1), help="Requests in the line at a time.")
@_lasts
@_as_json
def keys_create(paths: Paths, as_json: bool, **options: Any) -> None:
    """Make a key for the application NAME. It is shown once."""
    made = _order(paths, "keys.create", **options)
    if as_json:
        return _tell_json(made)
    click.echo(f"{made['key']}\n")
    click.echo(f"This is the key of {printable(made['name'])}. It is shown this once: copy it now.")
    click.echo("Set it as the API key (OPENAI_API_KEY, ANTHROPIC_API_KEY) of the application, or send the header")
    click.echo(f"  Authorization: Bearer {made['key']}")
    click.echo(f"To take it back: seadragon keys revoke {made['id']}")


def _turn(order: str, told: str, help: str) -> None:
    @keys.command(order, help=help)
    @places
    @click.argument("id")
    def turn(paths: Paths, id: str) -> None:
        key = _order(paths, f"keys.{order}", id=id)
        click.echo(told.format(name=printable(key["name"]), id=key["id"]))


_turn("pause", "{name} is refused until: seadragon keys resume {id}", "Refuse the key ID for a while.")
_turn("resume", "{name} is taken again.", "Take the key ID again.")


@keys.command("revoke")
@places
@click.argument("id")
@_keep
def keys_revoke(paths: Paths, id: str, keep: str | None) -> None:
    """Revoke the key ID."""
    key = _order(paths, "keys.revoke", id=id, keep=keep)
    name = printable(key["name"])
    click.echo(f"{name} is refused from now on, for good. Its open answers end within a minute.")
    _tell_followed(key, keep)


# --- addresses ---


@main.group(invoke_without_command=True)
@places
@_as_json
def allow(paths: Paths, as_json: bool) -> None:
    """Which addresses need no key; let one in, or keep it out."""
    _list(paths, "allow", as_json, words.allow_lines)


@allow.command("list")
@places
@_as_json
def allow_list(paths: Paths, as_json: bool) -> None:
    """Which addresses need no key."""
    _list(paths, "allow", as_json, words.allow_lines)


@allow.command("add")
@places
@click.argument("cidr", metavar="ADDRESS")
@click.argument("label")
@click.option("--deny", is_flag=True, help="Keep it out, whatever else lets it in.")
@_lane
@_scopes
@_models
@_lasts
def allow_add(paths: Paths, deny: bool, **options: Any) -> None:
    """Let the address or range ADDRESS in without a key. LABEL says who it is."""
    entry = _order(paths, "allow.add", verdict="deny" if deny else "allow", **options)
    done = "is kept out" if deny else "is let in"
    click.echo(f"{entry['cidr']} {done}. To undo it: seadragon allow remove {entry['id']}")


@allow.command("remove")
@places
@click.argument("id")
def allow_remove(paths: Paths, id: str) -> None:
    """Undo the entry ID. Those of access.yaml are changed there."""
    _order(paths, "allow.remove", id=id)
    click.echo(f"The entry {printable(id)} is gone.")


@allow.command("reopen")
@places
def allow_reopen(paths: Paths) -> None:
    """Let addresses in again, when it was not known any more who is kept out."""
    _order(paths, "allow.reopen")
    click.echo("Addresses are let in again. Who is kept out from now on: seadragon allow")


# --- what was done and used ---


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
    _tell(rows, as_json, words.audit_lines(rows, click.style, now))


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
        return _tell_json(client.ask(paths.socket, "usage", limit=ANSWERING, since=start, count=requests))
    sums: Any = client.ask(paths.socket, "usage", limit=ANSWERING, since=start, by=by)
    _tell(sums, as_json, words.sum_lines(by, sums, click.style))


# --- all of them ---

Lines = Callable[[Sequence[Any], Style, float], Iterable[str]]


def _order(paths: Paths, order: str, **arguments: Any) -> Any:
    """Options nobody gave are left to the order itself."""
    given = {name: value for name, value in arguments.items() if value is not None and value != ()}
    return client.ask(paths.socket, "office", limit=ANSWERING, order=order, arguments=given)


def _list(paths: Paths, what: str, as_json: bool, lines: Lines) -> None:
    if click.get_current_context().invoked_subcommand is None:
        found: Any = client.ask(paths.socket, what, limit=ANSWERING)
        _tell(found, as_json, lines(found, click.style, time.time()))


def _tell(found: Any, as_json: bool, lines: Iterable[str]) -> None:
    if as_json:
        return _tell_json(found)
    for line in lines:
        click.echo(line)


def _tell_followed(told: Any, keep: str | None) -> None:
    """What became of what somebody had given out, who may not give it any more."""
    for each in told.get("also_ended", ()):
        click.echo(f"Ended with it: {printable(each)}")
    for each in told.get("handed_over", ()):
        click.echo(f"{printable(str(keep))} answers for it now: {printable(each)}")


def _tell_json(found: Any) -> None:
    click.echo(json.dumps(found, indent=2))


def _tell_link(made: Any, as_json: bool, what: str) -> None:
    """The best link, also as a QR code where there is a terminal; then the others."""
    if as_json:
        return _tell_json(made)
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


def _from(since: float | None, now: float) -> float:
    return 0.0 if since is None else now - since
