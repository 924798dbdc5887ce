"""`seadragon install`: started with the machine, kept running by launchd or systemd, as an ordinary user.

`unit_for` makes a plan (a file and the commands around it) and touches nothing, so that it can be shown and tested;
`install` and `uninstall` carry a plan out. The texts are templates in `launchd/`.
"""

from __future__ import annotations

import grp
import math
import os
import pwd
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Protocol
from xml.sax.saxutils import escape

from controller.config.schema import Server
from controller.errors import SeadragonError

LABEL = "local.seadragon"
UNIT = "seadragon.service"
TEMPLATES = Path(__file__).resolve().parent.parent / "launchd"
STEP_LIMIT = 300.0  # seconds for one launchctl or systemctl; stopping the old one may take all its time
LEAST_STOP_LIMIT = 240  # seconds
STOP_MARGIN = 30.0  # seconds beside the budgets: closing listeners, writing what is left to write
SEARCHED = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Place:
    """Who runs Seadragon, and from where. All paths are absolute."""

    user: str
    group: str
    home: Path
    folder: Path  # the clone
    python: Path  # of its virtual environment
    config: Path
    data: Path
    logs: Path
    stop_limit: int = LEAST_STOP_LIMIT  # seconds between TERM and the service manager's KILL

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is run: no shell, nothing to be looked up."""
        where = ("--config", str(self.config), "--data", str(self.data), "--logs", str(self.logs))
        return (str(self.python), "-m", "controller", "up", "--service", *where)

    @property
    def environment(self) -> dict[str, str]:
        """Everything it inherits; a daemon has nothing else. Secrets never stand here: anyone can read these files."""
        return {"HOME": str(self.home), "LANG": "en_US.UTF-8", "PATH": SEARCHED}

    @property
    def boot_log(self) -> Path:
        """Where it writes while its own log is not open yet."""
        return self.logs / "boot.log"


@dataclass(frozen=True, slots=True)
class Step:
    """One command. `needed`: whether its failure ends the whole thing."""

    argv: tuple[str, ...]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Unit:
    """What a service manager is given, and the commands that make it take it or leave it."""

    file: Path
    text: str
    begin: tuple[Step, ...]  # after the file is written
    end: tuple[Step, ...]  # before it is removed
    halt: Step  # stops it until the machine's next start
    after: tuple[Step, ...] = ()  # once it is removed


class Ended(Protocol):
    """How a command ended."""

    @property
    def code(self) -> int: ...
    @property
    def err(self) -> bytes: ...


class Run(Protocol):
    """Runs one command to its end (`supervision.child.run_tool`)."""

    def __call__(self, argv: Sequence[str], *, limit: float) -> Coroutine[object, object, Ended]: ...


def place_of(user: str, *, config: Path, data: Path, logs: Path, server: Server) -> Place:
    """The place of this clone, run by `user`. Raises SeadragonError when there is no such user."""
    try:
        account = pwd.getpwnam(user)
        group = grp.getgrgid(account.pw_gid).gr_name
    except KeyError as error:
        raise SeadragonError(f"There is no user '{user}' on this machine.") from error
    return Place(
        user=user,
        group=group,
        home=Path(account.pw_dir),
        folder=TEMPLATES.parent,
        python=Path(sys.executable),
        config=config,
        data=data,
        logs=logs,
        stop_limit=stop_limit(server),
    )


def person(environment: Mapping[str, str]) -> str:
    """Who it should run as: the one who called sudo, else who calls."""
    return environment.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name


def stop_limit(server: Server) -> int:
    """Seconds a stop may take: answers in flight, then the tunnel, then Ollama and the further children at once."""
    children = [server.ollama.stop_grace, *(child.stop_grace for child in server.children.values())]
    return max(LEAST_STOP_LIMIT, math.ceil(server.drain + server.tunnel.grace + max(children) + STOP_MARGIN))


def unit_for(place: Place, platform: str = sys.platform) -> Unit:
    """The plan for this machine. Raises SeadragonError for a platform without launchd or systemd."""
    plan = {"darwin": launchd, "linux": systemd}.get(platform)
    if plan is None:
        raise SeadragonError(f"Installing knows launchd (macOS) and systemd (Linux), not {platform}.")
    return plan(place)


def launchd(place: Place) -> Unit:
    """A LaunchDaemon. To be proved on a Mac: that Metal is there for it before anybody has logged in."""
    file = Path("/Library/LaunchDaemons") / f"{LABEL}.plist"
    leave = Step(("launchctl", "bootout", f"system/{LABEL}"), needed=False)
    begin = (
        leave,
        Step(("launchctl", "enable", f"system/{LABEL}")),
        Step(("launchctl", "bootstrap", "system", str(file))),
    )
    return Unit(file, render_plist(place), begin, (leave,), leave)


def systemd(place: Place) -> Unit:
    """A system unit."""
    reload = Step(("systemctl", "daemon-reload"))
    begin = (reload, Step(("systemctl", "enable", UNIT)), Step(("systemctl", "restart", UNIT)))
    end = (Step(("systemctl", "disable", "--now", UNIT), needed=False),)
    halt = Step(("systemctl", "stop", UNIT), needed=False)
    return Unit(Path("/etc/systemd/system") / UNIT, render_unit(place), begin, end, halt, (reload,))


def render_plist(place: Place) -> str:
    """The property list."""
    environment = (
        f"\t\t<key>{escape(name)}</key>\n\t\t<string>{escape(value)}</string>"
        for name, value in place.environment.items()
    )
    arguments = (f"\t\t<string>{escape(argument)}</string>" for argument in place.arguments)
    return _fill(f"{LABEL}.plist", place, escape, "\n".join(arguments), "\n".join(environment))


def render_unit(place: Place) -> str:
    """The systemd unit."""
    arguments = " ".join(_quoted(argument).replace("$", "$$") for argument in place.arguments)
    environment = (f"Environment={_quoted(f'{name}={value}')}" for name, value in place.environment.items())
    return _fill(UNIT, place, _plain, arguments, "\n".join(environment))


def _fill(template: str, place: Place, written: Callable[[str], str], arguments: str, environment: str) -> str:
    return Template((TEMPLATES / template).read_text()).substitute(
        label=LABEL,
        user=written(place.user),
        group=written(place.group),
        folder=written(str(place.folder)),
        boot_log=written(str(place.boot_log)),
        stop_limit=place.stop_limit,
        arguments=arguments,
        environment=environment,
    )


def _plain(value: str) -> str:
    """A value that fills the rest of a line in a unit file, where % begins a specifier."""
    if "\n" in value:
        raise SeadragonError(f"systemd cannot take a path with a line break: {value!r}.")
    return value.replace("%", "%%")


def _quoted(value: str) -> str:
    """One word of a list in a unit file."""
    return '"' + _plain(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


async def install(unit: Unit, place: Place, run: Run) -> None:
    """Write the unit's file and start it. Raises SeadragonError without the right, or with the step that failed."""
    _as_root("install")
    owner = pwd.getpwnam(place.user)
    for folder in (place.logs, place.data):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    unit.file.write_text(unit.text)
    unit.file.chmod(0o644)
    await _walk(unit.begin, run)


async def uninstall(unit: Unit, run: Run) -> None:
    """Stop it and remove the unit's file. Settings, models and logs stay."""
    _as_root("uninstall")
    await _walk(unit.end, run)
    unit.file.unlink(missing_ok=True)
    await _walk(unit.after, run)


async def halt(unit: Unit, data: Path, run: Run) -> bool:
    """Have the service manager stop it, if we have the right and the unit runs on `data`; whether that was done."""
    if os.geteuid() != 0 or not unit.file.exists() or str(data) not in unit.file.read_text():
        return False
    return (await run(unit.halt.argv, limit=STEP_LIMIT)).code == 0


def _as_root(verb: str) -> None:
    if os.geteuid() != 0:
        program = Path(sys.executable).with_name("seadragon")
        raise SeadragonError(f"This needs root. Run: sudo {program} {verb}   (to look first: seadragon {verb} --print)")


async def _walk(steps: Sequence[Step], run: Run) -> None:
    for step in steps:
        ended = await run(step.argv, limit=STEP_LIMIT)
        if ended.code and step.needed:
            words = ended.err.decode(errors="replace").strip()
            raise SeadragonError(f"`{' '.join(step.argv)}` left with exit code {ended.code}: {words}")
