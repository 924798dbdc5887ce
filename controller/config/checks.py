"""What no single value can tell: values that must fit each other, and the world outside the YAML.

Each check is a generator of findings. `INSIDE` is plain arithmetic on the tree; `OUTSIDE` looks at files, and is left
out for a last good copy, where a missing program is the child's trouble and not a reason to run nothing at all.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final

from controller import tls as https
from controller.auth.access import NEVER
from controller.auth.lookalikes import alike
from controller.auth.policy import ROLES, Right
from controller.config import checks_listeners, checks_models
from controller.config.addresses import Place, place
from controller.config.checks_listeners import clash
from controller.config.finding import Check, Finding
from controller.config.problem import Location, dotted, shown
from controller.config.processes import TUNNEL
from controller.config.schema import Config
from controller.engines.ollama.settings import OLLAMA
from controller.obtain.find import Fault, fault_of

ADOPTED_URL: Final = "http://127.0.0.1:11434"

_RESERVED: Final = frozenset({OLLAMA, TUNNEL, "controller", "cloudflared", "keeper", "gateway", "config", "seadragon"})
_CHILD_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

OLLAMA_VARIABLES: Final[Mapping[str, str]] = {
    "OLLAMA_HOST": "server.ollama.port (its port is private)",
    "OLLAMA_MODELS": "models.folder",
    "OLLAMA_CONTEXT_LENGTH": "models.context_length",
    "OLLAMA_NUM_PARALLEL": "models.parallel",
    "OLLAMA_MAX_LOADED_MODELS": "models.max_loaded",
    "OLLAMA_MAX_QUEUE": "server.line.whole",
    "OLLAMA_KEEP_ALIVE": "models.keep_alive",
    "OLLAMA_LOAD_TIMEOUT": "models.load_timeout",
    "OLLAMA_FLASH_ATTENTION": "models.flash_attention",
    "OLLAMA_KV_CACHE_TYPE": "models.kv_cache_type",
    "LLAMA_ARG_CACHE_RAM": "models.prompt_cache",
    "LLAMA_ARG_CTX_CHECKPOINTS": "models.prompt_cache",
    "OLLAMA_NO_CLOUD": "models.no_cloud",
    "OLLAMA_NOPRUNE": "nothing: Seadragon sets it for a folder that others use too",
    "OLLAMA_ORIGINS": "access.origins",
    "OLLAMA_DEBUG_LOG_REQUESTS": "nothing: it would write what people ask to disk",
}
"""What Seadragon itself sets for Ollama (or never wants set), and where the operator says it instead."""

_LOUDEST_DEBUG: Final = frozenset({"", "0", "1", "false", "true", "f", "t"})  # from 2 on Ollama logs prompts


def inside(config: Config) -> Iterator[Finding]:
    """Values that do not fit each other."""
    for check in INSIDE:
        yield from check(config)


def outside(config: Config) -> Iterator[Finding]:
    """Files and programs that are not there or not as they must be."""
    for check in OUTSIDE:
        yield from check(config)


def private_file_fault(path: Path) -> str | None:
    """Why a file may not hold a secret; None when it may: a file of ours that nobody else can read."""
    facts = _facts(path)
    if facts is None:
        return "no such file"
    if not stat.S_ISREG(facts.st_mode):
        return "something that is not a file"
    if facts.st_mode & 0o077:
        return f"a file that others may read (mode {stat.S_IMODE(facts.st_mode):04o})"
    if os.geteuid() not in (0, facts.st_uid):
        return "a file that belongs to somebody else"
    return None if facts.st_size else "an empty file"


def marked(path: Path) -> bool:
    """Whether a file begins with a byte order mark: who reads it as it is takes that for a part of the text."""
    try:
        with path.open("rb") as file:
            return file.read(3).startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    except OSError:
        return False


PLAIN_FILE: Final = "the same text saved as plain UTF-8, without a byte order mark (BOM)"
PRIVATE_FILE: Final = "a file of ours that only we may read (chmod 600)"


def _rights_possible(config: Config) -> Iterator[Finding]:
    for name in type(config.access.roles).model_fields:
        most, wish = ROLES[name].most, getattr(config.access.roles, name).may or ()
        for index, right in enumerate(wish):
            if Right(right) not in most:
                allowed = f"one of {', '.join(each for each in Right if each in most)}: that is the most {name} may do"
                yield Finding(("access", "roles", name, "may", index), right, allowed)


def _labels_differ(config: Config) -> Iterator[Finding]:
    """An entry is known by its label, and so is what it used."""
    labels = [entry.label for entry in config.access.allow]
    for index, label in enumerate(labels):
        if (other := alike(label, labels[:index])) is not None:
            allowed = f"a label that nobody takes for that of another entry, {shown(other)}: put addresses that belong "
            yield Finding(("access", "allow", index, "label"), label, allowed + "together into one entry")


def _loopback_stays_home(config: Config) -> Iterator[Finding]:
    for index, entry in enumerate(config.access.allow):
        for number, address in enumerate(entry.addresses):
            if entry.through_tunnel and _anybodys(ip_network(address)):
                allowed = "an address of yours that others can see: through_tunnel has no meaning for this one"
                yield Finding(("access", "allow", index, "addresses", number), address, allowed)


def _anybodys(network: IPv4Network | IPv6Network) -> bool:
    return network.is_loopback or (network.prefixlen == network.max_prefixlen and network.network_address == NEVER)


def _upstream_known(config: Config) -> Iterator[Finding]:
    ollama, at = config.server.ollama, ("server", "ollama", "url")
    if ollama.mode == "external" and ollama.url is None:
        yield Finding(at, "nothing", "http://host:port of the other Ollama", ("server", "ollama", "mode"))
    url = ollama.url or ADOPTED_URL
    where = place(url.removeprefix("http://"))
    if ollama.mode == "adopt" and not where.loopback:
        yield Finding(at, url, "an address of this machine; for another machine: mode: external")
    if ollama.mode != "spawn" and (mine := _own(config, where)):
        yield Finding(at, f"{url}, Seadragon's own {mine}", "the address of an Ollama", ("server", "ollama", "mode"))


def _private_port_free(config: Config) -> Iterator[Finding]:
    ollama = config.server.ollama
    if ollama.port is not None and (mine := _own(config, Place("127.0.0.1", ollama.port))):
        yield Finding(("server", "ollama", "port"), str(ollama.port), f"a port that no listener has ({mine} does)")


def _own(config: Config, where: Place) -> str | None:
    return next((each.address for each in config.server.listeners if clash(each.place, where)), None)


_TUNNEL_NEEDS: Final = (
    ("token", "token_file", "a file (chmod 600) with the token from Cloudflare's dashboard"),
    ("named", "tunnel_id", "the tunnel's id, as `cloudflared tunnel list` shows it"),
    ("named", "credentials_file", "the file (chmod 600) that `cloudflared tunnel create` wrote"),
    ("named", "hostnames", "a list with at least one public name"),
)


def _tunnel_complete(config: Config) -> Iterator[Finding]:
    tunnel = config.server.tunnel
    for mode, name, allowed in _TUNNEL_NEEDS:
        if tunnel.mode == mode and not getattr(tunnel, name):
            at = ("server", "tunnel", "mode")
            yield Finding(("server", "tunnel", name), "nothing", f"{allowed}: mode {mode} needs it", at)
    if len(tunnel.edge) == 1:  # cloudflared then spins without a pause between its attempts
        yield Finding(("server", "tunnel", "edge"), "one address", "two at least, or none")


def _children_named(config: Config) -> Iterator[Finding]:
    for name in config.server.children:
        at = ("server", "children", name)
        if name in _RESERVED:
            yield Finding(at, shown(name), "a name that Seadragon does not use itself", key=True)
        elif not _CHILD_NAME.fullmatch(name):
            allowed = "a name of small letters, digits, - and _ that begins with a letter"
            yield Finding(at, shown(name), allowed, key=True)


def _variables_free(config: Config) -> Iterator[Finding]:
    for location, variables, taken in environments(config):
        for name, value in variables.items():
            if not _VARIABLE.fullmatch(name):
                yield Finding((*location, name), shown(name), "a name of letters, digits and _", key=True)
            elif (instead := taken(name, value)) is not None:
                yield Finding((*location, name), f"{name}, which Seadragon sets", f"instead {instead}", key=True)


Taken = Callable[[str, str], str | None]


def environments(config: Config) -> Iterator[tuple[Location, Mapping[str, str], Taken]]:
    """Every block of variables, with the rule for what it may not set."""
    yield ("server", "ollama", "environment"), config.server.ollama.environment, _taken_by_ollama
    yield ("server", "tunnel", "environment"), config.server.tunnel.environment, _taken_by_tunnel
    for name, child in config.server.children.items():
        yield ("server", "children", name, "environment"), child.environment, lambda *_: None


def _taken_by_ollama(name: str, value: str) -> str | None:
    if name == "OLLAMA_DEBUG" and value.lower() not in _LOUDEST_DEBUG:
        return "OLLAMA_DEBUG: 1 (from 2 on it writes what people ask into the log)"
    return OLLAMA_VARIABLES.get(name)


def _taken_by_tunnel(name: str, value: str) -> str | None:
    """Each flag of cloudflared has a TUNNEL_ variable; some would override ours, `debug` would log secrets."""
    return "the settings of server.tunnel" if name.startswith("TUNNEL_") or name == "NO_AUTOUPDATE" else None


INSIDE: Final[tuple[Check, ...]] = (
    *checks_listeners.INSIDE,
    _rights_possible,
    _labels_differ,
    _loopback_stays_home,
    _upstream_known,
    _private_port_free,
    _tunnel_complete,
    _children_named,
    _variables_free,
    *checks_models.INSIDE,
)


def _programs_run(config: Config) -> Iterator[Finding]:
    for branch, binary in (("ollama", config.server.ollama.binary), ("tunnel", config.server.tunnel.binary)):
        if binary is not None and (fault := fault_of(binary)) is not None:
            allowed = f"a program that may be executed; empty: {branch} is looked for"
            yield Finding(("server", branch, "binary"), f"{_NO_PROGRAM[fault]}: {shown(str(binary))}", allowed)


_NO_PROGRAM: Final[Mapping[Fault, str]] = {
    "missing": "no program",
    "dangling": "a link to what is not there",
    "shut": "a program in a folder that this user may not enter",
    "no_file": "a folder",
    "not_executable": "a file that may not be executed (chmod +x)",
}


def _children_run(config: Config) -> Iterator[Finding]:
    for name, child in config.server.children.items():
        at, program = ("server", "children", name), child.command[0]
        path = child.environment.get("PATH")
        if shutil.which(program, path=path) is None:
            there = shutil.which(program, mode=os.F_OK, path=path)
            fault = fault_of(Path(there or program)) or "missing"
            found = f"{_NO_PROGRAM[fault]}: {shown(there or program)}"
            yield Finding((*at, "command", 0), found, "a program on PATH, or its full path")
        if child.folder is not None and not _is_folder(child.folder):
            yield Finding((*at, "folder"), f"no folder at {shown(str(child.folder))}", "a folder that exists")


def _tunnel_files(config: Config) -> Iterator[Finding]:
    tunnel = config.server.tunnel
    used = {"token": ("token_file", tunnel.token_file), "named": ("credentials_file", tunnel.credentials_file)}
    name, path = used.get(tunnel.mode, ("", None))
    if path is not None and (fault := private_file_fault(path)):
        yield Finding(("server", "tunnel", name), f"{fault}: {shown(str(path))}", PRIVATE_FILE)
    elif path is not None and marked(path):
        words = f"a file that cloudflared cannot read: {shown(str(path))}"
        yield Finding(("server", "tunnel", name), words, PLAIN_FILE)
    if tunnel.edge_ca is not None and not _reads(tunnel.edge_ca):
        yield Finding(
            ("server", "tunnel", "edge_ca"), f"no readable file at {shown(str(tunnel.edge_ca))}", "a certificate file"
        )


def _certificates_good(config: Config) -> Iterator[Finding]:
    for index, listener in enumerate(config.server.listeners):
        at, tls = ("server", "listeners", index, "tls"), listener.tls
        if tls.cert is None or tls.key is None:
            continue
        if fault := private_file_fault(tls.key):
            yield Finding((*at, "key"), f"{fault}: {shown(str(tls.key))}", PRIVATE_FILE)
            continue
        try:
            https.check(tls.cert, tls.key, time.time())
        except https.CertificateFault as found:
            path = tls.cert if found.part == "cert" else tls.key
            yield Finding((*at, found.part), f"{found}: {shown(str(path))}", _GOOD[found.part])


_GOOD: Final[Mapping[str, str]] = {
    "cert": "a PEM file with a certificate that holds today, its own first, then its chain",
    "key": "the private key of that certificate, in PEM, without a password",
}

OUTSIDE: Final[tuple[Check, ...]] = (_programs_run, _children_run, _tunnel_files, _certificates_good)


def warnings(config: Config) -> Iterator[str]:
    """What is allowed and still worth a word."""
    for index, listener in enumerate(config.server.listeners):
        if not listener.place.loopback:
            yield (
                f"{dotted(('server', 'listeners', index))}: {listener.address} can be reached from other machines. "
                "Who may use it is what access.yaml allows."
            )
    if config.server.ollama.mode == "spawn" and config.server.ollama.url is not None:
        yield "server.ollama.url has no effect with mode: spawn; it is for adopt and external."
    if config.access.roles.anonymous.may:
        yield "access.roles.anonymous: who shows no key may use this server from wherever its listeners are reached."
    if "null" in config.access.origins:
        yield (
            "access.origins: null lets in every page of the web, for any of them can send that: whatever is open in a "
            "browser on an allowed machine may use the models. Take it out when you need it no more."
        )
    yield from _shadowed(config)
    yield from checks_models.warnings(config)
    folder = config.models.folder
    if folder is not None and config.server.ollama.mode != "external" and not _is_folder(folder):
        yield f"models.folder: no folder at {folder}. Is its disk connected? Ollama waits for it."
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


def _facts(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # ValueError: a zero character or half a surrogate in the path
        return None


def _is_file(path: Path) -> bool:
    facts = _facts(path)
    return facts is not None and stat.S_ISREG(facts.st_mode)


def _is_folder(path: Path) -> bool:
    facts = _facts(path)
    return facts is not None and stat.S_ISDIR(facts.st_mode)


def _reads(path: Path) -> bool:
    return _is_file(path) and os.access(path, os.R_OK)
