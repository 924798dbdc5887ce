"""Looking at the machine for the doctor: files, processes, ports. Judges nothing, changes nothing, and
speaks to nobody but this machine and our own public name.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from controller.config.schema import Config
from controller.control import client
from controller.doctor import facts_dates, facts_folders, facts_kept, facts_mac, facts_ports
from controller.doctor.around import TOOL, Around, Hands, children_of, why_unrunnable
from controller.doctor.findings import EngineSeen, Facts
from controller.doctor.findings_mac import Mac
from controller.errors import NotRunning, SeadragonError
from controller.machine import openfiles
from controller.machine.ownership import as_owner_of
from controller.paths import CLONE, Paths
from controller.residency.gauge import gauge_for_this_machine
from controller.residency.memory import Reading
from controller.residency.resident import Taken
from controller.storage.file import NAME


def gather(paths: Paths, environment: Mapping[str, str], hands: Hands, platform: str = sys.platform) -> Facts:
    """All facts. Takes a second or two, most of it programs that say their version."""
    config, problems, warnings = _configuration(paths, environment, hands)
    running, unheard = _running(paths)
    addresses = facts_ports.listeners(config, running)
    ours = frozenset(_pids(running))
    around = Around(paths, environment, hands, platform, config, running, ours, frozenset(addresses))
    engines = tuple(look(around) for look in hands.engines)
    cloudflared = hands.find("cloudflared", config.server.tunnel.binary, environment)
    with as_owner_of(paths.data):  # to root, what is theirs would be another user's
        stored, admins = facts_kept.database(paths.data), facts_kept.admins(paths.data / NAME)
        rights = tuple(facts_kept.rights(paths.data, running))
    return Facts(
        now=time.time(),
        installed_at=max(file.stat().st_mtime for file in (CLONE / "controller").glob("*.py")),
        platform=platform,
        python=sys.version_info[:3],
        config=config,
        config_problems=problems,
        config_warnings=warnings,
        folders=tuple(facts_folders.folder(name, getattr(paths, name)) for name in ("config", "data", "logs")),
        running=running,
        unheard=unheard,
        engines=engines,
        listeners=tuple(facts_ports.listener(address, ours=ours) for address, ours in addresses.items()),
        cloudflared=cloudflared,
        cloudflared_fault=""
        if cloudflared
        else why_unrunnable("cloudflared", config.server.tunnel.binary, environment, "server.tunnel.binary"),
        files_limit=openfiles.most(),
        mac=_mac(around, engines) if platform == "darwin" else None,
        memory=_memory(engines, ours),
        database=stored,
        asked=tuple(hands.ask(_public_names(config))),
        certificates=tuple(facts_kept.certificates(config)),
        secrets=tuple(facts_kept.secrets(config, paths.data)),
        admins=admins,
        dated=tuple(facts_dates.look(paths.data, time.time())),
        rights=rights,
    )


def _mac(around: Around, engines: Iterable[EngineSeen]) -> Mac:
    paths = around.paths
    read = (folder for engine in engines for folder in engine.folders)
    return facts_mac.look(around.tell, (CLONE, paths.config, paths.data, paths.logs, *read), Path.home())


def _memory(engines: Sequence[EngineSeen], ours: Iterable[int]) -> Reading:
    """With the GPU's limit as one of our own engines found it, once it ran."""
    gauge = gauge_for_this_machine()
    gauge.accelerator = next((each.accelerator for each in engines if each.accelerator is not None), None)
    return gauge.read({pid: _taken(pid, engines) for pid in sorted(ours)})


def _public_names(config: Config) -> list[str]:
    tunnel = config.server.tunnel
    return [name for name in tunnel.hostnames if tunnel.mode != "off" and not name.startswith("*")]


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


def _pids(running: dict[str, object] | None) -> Iterator[int]:
    """The processes we run ourselves."""
    for child in children_of(running):
        if isinstance(pid := child.get("pid"), int):
            yield pid
            with contextlib.suppress(psutil.Error):
                yield from (process.pid for process in psutil.Process(pid).children(recursive=True))


def _taken(pid: int, engines: Iterable[EngineSeen]) -> Taken:
    """What can be seen from outside of what a process holds."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        in_place = sum(engine.in_place(process) for engine in engines)
        return Taken(mapped=in_place, most=in_place)
    return Taken()
