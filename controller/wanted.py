"""What a configuration asks for: which listeners, which children. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from controller.config.listening import Listener
from controller.config.processes import TUNNEL
from controller.config.schema import Config
from controller.errors import NotApplied
from controller.listeners import split
from controller.machine.socketpath import socket_path
from controller.paths import Paths
from controller.supervision.program_cloudflared import Cloudflared
from controller.supervision.program_further import Further
from controller.supervision.programs import Program, Workspace


def on_port(config: Config, port: int | None) -> Config:
    """`config` as it is when the command line gives the first direct listener another port."""
    wanted = list(config.server.listeners)
    first = next((one for one in wanted if one.kind == "direct" and not one.address.startswith("unix:")), None)
    if port is None or first is None:
        return config
    host = first.address.rpartition(":")[0]
    wanted[wanted.index(first)] = first.model_copy(update={"address": f"{host}:{port}"})
    return config.model_copy(update={"server": config.server.model_copy(update={"listeners": tuple(wanted)})})


def listeners(config: Config, run: Path) -> list[Listener]:
    """The listeners of `config`; the tunnel's own is added when there is a tunnel."""
    wanted = list(config.server.listeners)
    if config.server.tunnel.mode != "off" and not any(one.kind == "tunnel" for one in wanted):
        wanted.append(Listener(address=_edge(run), kind="tunnel"))
    return wanted


def origin(config: Config, run: Path) -> str:
    """What cloudflared forwards to: the tunnel's own listener, since trust is bound to where a request comes in."""
    given = _tunnels_end(config, run)
    if given.startswith("unix:"):
        return given
    host, port = split(given)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _tunnels_end(config: Config, run: Path) -> str:
    return next((one.address for one in config.server.listeners if one.kind == "tunnel"), _edge(run))


def _edge(run: Path) -> str:
    return f"unix:{socket_path(run / TUNNEL / 'edge.sock')}"


def programs(
    config: Config,
    paths: Paths,
    environment: Mapping[str, str],
    engine: Callable[[Workspace], Program],
    is_open: Callable[[str], bool] = lambda address: True,
) -> list[Program]:
    """Every child that should run, the engine's first. `is_open`: whether we listen at an address."""
    place = workspace(config, paths, environment)
    end = _tunnels_end(config, paths.run)
    cloudflared = Cloudflared(config, place, origin(config, paths.run), lambda: is_open(end))
    tunnel = [] if config.server.tunnel.mode == "off" else [cloudflared]
    further = [Further(name, child, place) for name, child in config.server.children.items()]
    return [engine(place), *tunnel, *further]


def workspace(config: Config, paths: Paths, environment: Mapping[str, str]) -> Workspace:
    """Where children live, and what they are given."""
    log = config.server.log
    return Workspace(paths.data, paths.logs, environment, log_file_size=log.file_size, log_files=log.files)


async def accept(programs: Iterable[Program]) -> None:
    """Have cloudflared look at the tunnel's rules before anything is given up for them. Raises NotApplied."""
    for program in programs:
        if isinstance(program, Cloudflared) and (fault := await program.objection()) is not None:
            raise NotApplied(fault)
