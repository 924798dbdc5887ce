"""The certificates of our https listeners: what they say, whether they will do, and their renewal while we serve.

Python's `ssl` shows no certificate but a peer's, so the few fields that matter are read here from the file (DER, X.690;
the layout is RFC 5280, 4.1).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from controller.errors import SeadragonError

DAY = 86400.0  # seconds
_BLOCK = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_VERSION, _EXTENSIONS, _UTC_TIME, _DNS, _IP = 0xA0, 0xA3, 0x17, 0x82, 0x87
_ALTERNATIVE_NAMES = bytes((0x55, 0x1D, 0x11))
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: forward secrecy and authenticated encryption, or nothing

Part = Literal["cert", "key"]


class CertificateFault(SeadragonError):
    """A certificate or its key will not do. `part` says which of the two files, the text why."""

    def __init__(self, part: Part, why: str) -> None:
        super().__init__(why)
        self.part = part


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    names: tuple[str, ...]  # host names and addresses it is for; a name may begin with a star
    begins: float  # seconds since the epoch
    ends: float  # the same

    def days_left(self, now: float) -> int:
        """Whole days until it ends; negative when it has ended."""
        return int((self.ends - now) // DAY)

    def holds_for(self, host: str) -> bool:
        """Whether a browser that was sent to `host` would take it (RFC 6125: a star is one whole label)."""
        name = host.lower().rstrip(".")
        starred = "*." + name.partition(".")[2]
        return any(each.lower() in (name, starred) for each in self.names)


def read(path: Path) -> Certificate:
    """The first certificate in a PEM file. Raises CertificateFault."""
    try:
        text = path.read_text("ascii")
    except OSError as error:
        raise CertificateFault("cert", f"no file that we can read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise CertificateFault("cert", "a file that is no PEM text") from None
    start, end = text.find(_BLOCK[0]), text.find(_BLOCK[1])
    if not 0 <= start < end:
        raise CertificateFault("cert", "a file with no certificate in it")
    try:
        return understand(ssl.PEM_cert_to_DER_cert(text[start : end + len(_BLOCK[1])]))
    except (ValueError, IndexError):
        raise CertificateFault("cert", "a certificate that cannot be read") from None


def understand(der: bytes) -> Certificate:
    """Take a certificate's binary form apart. Raises ValueError or IndexError for what is none."""
    (_, whole), *_ = _elements(der)
    (_, signed), *_ = _elements(whole)
    fields = list(_elements(signed))
    if fields[0][0] == _VERSION:
        del fields[0]
    begins, ends = (_time(tag, content) for tag, content in _elements(fields[3][1]))
    return Certificate(tuple(_names(fields)), begins, ends)


def check(cert: Path, key: Path, now: float) -> Certificate:
    """What `cert` says, if it will do with `key` at `now` (seconds since the epoch). Raises CertificateFault."""
    found = read(cert)
    if found.ends <= now:
        raise CertificateFault("cert", f"a certificate that ended on {_day(found.ends)}")
    if found.begins > now + DAY:
        raise CertificateFault("cert", f"a certificate that begins on {_day(found.begins)} (is the clock right?)")
    _context(cert, key)
    return found


class Shown:
    """The certificate that a listener shows. `context` is the listener's for good; `renew` changes what it shows."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises CertificateFault."""
        self._files = cert, key
        self._stamp = self._look()
        self.certificate, self._current = read(cert), _context(cert, key)
        self.context = _context(cert, key)
        self.context.sni_callback = self._show  # asked at every handshake, also when the client names no host

    def renew(self) -> bool:
        """Take the files over if they are others than before: for new connections, while the old ones go on.

        Returns whether they were. Raises CertificateFault once for files that will not do; the old ones stay in use.
        """
        seen = self._look()
        if seen == self._stamp:
            return False
        self._stamp = seen
        cert, key = self._files
        fresh = check(cert, key, time.time())
        self.certificate, self._current = fresh, _context(cert, key)
        return True

    def _show(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """A fresh context each time: one that is given a second certificate of another kind goes on showing both."""
        connection.context = self._current

    def _look(self) -> tuple[object, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    """HTTP/1.1 over TLS 1.2 or better. Raises CertificateFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password="")  # else OpenSSL asks the terminal for one
    except ssl.SSLError as error:
        other = error.reason == "KEY_VALUES_MISMATCH"
        why = "the key of another certificate" if other else "no unencrypted private key in PEM"
        raise CertificateFault("key", why) from None
    except OSError as error:
        raise CertificateFault("key", f"no file that we can read ({error.strerror})") from None
    return context


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


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%d %B %Y}"
