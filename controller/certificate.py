"""What a certificate says: for whom, from when, until when. Pure.

Python's `ssl` takes no certificate apart but a peer's, so the few fields that matter are read here from its binary form
(DER, X.690; the layout is RFC 5280, 4.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

_VERSION, _EXTENSIONS, _UTC_TIME, _DNS, _IP = 0xA0, 0xA3, 0x17, 0x82, 0x87
_ALTERNATIVE_NAMES = bytes((0x55, 0x1D, 0x11))


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    names: tuple[str, ...]  # host names and addresses it is for; a name may begin with a star
    begins: float  # seconds since the epoch
    ends: float  # the same

    def holds_for(self, host: str) -> bool:
        """Whether a browser that was sent to `host` would take it (RFC 6125: a star is one whole label)."""
        name = host.lower().rstrip(".")
        starred = "*." + name.partition(".")[2]
        return any(each.lower() in (name, starred) for each in self.names)


def understand(der: bytes) -> Certificate:
    """Take a certificate's binary form apart. Raises ValueError or IndexError for what is none."""
    (_, whole), *_ = _elements(der)
    (_, signed), *_ = _elements(whole)
    fields = list(_elements(signed))
    if fields[0][0] == _VERSION:
        del fields[0]
    begins, ends = (_time(tag, content) for tag, content in _elements(fields[3][1]))
    return Certificate(tuple(_names(fields)), begins, ends)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element. Raises ValueError for one that is cut off."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        if at + length > len(der):
            raise ValueError("an element that is longer than what it lies in")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> float:
    """Both spellings of RFC 5280, 4.1.2.5; of the short one, years from 50 on are of the last century."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _names(fields: list[tuple[int, bytes]]) -> Iterator[str]:
    for tag, content in fields:
        for _, extensions in _elements(content) if tag == _EXTENSIONS else ():
            for _, extension in _elements(extensions):
                (_, kind), *_, (_, value) = _elements(extension)
                if kind == _ALTERNATIVE_NAMES:
                    yield from _listed(value)


def _listed(value: bytes) -> Iterator[str]:
    for _, names in _elements(value):
        for tag, name in _elements(names):
            if tag == _DNS:
                yield name.decode("ascii")
            elif tag == _IP:
                yield str(ip_address(name))
