"""The few headers that go upstream, and the few that come back. The rest stays here: an engine may pass what it gets to
strangers.
"""

from __future__ import annotations

from collections.abc import Mapping

FORWARDED = frozenset((b"accept", b"content-type", b"user-agent"))
"""What of a request goes upstream. (A user agent of Copilot's changes what /api/show says.)"""

ANSWERED = frozenset((b"content-type", b"content-length", b"cache-control", b"retry-after"))
"""What of an answer goes back. Server and date are our own; no cookie of upstream's ever passes."""


def request_head(
    method: bytes,
    target: bytes,
    query: bytes,
    host: bytes,
    found: Mapping[bytes, bytes],
    request_id: bytes,
    length: bytes,
) -> bytes:
    """The head that goes upstream. `length` is a whole header line that says how long the body is, or b""."""
    lines = [method, b" ", target]
    if query:
        lines += (b"?", query)
    lines += (b" HTTP/1.1\r\nhost: ", host, b"\r\nx-request-id: ", request_id, b"\r\n")
    for name in FORWARDED:
        value = found.get(name)
        if value is not None:
            lines += (name, b": ", value, b"\r\n")
    lines += (length, b"\r\n")
    return b"".join(lines)
