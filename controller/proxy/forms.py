"""The one field of a form that matters here: which model it is for (multipart/form-data, RFC 7578)."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(rb'(?i)\bboundary=(?:"([^"]{1,200})"|([^\s;,"]{1,200}))')
_NAME = re.compile(rb'(?im)^content-disposition:[^\r\n]*;\s*name="?model"?\s*(?:;|\r?$)')
_LONGEST = 600  # bytes of a name
_HEAD = 4096  # bytes of a part's headers
_MOST_PARTS = 1000

Span = tuple[int, int]


def model_of(body: bytes, content_type: bytes) -> tuple[str, Span]:
    """The first `model` of a form, and where it stands; "" when the form has none that could be a name."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return "", (0, 0)
    mark = b"--" + (found[1] or found[2])
    at = body.find(mark)
    for _ in range(_MOST_PARTS):
        if at < 0:
            break
        head = at + len(mark)
        split = body.find(b"\r\n\r\n", head, head + _HEAD)
        end = body.find(b"\r\n" + mark, head)
        if split < 0 or end < split + 4:
            break
        if _NAME.search(body[head:split] + b"\r\n"):
            return _text(body[split + 4 : end]), (split + 4, end)
        at = end + 2
    return "", (0, 0)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip() if len(value) <= _LONGEST else ""
