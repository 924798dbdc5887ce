"""The https of our listeners: whether a certificate and its key will do, and their renewal while we serve."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from controller.certificate import Certificate, understand
from controller.errors import SeadragonError

_BLOCK = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: forward secrecy and authenticated encryption, or nothing

_DAY = 86400.0  # seconds

Part = Literal["cert", "key"]


class CertificateFault(SeadragonError):
    """A certificate or its key will not do. `part` says which of the two files, the text why."""

    def __init__(self, part: Part, why: str) -> None:
        super().__init__(why)
        self.part = part


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


def check(cert: Path, key: Path, now: float) -> Certificate:
    """What `cert` says, if it will do with `key` at `now` (seconds since the epoch). Raises CertificateFault."""
    found = read(cert)
    if found.ends <= now:
        raise CertificateFault("cert", f"a certificate that ended on {_day(found.ends)}")
    if found.begins > now + _DAY:
        raise CertificateFault("cert", f"a certificate that begins on {_day(found.begins)} (is the clock right?)")
    _context(cert, key)
    return found


class ServedCertificate:
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
        context.load_cert_chain(cert, key, password="")  # nosec B106  # else OpenSSL asks the terminal for one
    except ssl.SSLError as error:
        other = error.reason == "KEY_VALUES_MISMATCH"
        why = "the key of another certificate" if other else "no unencrypted private key in PEM"
        raise CertificateFault("key", why) from None
    except OSError as error:
        raise CertificateFault("key", f"no file that we can read ({error.strerror})") from None
    return context


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%d %B %Y}"
