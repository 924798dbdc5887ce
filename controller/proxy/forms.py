"""The one field of a form that matters here: which model it is for (multipart/form-data, RFC 7578).

Read strictly. A form that could name one model to us and another to Ollama would load that one past the line, so
whatever is not written as every client writes it counts as having no model.
"""

from __future__ import annotations

import re

_BOUNDARY = re.compile(rb'(?i)\bboundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))')
_NAME = re.compile(rb'(?im)^content-disposition:[ \t]*form-data;[^\r\n]*?\bname=(?:"([^"\\\r\n]*)"|([^\s;"\\]+))')
_CONTINUED = re.compile(rb"(?i)(?<!file)name\*")  # RFC 2231: a name in another alphabet, or in pieces
_LONGEST = 600  # bytes of a name
_HEAD = 4096  # bytes of a part's headers
_MOST_PARTS = 1000

Span = tuple[int, int]


def model_of(body: bytes, content_type: bytes) -> tuple[str, Span] | None:
    """The one `model` of a form, and where it stands; None when that cannot be said for certain."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return None
    mark = b"--" + (boundary[1] or boundary[2])
    models: list[Span] = []
    at = 0 if body.startswith(mark) else -1
    for _ in range(_MOST_PARTS):
        head = at + len(mark)
        if at < 0 or body[head : head + 2] != b"\r\n":
            break
        split = body.find(b"\r\n\r\n", head, head + _HEAD)
        end = body.find(b"\r\n" + mark, head)
        name = _NAME.search(body, head + 2, split) if 0 <= split < end else None
        if name is None or _CONTINUED.search(body, head, split):
            return None
        if (name[1] or name[2]).lower() == b"model":
            models.append((split + 4, end))
        at = end + 2
    whole = at > 0 and body[at + len(mark) :].startswith(b"--")
    if not whole or len(models) != 1:
        return None
    text = _text(body[models[0][0] : models[0][1]])
    return (text, models[0]) if text else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace") if len(value) <= _LONGEST else ""
