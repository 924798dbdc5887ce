"""Who signed in, as their browser carries it: a JSON web token that names a session, and nothing else that counts.

Whether the session still lives is asked of its row, at every request. Pure: keys and time are handed in. The rules are
those of OWASP's ASVS 5.0, 9.1 and 9.2, and RFC 8725: one algorithm, a key found by `kid` among our own and nowhere
else, every claim required, and a `typ` so that no other token of ours can ever pass for a session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from controller.auth.rows import believed, counts

ALGORITHM: Final = "HS256"
ISSUER: Final = "seadragon"
AUDIENCE: Final = "pages"
KIND: Final = "session"
REQUIRED: Final = ["exp", "iat", "sub", "aud", "iss", "sid", "typ"]
LONGEST_TOKEN: Final = 2048  # characters; ours have some 300

DAY: Final = 86400.0
IDLE: Final = 30 * DAY  # a session that nobody uses ends
ABSOLUTE: Final = 90 * DAY  # as does one that is used all the time
ADMIN_IDLE: Final = 12 * 3600.0  # after that an admin's rights want the password again


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Our own keys, by `kid`. New tokens are signed with `current`; the one before it still holds."""

    current: str
    secrets: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says."""

    session: str
    user: str


def sign(session: str, user: str, started: float, expires: float, keys: SigningKeys) -> str:
    """The token of a session."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "typ": KIND,
        "sid": session,
        "sub": user,
        "iat": int(started),
        "exp": int(expires),
    }
    return jwt.encode(claims, keys.secrets[keys.current], ALGORITHM, headers={"kid": keys.current})


def read(token: str, keys: SigningKeys, now: float) -> Claims | None:
    """What it says, or None for one that is not ours, not a session's, or over."""
    if len(token) > LONGEST_TOKEN:
        return None
    try:
        secret = keys.secrets.get(str(jwt.get_unverified_header(token).get("kid")))
        claims = _verified(token, secret) if secret else None
    except jwt.PyJWTError:
        return None
    if claims is None or claims["typ"] != KIND or not _in_time(claims, now):
        return None
    session, user = claims["sid"], claims["sub"]
    return Claims(session, user) if isinstance(session, str) and session and user else None


def _verified(token: str, secret: bytes) -> Mapping[str, Any]:
    """Raises jwt.PyJWTError. The times are left to us, who were handed one."""
    options: Any = {"require": REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    return dict(jwt.decode(token, secret, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options))


def _in_time(claims: Mapping[str, Any], now: float) -> bool:
    started, expires = claims["iat"], claims["exp"]
    return type(started) is int and type(expires) is int and counts(started, expires, now)


def over(began: float, used: float, expires: float, now: float) -> bool:
    """Whether a session, last used at `used`, has ended by itself, or is not one yet."""
    return not counts(began, expires, now) or now - max(began, believed(used, now)) >= IDLE


def proven(given: float, used: float, now: float) -> bool:
    """Whether an admin's rights need no password now. `given`: when it was given last; `used`: when the rights were
    last used since then.
    """
    return now - max(believed(given, now), believed(used, now)) < ADMIN_IDLE
