"""Which headers of a request matter here. The few that go on stand in `answering/heads.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from urllib.parse import unquote_to_bytes

from controller.answering.heads import FORWARDED
from controller.auth.cookies import together
from controller.auth.credentials import holds_key
from controller.redact import may_hold_secret

READ = FORWARDED | {
    b"host",
    b"origin",
    b"sec-fetch-site",
    b"sec-fetch-mode",
    b"sec-fetch-dest",
    b"x-request-id",
    b"content-length",
    b"content-encoding",
    b"transfer-encoding",
    b"expect",
    b"upgrade",
    b"anthropic-version",
    b"access-control-request-headers",
    b"access-control-request-private-network",
    b"authorization",
    b"x-api-key",
    b"cookie",
}
"""What is read at all. None of the last three ever leaves."""

_PROXIES = (
    *(b"cf-", b"cdn-loop", b"true-client-ip"),
    *(b"forwarded", b"x-forwarded", b"x-original-", b"x-real-ip", b"via"),
    *(b"x-client-ip", b"x-cluster-client-ip", b"x-envoy-", b"fastly-client-ip", b"fly-client-ip"),
)
"""How the headers begin that a proxy or tunnel adds, and no client."""


def read(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes | None]:
    """The headers that matter, and the name of one that only a proxy or tunnel adds (None when there is none).

    Names are in lower case, as ASGI gives them. One that comes twice counts as a list, which no single value equals;
    several lines of cookies are one header.
    """
    found: dict[bytes, bytes] = {}
    proxied: bytes | None = None
    for name, value in headers:
        if name in READ:
            before = found.get(name)
            if before is None:
                found[name] = value
            else:
                found[name] = together((before, value)) if name == b"cookie" else before + b", " + value
        elif name.startswith(_PROXIES):
            proxied = name
    return found, proxied


_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:+=/-]{1,128}")


class RequestIds:
    """Mints ids that no two requests share: a random beginning for each start of the controller, then a number."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning
        self._numbers = count(1)

    def of(self, incoming: bytes | None) -> bytes:
        """A well-formed id that the client sent, else a new one. It is kept with the usage, so a secret is none."""
        if incoming is not None and _WELL_FORMED.fullmatch(incoming) and not may_hold_secret(incoming.decode("ascii")):
            return incoming
        return b"%b-%x" % (self._beginning, next(self._numbers))


_SECRETS = frozenset(
    (b"key", b"token", b"apikey", b"accesstoken", b"accesskey", b"authtoken", b"xapikey", b"password", b"passwd")
    + (b"authorization", b"bearer", b"secret", b"invite", b"sessionid")
)
"""Names of credentials, without `_` and `-`."""


def holds_secret(query: bytes) -> bool:
    """Whether a query carries a credential. Those stand in logs and histories, so they are refused, not read."""
    plain = unquote_to_bytes(query)
    if holds_key(plain):
        return True
    parts = query.replace(b";", b"&").split(b"&")
    return any(_name(part) in _SECRETS for part in parts)


def _name(part: bytes) -> bytes:
    name = unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" "))
    return name.strip().lower().replace(b"_", b"").replace(b"-", b"")
