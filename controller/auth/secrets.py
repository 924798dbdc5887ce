"""Secrets that Seadragon gives out: what they look like, and the little that is kept of them. Pure: randomness is
handed in (`os.urandom`).

A key is `sd_<id>_<secret><check>`: an id of 8 characters that may be seen, a secret of 256 bits in 43, and a CRC-32 in
6, so that a typing mistake is told from a wrong key without looking anywhere. A token (invite, reset link, admin code)
is `sdi_…`, `sdr_…` or `sda_…`: 128 bits in 22 characters, and 6 of check. What is stored is a SHA-256: enough for
something nobody can guess (OWASP ASVS 6.5.2), and too little to be it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import crc32
from collections.abc import Callable
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final, Literal

Random = Callable[[int], bytes]
"""So many bytes that nobody can foretell."""

TokenKind = Literal["invite", "reset", "admin"]

PREFIX: Final = "sd_"
NO_HASH: Final = bytes(32)
"""To be compared with when there is no such key: a miss takes as long as a wrong secret."""

_DIGITS: Final = digits + ascii_uppercase + ascii_lowercase
_ID, _SECRET, _TOKEN, _CHECK = 8, 43, 22, 6  # characters: 47, 256, 128 and 32 bits
_KEY = re.compile(rf"sd_([0-9A-Za-z]{{{_ID}}})_([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECK}}})")
_TOKEN_FORM = re.compile(rf"(sd[ira]_[0-9A-Za-z]{{{_TOKEN}}})([0-9A-Za-z]{{{_CHECK}}})")
_TOKEN_PREFIX: Final[dict[TokenKind, str]] = {"invite": "sdi_", "reset": "sdr_", "admin": "sda_"}


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key as it is made. `text` is shown once, to whoever asked for it, and kept nowhere."""

    text: str = field(repr=False)
    id: str
    hash: bytes
    last4: str


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is made. `text` is shown once and kept nowhere."""

    text: str = field(repr=False)
    hash: bytes


def make_key(random: Random) -> MadeKey:
    """A key that nobody has."""
    id, secret = _written(random(8), _ID), _written(random(32), _SECRET)
    return MadeKey(f"{PREFIX}{id}_{secret}{_check(id + secret)}", id, hash_secret(secret), secret[-4:])


def parse_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of a key; None when it is none, or was mistyped. Looks nothing up."""
    match = _KEY.fullmatch(text)
    if match is None or not same(_check(match[1] + match[2]).encode(), match[3].encode()):
        return None
    return match[1], match[2]


def hash_secret(secret: str) -> bytes:
    """What is kept of a key's secret: 32 bytes."""
    return hashlib.sha256(secret.encode()).digest()


def same(one: bytes, other: bytes) -> bool:
    """Whether they are equal, told in a time that depends on their length alone."""
    return hmac.compare_digest(one, other)


def make_token(random: Random, kind: TokenKind) -> NewToken:
    """A one-time token. What it is for is part of it, so an invite can never be a reset."""
    body = _TOKEN_PREFIX[kind] + _written(random(16), _TOKEN)
    return NewToken(body + _check(body), _hash(body))


def hash_token(kind: TokenKind, text: str) -> bytes | None:
    """What to look a token up by: 32 bytes. None for an empty, malformed, mistyped or other one, which is refused
    before anything is looked up.
    """
    match = _TOKEN_FORM.fullmatch(text)
    if match is None or not text.startswith(_TOKEN_PREFIX[kind]) or _check(match[1]) != match[2]:
        return None
    return _hash(match[1])


def make_id(random: Random) -> str:
    """An id that is no secret: 8 characters."""
    return _written(random(8), _ID)


def make_sid(random: Random) -> str:
    """A session's id: 128 bits (ASVS 7.2.3) in 22 characters."""
    return _written(random(16), _TOKEN)


def _hash(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest()


def _check(text: str) -> str:
    return _written(crc32(text.encode()).to_bytes(4, "big"), _CHECK)


def _written(random: bytes, width: int) -> str:
    """A number in so many base-62 digits; what does not fit is left off at its upper end."""
    number, written = int.from_bytes(random, "big"), ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        written = _DIGITS[digit] + written
    return written
