"""The one cookie there is. Pure.

`__Host-` makes the browser itself see to it that the cookie came from this very host, over https, for all of it
(ASVS 3.3.1, 3.3.3). Where the owner of a house lets people sign in without https, it has another name, so that such a
cookie counts nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

NAME: Final = "__Host-sd"
PLAIN_NAME: Final = "sd"
_ALWAYS: Final = "Path=/; HttpOnly; SameSite=Lax"


def together(lines: Iterable[bytes]) -> bytes:
    """All Cookie lines of a request as the one header they are: HTTP/2 takes it apart, and what stands in between may
    not put it together again (RFC 9113, 8.2.3). A comma, as for other headers, would be a part of a cookie.
    """
    return b"; ".join(lines)


def token_in(header: bytes, *, plain: bool) -> str:
    """What a Cookie header carries under our name; "" for nothing. `plain`: it may have come without https.

    Twice the same name is nothing: somebody else has put a cookie beside ours.
    """
    names = (NAME, PLAIN_NAME) if plain else (NAME,)
    pairs = [pair.strip().partition("=") for pair in header.decode("latin-1").split(";")]
    for name in names:
        found = [value for key, _, value in pairs if key == name]
        if found:
            return found[0] if len(found) == 1 else ""
    return ""


def carrying(token: str, seconds: float, *, plain: bool) -> str:
    """The Set-Cookie header that makes a browser carry it for so long."""
    name, secure = (PLAIN_NAME, "") if plain else (NAME, "; Secure")
    return f"{name}={token}; Max-Age={max(0, int(seconds))}; {_ALWAYS}{secure}"


def taken_away(*, plain: bool) -> str:
    """The Set-Cookie header that makes it forget."""
    return carrying("", 0, plain=plain)
