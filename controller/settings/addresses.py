"""Addresses, names and path prefixes as the YAML spells them: each function returns the one canonical spelling.

All raise ValueError whose text says what is allowed instead. Nothing here looks a name up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

LISTENER_WORDS: Final = "host:port, [ipv6]:port or unix:/absolute/path"
NETWORK_WORDS: Final = "an IP address (192.168.1.20, fd00::5) or a range (192.168.1.0/24, fd00:1:2::/48)"
PREFIX_WORDS: Final = "a path such as /ollama: letters, digits, - _ . ~ between slashes"
HOST_WORDS: Final = "a name such as mini.local, or an IP address; no scheme, no port, no *"
ORIGIN_WORDS: Final = (
    "scheme://host, scheme://host:port (* for any port), scheme://* for a scheme that is not the web's, file:// or null"
)
URL_WORDS: Final = "http://host:port, without user, path or query"
PROBE_WORDS: Final = "http://host:port/path"
PUBLIC_NAME_WORDS: Final = "a public name such as ai.example.org or *.example.org"
EDGE_WORDS: Final = "host:port"
HEADER_WORDS: Final = "the name of a header, such as x-forwarded-for or x-real-ip"

LONGEST_SOCKET_PATH: Final = 96  # bytes; macOS allows 104 with the closing zero, Linux 108
_WIDEST = {4: 16, 6: 48}  # a house, or the whole of what a provider hands to one; wider is somebody else's network
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMERIC = re.compile(r"[0-9.]+")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*|\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}|\*))?")
_HOSTLESS = ("null", "file://")
_HEADER = re.compile(r"[a-z0-9-]{1,64}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")

# Paths the server answers itself. A prefix may neither be one of them nor lie below one; below /api only names that
# the native API and ours do not use are free (`/api/code` is one that clients really ask for).
_TAKEN = frozenset(
    "v1 v1beta chat completions models embeddings responses messages healthz readyz metrics live static favicon.ico "
    "app admin account login".split()
)
_TAKEN_IN_API = frozenset(
    "api v1 generate chat embed embeddings tags show ps version pull push create copy delete blobs me status signin "
    "signout experimental web_search web_fetch user".split()
)

_SHARED = IPv4Network("100.64.0.0/10")

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Place:
    """Where a listener listens: a host and port, or the path of a UNIX socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        address = _ip(self.host)
        return address is not None and address.is_loopback

    @property
    def private(self) -> bool:
        """Whether it is one address of a house's own network, this machine's own, or Tailscale's (RFC 6598)."""
        address = _ip(self.host)
        if address is None:
            return self.loopback
        shared = address.version == 4 and address in _SHARED
        return (address.is_private or shared) and not address.is_unspecified

    @property
    def everywhere(self) -> bool:
        """Whether it listens on every address of the machine."""
        address = _ip(self.host)
        return address is not None and address.is_unspecified

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place(address: str) -> Place:
    """Take a listener's address apart. Port 0 means: any free one."""
    if address.startswith("unix:"):
        return _socket(address.removeprefix("unix:"))
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ValueError(LISTENER_WORDS)
    return Place(_host(host, LISTENER_WORDS), _port(port, LISTENER_WORDS, lowest=0))


def listener_address(address: str) -> str:
    """The canonical spelling of a listener's address."""
    return str(place(address))


def network(text: str) -> str:
    """An address or range that may be allowed in: strict, and no wider than one household's own network."""
    try:
        found = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{NETWORK_WORDS}; names are not looked up") from None
    if isinstance(found, IPv6Network):
        found = _without_zone_or_mapping(found)
    if "/" in text and ip_address(text.strip().split("/")[0].split("%")[0]) != _first(found, text):
        raise ValueError(f"a range that begins at its own first address; perhaps {found} was meant")
    return _narrow(found)


def path_prefix(text: str) -> str:
    """A path prefix: one slash in front, none behind, and nothing the server answers itself."""
    prefix = "/" + text.strip().strip("/")
    parts = prefix.split("/")[1:]
    if not _PREFIX.fullmatch(prefix) or {".", ".."} & set(parts):
        raise ValueError(PREFIX_WORDS)
    in_api = parts[0] == "api" and (len(parts) == 1 or parts[1] in _TAKEN_IN_API)
    if parts[0] in _TAKEN or in_api:
        raise ValueError(f"{PREFIX_WORDS}; {prefix} would hide a path that Seadragon answers itself")
    return prefix


def host_name(text: str) -> str:
    """A name this server may be called by, in small letters."""
    name = text.strip().lower().strip("[]")
    address = _ip(name)
    if address is not None:
        return str(address)
    if not _is_name(name):
        raise ValueError(HOST_WORDS)
    return name.rstrip(".")


def public_name(text: str) -> str:
    """A name that Cloudflare leads to the tunnel; a star may stand for its first label."""
    name = text.strip().lower()
    if not _is_name(name.removeprefix("*.")) or "." not in name:
        raise ValueError(PUBLIC_NAME_WORDS)
    return name.rstrip(".")


def origin(text: str) -> str:
    """A web origin; `http://*` and `https://*` are refused because every page of the web would match. `null` and
    `file://` are what pages from a file, and some programs, send.
    """
    wanted = text.strip().lower()
    match = _ORIGIN.fullmatch(wanted)
    if match is None:
        if wanted in _HOSTLESS:
            return wanted
        raise ValueError(ORIGIN_WORDS)
    scheme, host, port = match.groups()
    if port not in (None, "*") and not 0 < int(port) < 65536:
        raise ValueError(ORIGIN_WORDS)
    if host == "*" and scheme in ("http", "https", "ws", "wss"):
        raise ValueError(f"{ORIGIN_WORDS}; {scheme}://* would let every page of the web in")
    return wanted


def upstream_url(text: str) -> str:
    """Where an engine is: plain HTTP, host and port."""
    host, port, rest = _url(text, URL_WORDS)
    if rest not in ("", "/"):
        raise ValueError(URL_WORDS)
    return f"http://{Place(host, port)}"


def probe_url(text: str) -> str:
    """A URL that a child answers when it is ready."""
    host, port, rest = _url(text, PROBE_WORDS)
    return f"http://{Place(host, port)}{rest or '/'}"


def header_name(text: str) -> str:
    """A header with the visitor's address, in small letters. (`Forwarded` is no list of addresses.)"""
    name = text.strip().lower()
    if not _HEADER.fullmatch(name) or name == "forwarded":
        raise ValueError(HEADER_WORDS)
    return name


def edge_address(text: str) -> str:
    """host:port of a private tunnel edge."""
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        raise ValueError(EDGE_WORDS)
    return str(Place(_host(host, EDGE_WORDS), _port(port, EDGE_WORDS)))


def _url(text: str, words: str) -> tuple[str, int, str]:
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(words)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(words) from None
    if parts.scheme != "http" or not parts.hostname or not port or parts.username is not None or parts.fragment:
        raise ValueError(words)
    bracketed = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _host(bracketed, words), port, parts.path + (f"?{parts.query}" if parts.query else "")


def _socket(path: str) -> Place:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(LISTENER_WORDS)
    if len(path.encode(errors="replace")) > LONGEST_SOCKET_PATH:
        raise ValueError(f"unix:/absolute/path of at most {LONGEST_SOCKET_PATH} bytes")
    return Place(path=path)


def _host(text: str, words: str) -> str:
    bracketed = text.startswith("[") and text.endswith("]")
    name = text[1:-1] if bracketed else text.lower()
    address = _ip(name)
    if address is not None and bracketed == (address.version == 6):
        return str(address)
    if bracketed or not _is_name(name):
        raise ValueError(words)
    return name


def _port(text: str, words: str, *, lowest: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not lowest <= int(text) <= 65535:
        raise ValueError(f"{words}, with a port from {lowest} to 65535")
    return int(text)


def _is_name(text: str) -> bool:
    return len(text) <= 253 and bool(_NAME.fullmatch(text)) and not _NUMERIC.fullmatch(text)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _without_zone_or_mapping(found: IPv6Network) -> Network:
    if "%" in str(found):
        raise ValueError(f"{NETWORK_WORDS}; a zone such as %en0 cannot be told apart here")
    mapped = found.network_address.ipv4_mapped
    if mapped is not None and found.prefixlen >= 96:  # how a dual-stack socket shows an IPv4 peer
        return IPv4Network((mapped, found.prefixlen - 96))
    return found


def _first(found: Network, text: str) -> IPv4Address | IPv6Address:
    """The range's first address in the family `text` was written in."""
    if ":" in text and isinstance(found, IPv4Network):
        return IPv6Address(f"::ffff:{found.network_address}")
    return found.network_address


def _narrow(found: Network) -> str:
    single = found.prefixlen == found.max_prefixlen
    if found.is_loopback:
        return str(found.network_address) if single else str(found)
    if found.prefixlen == 0:
        raise ValueError("not the whole internet: name the addresses of your own network, or give out keys")
    if found.prefixlen < _WIDEST[found.version]:
        raise ValueError(
            f"a range no wider than /{_WIDEST[found.version]}: {found} reaches far beyond one house, "
            "and everybody in it could use the models without a key"
        )
    if found.is_multicast or found.is_unspecified:
        raise ValueError(f"{NETWORK_WORDS}; nobody ever comes from {found.network_address}")
    return str(found.network_address) if single else str(found)
