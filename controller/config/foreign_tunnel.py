"""A tunnel that somebody set up before: cloudflared's own configuration, in the words of our server.yaml. Pure.

Theirs is read and never changed; what is taken over is who the tunnel is, and which of its names lead to us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller.config.document import Data, Document
from controller.config.schema import Config
from controller.engines.settings import EngineSections
from controller.errors import SeadragonError

_LINE = re.compile(r"(\s+[a-z_]+:)[^#]*?(\s*)(#.*)?")


@dataclass(frozen=True, slots=True)
class ForeignTunnel:
    """What their configuration says."""

    id: str
    credentials: str  # a path, perhaps with ~
    services: Mapping[str, str]  # public name to where it leads

    def leading_to(self, ours: Iterable[str]) -> tuple[str, ...]:
        """The names that lead to one of `ours`, as `services_of` spells them."""
        known = set(ours)
        return tuple(name for name, service in self.services.items() if _plain(service) in known)

    def to_engines(self) -> dict[str, str]:
        """Names that lead straight to an engine, which asks nobody for a key, each with what people call that."""
        engines = EngineSections().engines.values()
        usual = {engine.usual_port: engine.title for engine in engines}
        ports = {name: _plain(service).rpartition(":")[2] for name, service in self.services.items()}
        return {name: usual[int(port)] for name, port in ports.items() if port.isdecimal() and int(port) in usual}


def understand(read: Document) -> ForeignTunnel:
    """Raises SeadragonError, saying what is missing."""
    if read.problems:
        raise SeadragonError(str(read.problems[0]))
    data = read.data if isinstance(read.data, dict) else {}
    id, credentials = _text(data, "tunnel"), _text(data, "credentials-file")
    if not id:
        raise SeadragonError(
            f"{read.file} names no tunnel. One that is managed in Cloudflare's dashboard has none: use its token, "
            "as docs/tunnel.md says."
        )
    return ForeignTunnel(id, credentials or f"~/.cloudflared/{id}.json", dict(_rules(data.get("ingress"))))


def services_of(addresses: Iterable[str]) -> list[str]:
    """How a rule of theirs would spell each of our listeners."""
    return [each if each.startswith("unix:") else _plain(f"http://{each}") for each in addresses]


def settings(found: ForeignTunnel, hostnames: Iterable[str]) -> dict[str, str]:
    """The lines of our `tunnel:` block, by setting."""
    return {
        "mode": "named",
        "tunnel_id": found.id,
        "credentials_file": _quoted(found.credentials),
        "hostnames": f"[{', '.join(map(_quoted, hostnames))}]",
    }


def block(lines: Mapping[str, str]) -> str:
    """The same as YAML."""
    return "tunnel:\n" + "".join(f"  {name}: {value}\n" for name, value in lines.items())


def put_in(read: Document, text: str, lines: Mapping[str, str]) -> str:
    """server.yaml (`text`, which `read` was read from) with these settings; every other line, comments too, as it was.

    What stands on several lines is not understood: whoever writes the result holds it against what was wanted.
    """
    rows = text.splitlines()
    if ("server", "tunnel") not in read.keys:
        return text + ("" if text.endswith("\n") or not text else "\n") + "\n" + block(lines)
    missing = []
    for name, value in lines.items():
        spot = read.keys.get(("server", "tunnel", name))
        if spot is None:
            missing.append(f"  {name}: {value}")
            continue
        rows[spot.line - 1] = _with_value(rows[spot.line - 1], value)
    at = read.keys[("server", "tunnel")].line
    rows[at:at] = missing
    return "\n".join(rows) + "\n"


def agrees(config: Config, found: ForeignTunnel, hostnames: tuple[str, ...]) -> bool:
    """Whether a configuration that was read again says what was meant."""
    tunnel = config.server.tunnel
    return (tunnel.mode, tunnel.tunnel_id, tunnel.hostnames) == ("named", found.id, hostnames)


def _with_value(row: str, value: str) -> str:
    found = _LINE.fullmatch(row)
    if found is None:
        return row
    key, _, comment = found.groups()
    line = f"{key} {value}"
    return line if comment is None else line.ljust(row.index(comment) - 1) + " " + comment


def _rules(ingress: Data | None) -> Iterator[tuple[str, str]]:
    for rule in ingress if isinstance(ingress, list) else ():
        if isinstance(rule, dict) and (name := _text(rule, "hostname")) and (service := _text(rule, "service")):
            yield name.lower(), service


def _text(data: Mapping[str, Data], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _plain(service: str) -> str:
    """One spelling for all that mean this machine."""
    return re.sub(r"^http://(localhost|0\.0\.0\.0|\[::1?\])(?=[:/]|$)", "http://127.0.0.1", service.rstrip("/"))


def _quoted(text: str) -> str:
    return (
        text if re.fullmatch(r"[A-Za-z0-9~/._-]+", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
