"""What no single value can tell: values that must fit each other, and the world outside the YAML.

Each check is a generator of findings. `INSIDE` is plain arithmetic on the tree; `OUTSIDE` looks at files, and is left
out for a last good copy, where a missing program is the child's trouble and not a reason to run nothing at all.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final

from controller import tls as https
from controller.auth.access import NEVER
from controller.auth.lookalikes import alike
from controller.auth.policy import ROLES, Right
from controller.config import checks_listeners, checks_models
from controller.config.mistake import Check, Mistake
from controller.config.problem import Location, dotted, shown
from controller.config.processes import TUNNEL
from controller.config.schema import Config
from controller.engines.rules import RULES, Taken
from controller.engines.settings import TITLES
from controller.files import (
    NO_PROGRAM,
    PLAIN_FILE,
    PRIVATE_FILE,
    is_folder,
    marked,
    private_file_fault,
    program_fault,
    readable,
)
from controller.obtain.find import fault_of

_RESERVED: Final = frozenset({*TITLES, TUNNEL, "controller", "cloudflared", "keeper", "gateway", "config", "seadragon"})
_CHILD_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def inside(config: Config) -> Iterator[Mistake]:
    """Values that do not fit each other."""
    for check in INSIDE:
        yield from check(config)


def outside(config: Config) -> Iterator[Mistake]:
    """Files and programs that are not there or not as they must be."""
    for check in OUTSIDE:
        yield from check(config)


def _rights_possible(config: Config) -> Iterator[Mistake]:
    for name in type(config.access.roles).model_fields:
        most, wish = ROLES[name].most, getattr(config.access.roles, name).may or ()
        for index, right in enumerate(wish):
            if Right(right) not in most:
                allowed = f"one of {', '.join(each for each in Right if each in most)}: that is the most {name} may do"
                yield Mistake(("access", "roles", name, "may", index), right, allowed)


def _labels_differ(config: Config) -> Iterator[Mistake]:
    """An entry is known by its label, and so is what it used."""
    labels = [entry.label for entry in config.access.allow]
    for index, label in enumerate(labels):
        if (other := alike(label, labels[:index])) is not None:
            allowed = f"a label that nobody takes for that of another entry, {shown(other)}: put addresses that belong "
            yield Mistake(("access", "allow", index, "label"), label, allowed + "together into one entry")


def _loopback_stays_home(config: Config) -> Iterator[Mistake]:
    for index, entry in enumerate(config.access.allow):
        for number, address in enumerate(entry.addresses):
            if entry.through_tunnel and _anybodys(ip_network(address)):
                allowed = "an address of yours that others can see: through_tunnel has no meaning for this one"
                yield Mistake(("access", "allow", index, "addresses", number), address, allowed)


def _anybodys(network: IPv4Network | IPv6Network) -> bool:
    return network.is_loopback or (network.prefixlen == network.max_prefixlen and network.network_address == NEVER)


_TUNNEL_NEEDS: Final = (
    ("token", "token_file", "a file (chmod 600) with the token from Cloudflare's dashboard"),
    ("named", "tunnel_id", "the tunnel's id, as `cloudflared tunnel list` shows it"),
    ("named", "credentials_file", "the file (chmod 600) that `cloudflared tunnel create` wrote"),
    ("named", "hostnames", "a list with at least one public name"),
)


def _tunnel_complete(config: Config) -> Iterator[Mistake]:
    tunnel = config.server.tunnel
    for mode, name, allowed in _TUNNEL_NEEDS:
        if tunnel.mode == mode and not getattr(tunnel, name):
            at = ("server", "tunnel", "mode")
            yield Mistake(("server", "tunnel", name), "nothing", f"{allowed}: mode {mode} needs it", at)
    if len(tunnel.edge) == 1:  # cloudflared then spins without a pause between its attempts
        yield Mistake(("server", "tunnel", "edge"), "one address", "two at least, or none")


def _children_named(config: Config) -> Iterator[Mistake]:
    for name in config.server.children:
        at = ("server", "children", name)
        if name in _RESERVED:
            yield Mistake(at, shown(name), "a name that Seadragon does not use itself", key=True)
        elif not _CHILD_NAME.fullmatch(name):
            allowed = "a name of small letters, digits, - and _ that begins with a letter"
            yield Mistake(at, shown(name), allowed, key=True)


def _variables_free(config: Config) -> Iterator[Mistake]:
    for location, variables, taken in environments(config):
        for name, value in variables.items():
            if not _VARIABLE.fullmatch(name):
                yield Mistake((*location, name), shown(name), "a name of letters, digits and _", key=True)
            elif (instead := taken(name, value)) is not None:
                yield Mistake((*location, name), f"{name}, which Seadragon sets", f"instead {instead}", key=True)


def environments(config: Config) -> Iterator[tuple[Location, Mapping[str, str], Taken]]:
    """Every block of variables, with the rule for what it may not set."""
    for rules in RULES:
        yield ("server", rules.engine, "environment"), rules.environment(config), rules.taken
    yield ("server", "tunnel", "environment"), config.server.tunnel.environment, _taken_by_tunnel
    for name, child in config.server.children.items():
        yield ("server", "children", name, "environment"), child.environment, lambda *_: None


def _taken_by_tunnel(name: str, value: str) -> str | None:
    """Each flag of cloudflared has a TUNNEL_ variable; some would override ours, `debug` would log secrets."""
    return "the settings of server.tunnel" if name.startswith("TUNNEL_") or name == "NO_AUTOUPDATE" else None


INSIDE: Final[tuple[Check, ...]] = (
    *checks_listeners.INSIDE,
    _rights_possible,
    _labels_differ,
    _loopback_stays_home,
    *(check for rules in RULES for check in rules.inside),
    _tunnel_complete,
    _children_named,
    _variables_free,
    *checks_models.INSIDE,
)


def _tunnel_runs(config: Config) -> Iterator[Mistake]:
    binary = config.server.tunnel.binary
    if binary is not None and (found := program_fault(binary)) is not None:
        allowed = "a program that may be executed; empty: tunnel is looked for"
        yield Mistake(("server", "tunnel", "binary"), found, allowed)


def _children_run(config: Config) -> Iterator[Mistake]:
    for name, child in config.server.children.items():
        at, program = ("server", "children", name), child.command[0]
        path = child.environment.get("PATH")
        if shutil.which(program, path=path) is None:
            there = shutil.which(program, mode=os.F_OK, path=path)
            fault = fault_of(Path(there or program)) or "missing"
            found = f"{NO_PROGRAM[fault]}: {shown(there or program)}"
            yield Mistake((*at, "command", 0), found, "a program on PATH, or its full path")
        if child.folder is not None and not is_folder(child.folder):
            yield Mistake((*at, "folder"), f"no folder at {shown(str(child.folder))}", "a folder that exists")


def _tunnel_files(config: Config) -> Iterator[Mistake]:
    tunnel = config.server.tunnel
    used = {"token": ("token_file", tunnel.token_file), "named": ("credentials_file", tunnel.credentials_file)}
    name, path = used.get(tunnel.mode, ("", None))
    if path is not None and (fault := private_file_fault(path)):
        yield Mistake(("server", "tunnel", name), f"{fault}: {shown(str(path))}", PRIVATE_FILE)
    elif path is not None and marked(path):
        words = f"a file that cloudflared cannot read: {shown(str(path))}"
        yield Mistake(("server", "tunnel", name), words, PLAIN_FILE)
    if tunnel.edge_ca is not None and not readable(tunnel.edge_ca):
        yield Mistake(
            ("server", "tunnel", "edge_ca"), f"no readable file at {shown(str(tunnel.edge_ca))}", "a certificate file"
        )


def _certificates_good(config: Config) -> Iterator[Mistake]:
    for index, listener in enumerate(config.server.listeners):
        at, tls = ("server", "listeners", index, "tls"), listener.tls
        if tls.cert is None or tls.key is None:
            continue
        if fault := private_file_fault(tls.key):
            yield Mistake((*at, "key"), f"{fault}: {shown(str(tls.key))}", PRIVATE_FILE)
            continue
        try:
            https.check(tls.cert, tls.key, time.time())
        except https.CertificateFault as found:
            path = tls.cert if found.part == "cert" else tls.key
            yield Mistake((*at, found.part), f"{found}: {shown(str(path))}", _GOOD[found.part])


_GOOD: Final[Mapping[str, str]] = {
    "cert": "a PEM file with a certificate that holds today, its own first, then its chain",
    "key": "the private key of that certificate, in PEM, without a password",
}

OUTSIDE: Final[tuple[Check, ...]] = (
    *(check for rules in RULES for check in rules.outside),
    _tunnel_runs,
    _children_run,
    _tunnel_files,
    _certificates_good,
)


def warnings(config: Config) -> Iterator[str]:
    """What is allowed and still worth a word."""
    for index, listener in enumerate(config.server.listeners):
        if not listener.place.loopback:
            yield (
                f"{dotted(('server', 'listeners', index))}: {listener.address} can be reached from other machines. "
                "Who may use it is what access.yaml allows."
            )
    if config.access.roles.anonymous.may:
        yield "access.roles.anonymous: who shows no key may use this server from wherever its listeners are reached."
    if "null" in config.access.origins:
        yield (
            "access.origins: null lets in every page of the web, for any of them can send that: whatever is open in a "
            "browser on an allowed machine may use the models. Take it out when you need it no more."
        )
    yield from _shadowed(config)
    yield from checks_models.warnings(config)
    for rules in RULES:
        yield from rules.warnings(config)
    for index, entry in enumerate(config.access.allow):
        if entry.through_tunnel and any("/" in address for address in entry.addresses):
            at = dotted(("access", "allow", index))
            yield f"{at}: everybody in the ranges of {shown(entry.label)} may come in from the internet, without a key."
        if entry.manage and any("/" in address for address in entry.addresses):
            at = dotted(("access", "allow", index))
            yield f"{at}: everybody in the ranges of {shown(entry.label)} may pull and delete models (manage: true)."


def _shadowed(config: Config) -> Iterator[str]:
    ranges = [[ip_network(text) for text in entry.addresses] for entry in config.access.allow]
    for index, later in enumerate(ranges):
        earlier = [network for entry in ranges[:index] for network in entry]
        if all(any(_within(network, wide) for wide in earlier) for network in later):
            at = dotted(("access", "allow", index))
            yield f"{at}: never used, because entries above it match the same addresses first."


def _within(network: IPv4Network | IPv6Network, wide: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(wide, IPv4Network) and network.subnet_of(wide)
    return isinstance(wide, IPv6Network) and network.subnet_of(wide)
