"""Looking at this machine for Ollama: its program, its models, others of its kind. Judges nothing, changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from controller.doctor.around import Around, children_of, why_unrunnable
from controller.doctor.facts_mac import quarantined
from controller.doctor.facts_ports import exposed, host_port
from controller.doctor.findings import EngineSeen
from controller.engines.engine import Accelerator
from controller.engines.ollama.accelerator import accelerator_limit
from controller.engines.ollama.blobs import left_over
from controller.engines.ollama.checks import judged
from controller.engines.ollama.client import mapped
from controller.engines.ollama.models_folder import models_folder
from controller.engines.ollama.seen import OllamaSeen, Serving
from controller.engines.ollama.settings import OLLAMA, USUAL_PORT
from controller.obtain import whole
from controller.obtain.processors import processors

_VERSION = re.compile(rb"(\d+)\.(\d+)\.(\d+)")


def look(around: Around) -> EngineSeen:
    """What is seen of it, with what is made of that."""
    return replace(judged(seen(around)), in_place=lambda process: mapped([process]))


def seen(around: Around) -> OllamaSeen:
    """All there is to see. Takes a second or two, most of it Ollama saying its version."""
    wish, environment, mac = around.config.server.ollama, around.environment, around.platform == "darwin"
    program = around.hands.find("ollama", wish.binary, environment)
    version = _version(program, around) if program else None
    serving = tuple(_others(around))
    folder = models_folder(around.config.models.folder, environment)
    ports = {USUAL_PORT, *_own_ports(around.running), *(port for each in serving for port in each.ports)}
    return OllamaSeen(
        elsewhere=wish.mode == "external",
        program=program,
        unrunnable="" if program else why_unrunnable("ollama", wish.binary, environment, "server.ollama.binary"),
        version=version,
        lacks=_lacks(program, version, around.platform),
        others=serving,
        models_folder=folder.path,
        models_away=folder.away() if wish.mode == "spawn" else "",
        models=_models(folder.path),
        sizes=dict(_sizes(folder.path)),
        left_over=_left_over(folder.path),
        exposed=tuple(exposed(ports - {host_port(address)[1] for address in around.addresses})),
        origins=wish.environment.get("OLLAMA_ORIGINS", environment.get("OLLAMA_ORIGINS", "")),
        accelerator=_accelerator(around.paths.logs),
        made_for=processors(program) if mac and program else frozenset(),
        quarantined=mac and program is not None and quarantined(around.tell, program),
    )


def _version(program: Path, around: Around) -> tuple[int, ...] | None:
    said = around.tell([str(program), "--version"])
    found = _VERSION.findall(said.out + said.err) if said is not None else []
    return tuple(map(int, found[-1])) if found else None  # the last one: an older server is named before it


def _lacks(program: Path | None, version: tuple[int, ...] | None, platform: str) -> tuple[str, ...]:
    return whole.missing(program, ".".join(map(str, version)), platform) if program and version else ()


def _own_ports(running: Mapping[str, object] | None) -> Iterator[int]:
    for child in children_of(running):
        if child.get("name") == OLLAMA and (found := re.search(r":(\d+)/?$", str(child.get("url")))):
            yield int(found[1])


def _others(around: Around) -> Iterator[Serving]:
    for process in psutil.process_iter(["pid", "cmdline", "username"]):
        words = process.info["cmdline"] or []
        if process.pid in around.ours or not _serves(words) or around.kept(process):
            continue
        ports: tuple[int, ...] = ()
        with contextlib.suppress(psutil.Error):  # of other users the system says nothing
            listening = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            ports = tuple(sorted({each.laddr.port for each in listening}))
        yield Serving(process.pid, process.info["username"] or "?", ports, app="Ollama.app" in words[0])


def _serves(words: Sequence[str]) -> bool:
    return len(words) > 1 and Path(words[0]).name == "ollama" and words[1] in ("serve", "start")


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


def _accelerator(logs: Path) -> Accelerator | None:
    """As ours found it, once it ran."""
    with contextlib.suppress(OSError):
        return accelerator_limit((logs / f"{OLLAMA}.log").read_text(errors="replace"))
    return None
