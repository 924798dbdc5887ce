"""Answers of our own: where Ollama has none, where it is away, or where its own would tell too much."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from controller.dialect import Headers
from controller.proxy.dialects import compact
from controller.proxy.members import read
from controller.refusal import Reason, Refused

PLAUSIBLE_VERSION = "0.32.0"
"""Told while Ollama is away and has never been seen: some clients refuse to work with a server before 0.6.4."""

JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
RUNNING = b"Ollama is running"

_PICTURE = 4 * 1024  # bytes of text that make as many tokens as a picture
_PICTURE_DATA = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{4096,}")
_BITE = 2**16  # bytes that are looked at in one step: no other thread runs meanwhile
_UNFOLDED = 256 * 1024  # bytes

_CLOUD_OFF = "ollama cloud is disabled: {} is unavailable"
_BENIGN: Mapping[str, tuple[int, object]] = {
    "/api/me": (401, {"error": "unauthorized"}),  # as if nobody had signed in
    "/api/status": (200, {"cloud": {"disabled": True, "source": "env"}}),
    "/api/experimental/model-recommendations": (200, {"recommendations": []}),
    "/api/experimental/web_search": (403, {"error": _CLOUD_OFF.format("web search")}),
    "/api/experimental/web_fetch": (403, {"error": _CLOUD_OFF.format("web fetch")}),
}


def headers(kind: bytes, data: bytes) -> Headers:
    """Headers of a whole answer."""
    return [(b"content-type", kind), (b"content-length", b"%d" % len(data))]


def benign(path: str) -> tuple[int, bytes]:
    """The fixed answer of a route that is about the owner's account: status and document."""
    status, value = _BENIGN[path]
    return status, compact(value)


def version() -> bytes:
    """/api/version while there is nobody to ask."""
    return compact({"version": PLAUSIBLE_VERSION})


def count_tokens(body: bytes) -> bytes | Refused:
    """Anthropic's count_tokens: an estimate, a token for four bytes of what the model would read.

    Ollama has no such route; its own messages route estimates in the same way before it counts.
    """
    top = read(body)
    if isinstance(top, Refused):
        return top
    if not top.members:
        return Refused(400, Reason.BAD, "The body must be an object with `model` and `messages`.")
    weight = sum(_estimate(top.value(part) or b"null") for part in ("system", "messages", "tools"))
    return compact({"input_tokens": max(1, weight // 4)})


def _estimate(value: bytes) -> int:
    """Bytes of the texts in a JSON value. A long one counts as it stands: nobody waits while it unfolds."""
    if len(value) <= _UNFOLDED:
        try:
            return _weight(msgspec.json.decode(value))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    size, count, goes_on = 0, 0, False
    for start in range(0, len(value), _BITE):
        bite = value[start : start + _BITE]
        found = list(_PICTURE_DATA.finditer(bite))
        size += sum(len(each[0]) for each in found)
        count += len(found) - bool(goes_on and found and not found[0].start())
        goes_on = bool(found) and found[-1].end() == len(bite)
    return len(value) - size + count * _PICTURE


def _weight(value: object) -> int:
    """Bytes of the texts in `value`. A picture counts as about what models make of one, not by its bytes."""
    total, rest = 0, [value]
    while rest:
        match rest.pop():
            case str() as text:
                total += len(text.encode("utf-8", "replace"))
            case {"type": "base64", **_other}:
                total += _PICTURE
            case dict() as members:
                rest.extend(members.values())
            case list() as items:
                rest.extend(items)
    return total
