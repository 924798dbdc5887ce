"""Looking at the machine for the doctor: files, processes, ports. Judges nothing, changes nothing, and
speaks to nobody but this machine and our own public name.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import pwd
import re
import shutil
import socket
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from controller import openfiles, tls
from controller.auth.barred import REMEDY
from controller.config.files import private_file_fault
from controller.config.schema import Config
from controller.control import client
from controller.doctor import facts_dates, facts_mac
from controller.doctor.findings import Asked, Door, Facts, Folder, Secret, Serving, Shown, Stored
from controller.doctor.findings_mac import Mac
from controller.engines.ollama.accelerator import accelerator_limit
from controller.engines.ollama.blobs import left_over
from controller.engines.ollama.client import mapped
from controller.engines.ollama.models_folder import models_folder
from controller.engines.ollama.settings import OLLAMA, USUAL_PORT
from controller.errors import NotRunning, SeadragonError
from controller.obtain import whole
from controller.obtain.find import fault_of, unrunnable
from controller.ownership import as_owner_of, foreign
from controller.paths import CLONE, Paths
from controller.residency.gauge import gauge_for_this_machine
from controller.residency.memory import Reading
from controller.residency.resident import Taken
from controller.storage.backup import FOLDER, newest
from controller.storage.barred import NAME as BARRED
from controller.storage.barred import BarredFile
from controller.storage.file import NAME, damage, looking, not_ours
from controller.storage.migrate import revision_of, revisions, steps
from controller.supervision.programs import unfit_words

SECRETS = "secrets"  # the folder in the data folder where sessions' keys lie
CONNECTING = 0.5  # seconds a connection on this machine may take
TOOL = 5.0  # seconds a tool may take
_VERSION = re.compile(rb"(\d+)\.(\d+)\.(\d+)")


class Said(Protocol):
    """How a tool ended."""

    @property
    def code(self) -> int: ...
    @property
    def out(self) -> bytes: ...
    @property
    def err(self) -> bytes: ...


class RunTool(Protocol):
    """Runs a tool to its end (`supervision.tools.run_tool`)."""

    def __call__(self, argv: Sequence[str], *, limit: float) -> Coroutine[object, object, Said]: ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What the doctor works with: where other parts know better, it asks them."""

    load: Callable[[Path, Mapping[str, str]], tuple[Config, tuple[str, ...]]]  # raises SeadragonError; and warnings
    find: Callable[[str, Path | None, Mapping[str, str]], Path | None]  # a program by its name, or where it should be
    run: RunTool
    ask: Callable[[list[str]], list[Asked]]  # our own public names, over the internet


def gather(paths: Paths, environment: Mapping[str, str], hands: Hands, platform: str = sys.platform) -> Facts:
    """All facts. Takes a second or two, most of it Ollama saying its version."""
    config, problems, warnings = _configuration(paths, environment, hands)
    running, unheard = _running(paths)
    program = hands.find(OLLAMA, config.server.ollama.binary, environment)
    version = _version(program, hands.run) if program else None
    ours = set(_pids(running))
    serving = list(_others(ours, paths.run))
    folder = models_folder(config.models.folder, environment)
    ports = {USUAL_PORT, *_ollama_ports(running), *(port for each in serving for port in each.ports)}
    addresses = _addresses(config, running)
    own_ports = {port for address in addresses if (port := _host_port(address)[1])}
    with as_owner_of(paths.data):  # to root, what is theirs would be another user's
        stored, admins = _database(paths.data), _admins(paths.data / NAME)
        rights = tuple(_rights(paths.data, running))
    return Facts(
        now=time.time(),
        installed_at=max(file.stat().st_mtime for file in (CLONE / "controller").glob("*.py")),
        platform=platform,
        python=sys.version_info[:3],
        config=config,
        config_problems=problems,
        config_warnings=warnings,
        folders=tuple(_folder(name, getattr(paths, name)) for name in ("config", "data", "logs")),
        running=running,
        unheard=unheard,
        ollama=program,
        unrunnable=dict(_unrunnable(config, environment, hands)),
        ollama_version=version,
        ollama_lacks=whole.missing(program, ".".join(map(str, version)), platform) if program and version else (),
        others=tuple(serving),
        models_folder=folder.path,
        models_away=folder.away() if config.server.ollama.mode == "spawn" else "",
        models=_models(folder.path),
        doors=tuple(_door(address, ours=ours) for address, ours in addresses.items()),
        exposed=tuple(_exposed(ports - own_ports)),
        origins=config.server.ollama.environment.get("OLLAMA_ORIGINS", environment.get("OLLAMA_ORIGINS", "")),
        cloudflared=hands.find("cloudflared", config.server.tunnel.binary, environment),
        files_limit=openfiles.most(),
        mac=_mac(paths, folder.path, program, hands.run) if platform == "darwin" else None,
        memory=_memory(paths, ours),
        sizes=dict(_sizes(folder.path)),
        left_over=_left_over(folder.path),
        database=stored,
        asked=tuple(hands.ask(_public_names(config))),
        certificates=tuple(_certificates(config)),
        secrets=tuple(_secrets(config, paths.data)),
        admins=admins,
        dated=tuple(facts_dates.look(paths.data, time.time())),
        rights=rights,
    )


def _public_names(config: Config) -> list[str]:
    tunnel = config.server.tunnel
    return [name for name in tunnel.hostnames if tunnel.mode != "off" and not name.startswith("*")]


def _certificates(config: Config) -> Iterator[Shown]:
    for listener in config.server.listeners:
        cert, key = listener.tls.cert, listener.tls.key
        if cert is not None and key is not None:
            try:
                yield Shown(listener.address, tls.check(cert, key, time.time()).ends)
            except tls.CertificateFault as fault:
                yield Shown(listener.address, fault=f"{cert if fault.part == 'cert' else key} is {fault}")


def _secrets(config: Config, data: Path) -> Iterator[Secret]:
    """What the YAML names, and what we keep ourselves."""
    tunnel = config.server.tunnel
    named = {"token": tunnel.token_file, "named": tunnel.credentials_file}.get(tunnel.mode)
    keys = [listener.tls.key for listener in config.server.listeners]
    own = sorted((data / SECRETS).iterdir()) if (data / SECRETS).is_dir() else []
    for path in (named, *keys, *own):
        if path is not None:
            fault = private_file_fault(path)
            yield Secret(path, fault or "", 0 if fault else path.stat().st_size)


def _rights(data: Path, running: Mapping[str, object] | None) -> Iterator[str]:
    """What is the matter with who is kept out: as the controller says, else as the file beside the database does."""
    if running is not None:
        told = running.get("rights")
        troubles = told.get("troubles", ()) if isinstance(told, dict) else ()
        yield from map(str, troubles)
        return
    try:
        known = BarredFile(data / BARRED).read()
    except SeadragonError as error:
        yield f"{error} While the database can be read, the next start writes it anew."
    else:
        if known is not None and known.lost:
            yield f"{known.lost} {REMEDY}"


def _admins(database: Path) -> int | None:
    """None before there are people at all."""
    if not_ours(database) is not None or not database.exists():
        return None
    try:
        with looking(database) as connection:
            (count,) = connection.execute("SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled").fetchone()
    except (sqlite3.Error, SeadragonError):
        return None
    return int(count)


def _configuration(
    paths: Paths, environment: Mapping[str, str], hands: Hands
) -> tuple[Config, tuple[str, ...], tuple[str, ...]]:
    try:
        config, warnings = hands.load(paths.config, environment)
    except SeadragonError as error:
        return Config(), tuple(str(error).splitlines()), ()
    return config, (), warnings


def _running(paths: Paths) -> tuple[dict[str, object] | None, str]:
    """What it says of itself, and why it says nothing."""
    try:
        facts = client.ask(paths.socket, "facts", limit=TOOL)
    except (NotRunning, OSError):
        return None, ""
    except SeadragonError as refused:
        return None, str(refused)
    return (facts, "") if isinstance(facts, dict) else (None, "")


def _children(running: dict[str, object] | None) -> Iterator[dict[str, object]]:
    children = running.get("children") if running else None
    yield from children.values() if isinstance(children, dict) else ()


def _pids(running: dict[str, object] | None) -> Iterator[int]:
    """The processes we run ourselves."""
    for child in _children(running):
        if isinstance(pid := child.get("pid"), int):
            yield pid
            with contextlib.suppress(psutil.Error):
                yield from (process.pid for process in psutil.Process(pid).children(recursive=True))


def _ollama_ports(running: dict[str, object] | None) -> Iterator[int]:
    for child in _children(running):
        if child.get("name") == OLLAMA and (found := re.search(r":(\d+)/?$", str(child.get("url")))):
            yield int(found[1])


def _folder(name: str, path: Path) -> Folder:
    if not os.path.isdir(path):
        return Folder(name, path, there=False)
    return Folder(
        name,
        path,
        there=True,
        mode=stat.S_IMODE(path.stat().st_mode),
        writable=os.access(path, os.W_OK | os.X_OK),
        free=shutil.disk_usage(path).free,
        open_files=tuple(str(file) for file in _private(name, path) if _others_may(file)),
        owner=_user(path.stat().st_uid),
        foreign=() if name == "config" else tuple(map(str, foreign(path))),
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _private(name: str, path: Path) -> Iterator[Path]:
    """Files that are nobody else's business. The YAML is not among them: its secrets stand in files of their own."""
    with contextlib.suppress(OSError):
        yield from () if name == "config" else (file for file in path.iterdir() if file.name != ".gitkeep")


def _others_may(file: Path) -> bool:
    try:
        seen = file.lstat()
    except OSError:  # gone since
        return False
    return stat.S_ISREG(seen.st_mode) and bool(seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _database(data: Path) -> Stored | None:
    path = data / NAME
    if not os.path.lexists(path):
        return None
    if fault := not_ours(path):
        return Stored(path, fault=fault.words, remedy=fault.remedy)
    try:
        found = damage(path) or ""
        behind = 0 if found else len(steps(revision_of(path), revisions()))
    except SeadragonError as error:
        return Stored(path, fault=str(error), remedy="It is tried again by itself while Seadragon runs.")
    return Stored(path, path.stat().st_size, damage=found, behind=behind, copy=newest(data / FOLDER, time.time()))


def _unrunnable(config: Config, environment: Mapping[str, str], hands: Hands) -> Iterator[tuple[str, str]]:
    """Why a program that is there cannot be run, by its name."""
    wanted = {"ollama": config.server.ollama.binary, "cloudflared": config.server.tunnel.binary}
    settings = {"ollama": "server.ollama.binary", "cloudflared": "server.tunnel.binary"}
    for name, configured in wanted.items():
        if hands.find(name, configured, environment) is None:
            there = configured or unrunnable(name, environment)
            if there is not None and (fault := fault_of(there)) not in (None, "missing"):
                yield name, unfit_words(there, fault, settings[name])


def _version(program: Path, run: RunTool) -> tuple[int, ...] | None:
    try:
        said = asyncio.run(_said(run, [str(program), "--version"]))
    except (SeadragonError, OSError):
        return None
    found = _VERSION.findall(said.out + said.err)
    return tuple(map(int, found[-1])) if found else None  # the last one: an older server is named before it


def _mac(paths: Paths, models: Path, program: Path | None, run: RunTool) -> Mac:
    def tell(argv: Sequence[str]) -> Said | None:
        with contextlib.suppress(SeadragonError, OSError):
            return asyncio.run(_said(run, argv))
        return None

    return facts_mac.look(tell, (CLONE, paths.config, paths.data, paths.logs, models), program, Path.home())


async def _said(run: RunTool, argv: Sequence[str]) -> Said:
    return await run(argv, limit=TOOL)


def _others(ours: set[int], run: Path) -> Iterator[Serving]:
    for process in psutil.process_iter(["pid", "cmdline", "username"]):
        words = process.info["cmdline"] or []
        if process.pid in ours or not _serves(words) or _kept(process, run):
            continue
        ports: tuple[int, ...] = ()
        with contextlib.suppress(psutil.Error):  # of other users the system says nothing
            listening = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            ports = tuple(sorted({each.laddr.port for each in listening}))
        yield Serving(process.pid, process.info["username"] or "?", ports, app="Ollama.app" in words[0])


def _serves(words: Sequence[str]) -> bool:
    return len(words) > 1 and Path(words[0]).name == "ollama" and words[1] in ("serve", "start")


def _kept(process: psutil.Process, run: Path) -> bool:
    """Whether a keeper of this data folder holds it: ours, though no controller runs at the moment."""
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        return parent is not None and any(word.startswith(f"keeper of {run}{os.sep}") for word in parent.cmdline())
    return False


def _models(folder: Path) -> int | None:
    """Each name is a file below manifests/."""
    try:
        if folder.exists():
            os.listdir(folder)
        return sum(1 for file in (folder / "manifests").rglob("*") if file.is_file())
    except OSError:
        return None


def _left_over(folder: Path) -> int:
    """Bytes of files that no model needs any more."""
    total = 0
    for file in left_over(folder):
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Each installed model with the bytes of its layers, by the name Ollama lists it by."""
    manifests = folder / "manifests"
    with contextlib.suppress(OSError):
        for file in sorted(manifests.rglob("*")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a folder, or not a manifest
                layers = json.loads(file.read_text())["layers"]
                *where, name, tag = file.relative_to(manifests).parts
                path = "/".join([*where, name]).removeprefix("registry.ollama.ai/").removeprefix("library/")
                yield f"{path}:{tag}", sum(int(layer["size"]) for layer in layers)


def _memory(paths: Paths, ours: set[int]) -> Reading:
    """With the GPU's limit as our own Ollama found it, once it ran."""
    gauge = gauge_for_this_machine()
    with contextlib.suppress(OSError):
        gauge.accelerator = accelerator_limit((paths.logs / f"{OLLAMA}.log").read_text(errors="replace"))
    return gauge.read({pid: _taken(pid) for pid in sorted(ours)})


def _taken(pid: int) -> Taken:
    """What can be seen from outside of what a process holds."""
    with contextlib.suppress(psutil.Error):
        in_place = mapped([psutil.Process(pid)])
        return Taken(mapped=in_place, most=in_place)
    return Taken()


def _addresses(config: Config, running: dict[str, object] | None) -> dict[str, bool]:
    """Every address that matters, and whether the running controller has it. What it has beats what the YAML says."""
    listeners = running.get("listeners") if running else None
    held = [str(each.get("address")) for each in listeners] if isinstance(listeners, list) else []
    awaited = running.get("awaited") if running else None
    absent = [str(each.get("address")) for each in awaited] if isinstance(awaited, list) else []
    known = {**dict.fromkeys(held, True), **dict.fromkeys(absent, False)}
    return known or {listener.address: False for listener in config.server.listeners}


def _door(address: str, *, ours: bool) -> Door:
    """If it is not ours, it is tried: nothing shows better that an address can be had."""
    if ours:
        return Door(address, "ours")
    host, port = _host_port(address)
    if not port:
        return Door(address, "free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            trial.listen(1)
    except OSError as error:
        holder = _holder(port) if error.errno == errno.EADDRINUSE else ""
        return Door(address, "taken" if holder else "refused", holder or (error.strerror or str(error)))
    return Door(address, "free")


def _host_port(address: str) -> tuple[str, int]:
    """("", 0) for a UNIX socket."""
    if address.startswith("unix:"):
        return "", 0
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _holder(port: int) -> str:
    """Who listens there, as far as the system tells."""
    for process in psutil.process_iter(["pid", "name", "username"]):
        with contextlib.suppress(psutil.Error):
            for each in process.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN and each.laddr.port == port:
                    return f"{process.info['name']}, process {process.pid} of {process.info['username']}, has it"
    return "another program has it"


def _exposed(ports: Iterable[int]) -> Iterator[str]:
    """This machine's addresses that others use, wherever one of `ports` answers there."""
    tried = [(host, port) for host in _outer_addresses() for port in sorted(ports)]
    with ThreadPoolExecutor(16) as pool:
        for (host, port), answers in zip(tried, pool.map(lambda at: _answers(*at), tried), strict=True):
            if answers:
                yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _outer_addresses() -> Iterator[str]:
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            inner = each.address.startswith(("127.", "fe80:")) or each.address == "::1"
            if each.family in (socket.AF_INET, socket.AF_INET6) and not inner:
                yield each.address


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECTING):
            return True
    except OSError:
        return False
