"""What a caller shows: one extractor for every route and every spelling, so that no spelling opens a door another
keeps shut.

`X-API-Key: …`, `Authorization: Bearer …`, and `Authorization: Basic …`, whose password counts, or its user name where
the password is empty. Nothing is read from a path or a query. An empty credential is none: some clients send the word
Bearer and nothing after it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.auth.secrets import PREFIX

_MOST = 8  # credentials in one request that are looked at
_KEY_SHAPED = re.compile(rb"sd_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}|sd[ira]_[0-9A-Za-z]{22}")


@dataclass(frozen=True, slots=True)
class Offered:
    """What a request shows, each once.

    `ours` say by their prefix that they are keys of Seadragon's: each of them is right, or the request is refused.
    `foreign` are all others, such as the word that some clients want to have filled in.
    """

    ours: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    ambient: bool = False  # a browser may have sent it by itself: Basic, which it remembers


NOTHING: Final = Offered()


def extract(found: Mapping[bytes, bytes]) -> Offered:
    """What stands in the headers `found` (names in small letters; one that came twice is a list with commas)."""
    authorization, key = found.get(b"authorization"), found.get(b"x-api-key")
    if authorization is None and key is None:
        return NOTHING
    tokens: dict[str, None] = {}
    ambient = False
    for value in _parts(key):
        tokens[value] = None
    for value in _parts(authorization):
        scheme, *rest = value.split(None, 1)
        read = _SCHEMES.get(scheme.lower())
        ambient = ambient or read is _basic
        token = value if read is None else read(rest[0] if rest else "")
        if token:
            tokens[token] = None
    if not tokens:
        return NOTHING
    ours = tuple(token for token in tokens if token.startswith(PREFIX))
    return Offered(ours[:_MOST], tuple(token for token in tokens if not token.startswith(PREFIX)), ambient)


def _parts(value: bytes | None) -> list[str]:
    if not value:
        return []
    text = value.decode("latin-1")
    if "," not in text:
        text = text.strip()
        return [text] if text else []
    return [part for each in text.split(",") if (part := each.strip())]


def _bearer(rest: str) -> str:
    return rest


def _basic(rest: str) -> str:
    """The password, or the user name where there is none; what is not Base64 is somebody else's."""
    try:
        user, _, password = b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (Error, UnicodeDecodeError):
        return "?"
    return password.strip() or user.strip()


_SCHEMES: Final = {"bearer": _bearer, "basic": _basic}


def holds_key(text: bytes) -> bool:
    """Whether a path or query holds what looks like a key or token of ours."""
    return _KEY_SHAPED.search(text) is not None
