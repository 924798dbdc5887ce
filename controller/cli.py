"""`seadragon`: the command line. Thin: each command asks the running controller, or calls the part that does the work.

What a command needs is imported inside it: `status` answers in the time Python takes to start, and `up` listens soon.
Exit codes: 0 done; 1 it failed, or the doctor found something broken; 2 a wrong command line or broken YAML; 3 nobody
runs here.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controller import lock
from controller.control import client
from controller.errors import NotRunning, SeadragonError
from controller.paths import Paths
from controller.plain import fault_words

if TYPE_CHECKING:
    from controller.doctor.facts import Hands
    from controller.install import Unit

FAILED, NOBODY, INTERRUPTED = 1, 3, 130
LEAVING = 300.0  # seconds `down` and `restart` wait: longer than any drain
LOOK = 0.2  # seconds between two looks at a file or a process, which cannot be waited for
NEED_IT = ("status", "down", "restart", "start", "stop", "reload", "demo")


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
        command(Paths.chosen(os.environ, config=config, data=data, logs=logs), **options)

    return with_paths


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
    """Restart the child NAME; without NAME the controller itself, under which Ollama keeps running."""
    if name is not None:
        _tell_child(client.ask(paths.socket, "restart", name=name), wanted=("ready", "starting"))
        return
    before = client.status(paths.socket)["started_at"]
    _follow_out(paths, "restart")
    after = _next_controller(paths, before)
    click.echo(f"Seadragon {after['version']} runs again, process {after['pid']}.")


@main.command()
@places
@click.argument("name")
def start(paths: Paths, name: str) -> None:
    """Start the child NAME now, whatever it is waiting for."""
    _tell_child(client.ask(paths.socket, "start", name=name), wanted=("ready", "starting"))


@main.command()
@places
@click.argument("name")
def stop(paths: Paths, name: str) -> None:
    """Stop the child NAME, until `start NAME` or the next `up`."""
    _tell_child(client.ask(paths.socket, "stop", name=name), wanted=("stopped",))


@main.command()
@places
def reload(paths: Paths) -> None:
    """Read the YAML now. (It is read by itself whenever it is saved.)"""
    changes = client.ask(paths.socket, "reload")
    for change in changes if isinstance(changes, list) else []:
        click.echo(change)
    if not changes:
        click.echo("The YAML is what runs already.")


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


@main.command()
@places
@click.argument("name", default="controller")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added.")
@click.option("-n", "--lines", type=click.IntRange(0), default=40, show_default=True, help="How many to begin with.")
@click.option("--raw", is_flag=True, help="As it stands in the file.")
def logs(paths: Paths, name: str, follow: bool, lines: int, raw: bool) -> None:
    """The log of the controller, or of the child NAME."""
    from controller.logtail import Tail, in_words

    path = _log_file(paths, name)
    words: Callable[[str], str] = str if raw else in_words
    with Tail(path, lines) as tail:
        while (read := tail.read()) or follow:
            for line in read:
                click.echo(words(line))
            if not read:
                time.sleep(LOOK)


@main.command()
@places
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--mac", is_flag=True, help="What can only be proved on a Mac, and how.")
def doctor(paths: Paths, as_json: bool, mac: bool) -> None:
    """Look for everything that could be wrong, and say what to do."""
    from controller.doctor.checks import examine
    from controller.doctor.facts import gather
    from controller.doctor.mac import PROOFS

    if mac:
        _tell_proofs(PROOFS, as_json)
        return
    findings = examine(gather(paths, os.environ, _hands()))
    if as_json:
        click.echo(json.dumps([finding.to_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{click.style(f'{finding.verdict:<5}', fg=finding.colour)} {finding.name:<18} {finding.words}")
            if finding.remedy:
                click.echo(f"{'':<24} → {finding.remedy}")
    if any(finding.verdict == "fail" for finding in findings):
        sys.exit(FAILED)


@main.command()
@places
def demo(paths: Paths) -> None:
    """Make a tiny model, here and now, without internet: the first answer comes at once."""
    seen: dict[str, Any] = client.status(paths.socket)
    from controller.demo.create import create_demo, invitation

    ollama = seen["children"].get("ollama", {})
    if ollama.get("state") != "ready":
        raise SeadragonError(f"Ollama is not ready: {ollama.get('reason', 'it was not started.')}")
    create_demo(ollama["url"])
    direct = (listener["url"] for listener in seen["listeners"] if listener.get("kind") == "direct")
    click.echo(invitation(next(direct, ollama["url"])))


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
def install(paths: Paths, only_print: bool) -> None:
    """Start with the machine and keep running, by launchd or systemd."""
    import asyncio

    from controller import install as service
    from controller.config.load import load
    from controller.supervision.child import run_tool

    server = load(paths.config, os.environ).config.server
    person = service.person(os.environ)
    place = service.place_of(person, config=paths.config, data=paths.data, logs=paths.logs, server=server)
    unit = service.unit_for(place)
    if only_print:
        click.echo(f"{unit.file}:\n\n{unit.text}")
        return
    asyncio.run(service.install(unit, place, run_tool))
    click.echo(f"Installed as {unit.file}. It runs now, and whenever this machine does. See: seadragon status")


@main.command()
@places
@click.option("--print", "only_print", is_flag=True, help="Only show what would be removed.")
def uninstall(paths: Paths, only_print: bool) -> None:
    """Undo `install`: stop it and remove it from the machine's start. Settings, models and logs stay."""
    import asyncio

    from controller import install as service
    from controller.supervision.child import run_tool

    unit = _unit(paths)
    if only_print:
        click.echo(str(unit.file))
        return
    asyncio.run(service.uninstall(unit, run_tool))
    click.echo(f"{unit.file} is gone, and Seadragon with it. Start it by hand with: seadragon up")


@main.command()
def version() -> None:
    """Which version this is."""
    from importlib.metadata import version as installed

    click.echo(f"seadragon {installed('seadragon')}")


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


def _unit(paths: Paths) -> Unit:
    """What is installed for these folders; its text is of no interest."""
    from controller import install as service
    from controller.config.schema import Server

    person = service.person(os.environ)
    return service.unit_for(
        service.place_of(person, config=paths.config, data=paths.data, logs=paths.logs, server=Server())
    )


def _unit_halted(paths: Paths) -> bool:
    import asyncio

    from controller import install as service
    from controller.supervision.child import run_tool

    return asyncio.run(service.halt(_unit(paths), paths.data, run_tool))


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


def _tell_child(answer: object, wanted: tuple[str, ...]) -> None:
    assert isinstance(answer, dict)
    click.echo(f"{answer['name']} is {answer['state']}. {answer['reason']}".rstrip())
    if answer["state"] not in wanted:
        sys.exit(FAILED)


def _log_file(paths: Paths, name: str) -> Path:
    """The file, in the folder the running controller writes to. Raises SeadragonError when there is none."""
    folder = paths.logs
    try:
        folder = Path(str(client.status(paths.socket)["logs"]))
    except SeadragonError:
        pass  # not running, or not ours to ask: the files are still there
    files = {"controller": folder / "controller.jsonl", **{file.stem: file for file in folder.glob("*.log")}}
    if name not in files or not files[name].exists():
        known = ", ".join(sorted(each for each, file in files.items() if file.exists()))
        raise SeadragonError(f"There is no log of '{name}' in {folder}. There is: {known or 'none yet'}.")
    return files[name]


def _hands() -> Hands:
    from controller.config.load import load
    from controller.config.schema import Config
    from controller.doctor.facts import Hands
    from controller.obtain import find_program
    from controller.supervision.child import run_tool

    def read(folder: Path, environment: Mapping[str, str]) -> tuple[Config, tuple[str, ...]]:
        loaded = load(folder, environment)
        return loaded.config, loaded.warnings

    return Hands(read, find_program, run_tool)


def _tell_proofs(proofs: Iterable[Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([proof.to_json() for proof in proofs], indent=2))
        return
    for number, proof in enumerate(proofs, 1):
        click.echo(f"{number}. {proof.what}\n   run:    {proof.command}\n   expect: {proof.expect}\n")
