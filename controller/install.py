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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape

from controller.config.schema import Server
from controller.errors import SeadragonError
from controller.machine import durable, openfiles
from controller.machine.guarded import allowing_words, guarded_places, places_words, program_to_allow, translocated
from controller.steps import STEP_LIMIT, Step, walk
from controller.supervision.tools import RunTool

LABEL = "local.seadragon"
UNIT = "seadragon.service"
DAEMONS = Path("/Library/LaunchDaemons")
TEMPLATES = Path(__file__).resolve().parent.parent / "launchd"
START_LIMIT = 60.0  # seconds that launchd may refuse a service it has just let go of: five are usual
STOPS = 36  # launchctl's exit code for a stop that has begun and goes on (EINPROGRESS)
LEAST_STOP_LIMIT = 240  # seconds
STOP_MARGIN = 30.0  # seconds beside the budgets: closing listeners, writing what is left to write
SEARCHED = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Installation:
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
    files: int = openfiles.USUAL  # that it may have open at a time
    agent_of: int | None = None  # macOS: the id of the user in whose log-in it runs; None: it starts with the machine

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
class Unit:
    """What a service manager is given, and the commands that make it take it or leave it."""

    file: Path
    text: str
    by_root: bool  # who gives the commands
    begin: tuple[Step, ...]  # after the file is written
    end: tuple[Step, ...]  # before it is removed
    halt: tuple[Step, ...]  # stop it until the machine's next start
    works_on: str  # how the folder of its data stands in the file
    after: tuple[Step, ...] = ()  # once it is removed


def place_of(user: str, *, config: Path, data: Path, logs: Path, server: Server, agent: bool = False) -> Installation:
    """The place of this clone, run by `user`. Raises SeadragonError when there is no such user."""
    account = _account(user)
    return Installation(
        user=user,
        group=_group(account.pw_gid),
        home=Path(account.pw_dir),
        folder=TEMPLATES.parent,
        python=Path(sys.executable),
        config=config,
        data=data,
        logs=logs,
        stop_limit=stop_limit(server),
        files=max(openfiles.USUAL, server.files_needed),
        agent_of=account.pw_uid if agent else None,
    )


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise SeadragonError(f"There is no user '{user}' on this machine.") from error


def _group(number: int) -> str:
    """A group without a name goes by its number."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def person(environment: Mapping[str, str]) -> str:
    """Who it should run as: the one who called sudo, else who calls. Raises SeadragonError for a number that no user
    has, as containers use them.
    """
    if called := environment.get("SUDO_USER"):
        return called
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise SeadragonError(
            f"User {os.geteuid()}, who runs this, has no name on this machine, and a service needs one: install it as "
            "a user who has, or have whatever starts your container run: seadragon up --service"
        ) from error


def stop_limit(server: Server) -> int:
    """Seconds a stop may take: answers in flight, then the tunnel, then engines and the further children at once."""
    children = [
        *(each.stop_grace for each in server.engines.values()),
        *(child.stop_grace for child in server.children.values()),
    ]
    return max(LEAST_STOP_LIMIT, math.ceil(server.drain + server.tunnel.grace + max(children) + STOP_MARGIN))


def unit_for(place: Installation, platform: str = sys.platform) -> Unit:
    """The plan for this machine. Raises SeadragonError for a platform without launchd or systemd."""
    plan = {"darwin": launchd, "linux": systemd}.get(platform)
    if plan is None:
        raise SeadragonError(f"Installing knows launchd (macOS) and systemd (Linux), not {platform}.")
    if place.agent_of is not None and platform != "darwin":
        raise SeadragonError("--agent is for macOS. Elsewhere a service starts with the machine and has the GPU.")
    return plan(place)


def agents(home: Path) -> Path:
    """Where the agents of one user are."""
    return home / "Library" / "LaunchAgents"


def installed(place: Installation) -> Installation:
    """The same place, as an agent's if that is what is installed there."""
    name = f"{LABEL}.plist"
    agent = (agents(place.home) / name).exists() and not (DAEMONS / name).exists()
    return replace(place, agent_of=_account(place.user).pw_uid) if agent else place


def launchd(place: Installation) -> Unit:
    """A LaunchDaemon, or an agent. To be proved on a Mac: that Metal is there before anybody has logged in.

    `bootout` may return while the service still finishes its answers; until `print` finds it no more, and a little
    longer, `bootstrap` is refused. A service that was sent away and not brought back would be gone for good.
    """
    daemon = place.agent_of is None
    file = (DAEMONS if daemon else agents(place.home)) / f"{LABEL}.plist"
    domain = "system" if daemon else f"gui/{place.agent_of}"
    service = f"{domain}/{LABEL}"
    all_its_time = place.stop_limit + STEP_LIMIT
    leave = Step(("launchctl", "bootout", service), needed=False, limit=all_its_time)
    gone = Step(("launchctl", "print", service), limit=all_its_time, until="fails", waiting=_waiting(place))
    begin = (
        leave,
        gone,
        Step(("launchctl", "enable", service)),
        Step(("launchctl", "bootstrap", domain, str(file)), limit=START_LIMIT, until="works"),
    )
    halt = (replace(leave, needed=True, fine=(0, STOPS)), gone)
    return Unit(file, render_plist(place), daemon, begin, (leave, gone), halt, _string(str(place.data)))


def systemd(place: Installation) -> Unit:
    """A system unit."""
    all_its_time = place.stop_limit + STEP_LIMIT
    reload = Step(("systemctl", "daemon-reload"))
    restart = Step(("systemctl", "restart", UNIT), limit=all_its_time)
    begin = (reload, Step(("systemctl", "enable", UNIT)), restart)
    end = (Step(("systemctl", "disable", "--now", UNIT), needed=False, limit=all_its_time),)
    halt = (Step(("systemctl", "stop", UNIT), limit=all_its_time),)
    file, works_on = Path("/etc/systemd/system") / UNIT, _argument(str(place.data))
    return Unit(file, render_unit(place), True, begin, end, halt, works_on, (reload,))


def _waiting(place: Installation) -> str:
    return f"The one that runs finishes its answers first; that may take {place.stop_limit // 60} minutes."


def render_plist(place: Installation) -> str:
    """The property list."""
    environment = (f"\t\t<key>{escape(name)}</key>\n\t\t{_string(value)}" for name, value in place.environment.items())
    arguments = (f"\t\t{_string(argument)}" for argument in place.arguments)
    return _fill(f"{LABEL}.plist", place, escape, _whose_plist(place), "\n".join(arguments), "\n".join(environment))


def _string(value: str) -> str:
    return f"<string>{escape(value)}</string>"


def _whose_plist(place: Installation) -> str:
    keys = {"UserName": place.user, "GroupName": place.group}
    if place.agent_of is not None:
        keys = {"LimitLoadToSessionType": "Aqua"}
    return "\n".join(f"\t<key>{key}</key>\n\t{_string(value)}" for key, value in keys.items())


def render_unit(place: Installation) -> str:
    """The systemd unit."""
    arguments = " ".join(map(_argument, place.arguments))
    environment = (f"Environment={_quoted(f'{name}={value}')}" for name, value in place.environment.items())
    whose = f"User={_plain(place.user)}\nGroup={_plain(place.group)}"
    return _fill(UNIT, place, _plain, whose, arguments, "\n".join(environment))


def _fill(
    template: str, place: Installation, written: Callable[[str], str], whose: str, arguments: str, environment: str
) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(
        label=LABEL,
        whose=whose,
        folder=written(str(place.folder)),
        boot_log=written(str(place.boot_log)),
        stop_limit=place.stop_limit,
        files=place.files,
        arguments=arguments,
        environment=environment,
    )


def _plain(value: str) -> str:
    """A value that fills the rest of a line in a unit file, where % begins a specifier."""
    if "\n" in value:
        raise SeadragonError(f"systemd cannot take a path with a line break: {value!r}.")
    return value.replace("%", "%%")


def _argument(value: str) -> str:
    """One word of a command, where $ begins a variable."""
    return _quoted(value).replace("$", "$$")


def _quoted(value: str) -> str:
    """One word of a list in a unit file."""
    return '"' + _plain(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def concerns(place: Installation, models: Path) -> list[str]:
    """What a Mac's owner has to know beforehand: sentences, none of them a reason to stop."""
    folders = (place.folder, place.config, place.data, place.logs, models)
    found = guarded_places((Path(os.path.realpath(folder)) for folder in folders), Path(os.path.realpath(place.home)))
    if not found:
        return []
    program = program_to_allow(Path(os.path.realpath(place.python)))
    if place.agent_of is not None:
        return [f"macOS will ask whether {program.name} may see what is guarded: {places_words(found)}. Say yes."]
    return [
        f"macOS keeps a service from some of its folders, without a word: {places_words(found)}.",
        f"Move them (then: rm -rf .venv && make setup), or allow it: {allowing_words(program)}.",
    ]


async def install(unit: Unit, place: Installation, run: RunTool, say: Callable[[str], None]) -> None:
    """Write the unit's file and start it. Raises SeadragonError without the right, or with the step that failed."""
    check_right(unit, "install")
    if translocated(place.folder):
        raise SeadragonError(f"{place.folder} is a copy that macOS throws away: move it home, and install it there.")
    owner = _account(place.user)
    for folder in (place.logs, place.data):
        _make_for(owner, folder)
        folder.chmod(0o700)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    if not unit.by_root:
        _make_for(owner, unit.file.parent)
    durable.write(unit.file, unit.text.encode(), 0o644)  # it says what is run, perhaps by root
    await walk(unit.begin, run, say)


def _make_for(owner: pwd.struct_passwd, folder: Path) -> None:
    """Every folder on the way that is not there yet is the owner's, who could not get in otherwise, and nobody else's
    to write into. Whatever umask we were started with has no say in it.
    """
    if folder.is_dir():
        return
    _make_for(owner, folder.parent)
    folder.mkdir()
    folder.chmod(0o755)
    os.chown(folder, owner.pw_uid, owner.pw_gid)


async def uninstall(unit: Unit, run: RunTool, say: Callable[[str], None]) -> None:
    """Stop it and remove the unit's file. Settings, models and logs stay."""
    check_right(unit, "uninstall")
    await walk(unit.end, run, say)
    unit.file.unlink(missing_ok=True)
    await walk(unit.after, run, say)


async def halt(unit: Unit, run: RunTool, say: Callable[[str], None]) -> bool:
    """Have the service manager stop it, if we have the right and it is this data it works on; whether that was done."""
    if unit.by_root != (os.geteuid() == 0) or not unit.file.exists():
        return False
    if unit.works_on not in unit.file.read_text(encoding="utf-8", errors="replace"):
        return False
    try:
        await walk(unit.halt, run, say)
    except SeadragonError:
        return False
    return True


def check_right(unit: Unit, verb: str) -> None:
    program = Path(sys.executable).with_name("seadragon")
    if unit.by_root and os.geteuid() != 0:
        raise SeadragonError(f"This needs root. Run: sudo {program} {verb}   (to look first: seadragon {verb} --print)")
    if not unit.by_root and os.geteuid() == 0:
        raise SeadragonError(f"An agent is its owner's own. Run it as yourself, without sudo: seadragon {verb}")
