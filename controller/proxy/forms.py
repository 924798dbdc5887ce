"""A form (multipart/form-data, RFC 7578) that names a model: read once, strictly, and written anew for upstream.

Two readers of one form may see two models in it: by a second boundary, a field that stands there twice, a query of the
same name, a part's own encoding. So what goes upstream is never what came: each part is written again in the one way
that all agree on, behind a boundary that nobody could know of.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    content_disposition_quote,
    parse_options_header,
)

from controller.refusal import Reason, Refused
from controller.spelling import LONGEST

_MOST_PARTS: Final = 64
_LONGEST_HEADER: Final = 1024  # bytes
_MOST_HEADERS: Final = 8
_BITE: Final = 2**20  # bytes
_AS_IT_IS: Final = frozenset(("7bit", "8bit", "binary"))
_PLAIN: Final = re.compile(r"[\x20-\x7e]+")
_BOUNDARY: Final = re.compile(rb";[ \t]*boundary\b", re.IGNORECASE)
"""The parameter: browsers and axios write the word into its value, too (`----WebKitFormBoundary…`)."""
_NO_FIELD: Final = re.compile(r"[\x00-\x1f\x7f]")
_SECRET: Final = secrets.token_bytes(32)
"""Nobody can write a file that holds the boundary it will stand behind."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str | None
    kind: str | None  # its Content-Type
    value: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """What came, read."""

    model: str
    content_type: bytes  # of what `written` gives
    parts: Sequence[_Part]

    def written(self, model: str) -> bytes:
        """The form as it goes upstream, for `model`."""
        mark = b"--" + self.content_type.rpartition(b"=")[2]
        pieces: list[bytes] = []
        for part in self.parts:
            value = model.encode() if part.name == "model" else part.value
            pieces += (mark, b"\r\n", _head(part), b"\r\n", value, b"\r\n")
        return b"".join((*pieces, mark, b"--\r\n"))


def read(body: bytes, content_type: bytes, query: bytes) -> Form | Refused:
    """The form that `body` is. 400 for what is none, or could be read as two."""
    kind, options = parse_options_header(content_type.decode("latin-1"))
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not boundary or len(_BOUNDARY.findall(content_type)) != 1:
        return _refused("The body must be a form: multipart/form-data, with one boundary.")
    if b"model" in query.lower() or b"%" in query:
        return _refused("The model is named in the form, not in the query. Send it there alone.")
    try:
        parts = _parts(body, boundary)
    except (MultipartError, UnicodeError) as problem:
        return _refused(f"The form cannot be read: {problem}.")
    if isinstance(parts, Refused):
        return parts
    named = [part for part in parts if part.name.lower() == "model"]
    if len(named) != 1 or named[0].name != "model" or named[0].filename is not None:
        return _refused("The form must have one field `model`, with the name of a model.")
    if not 0 < len(named[0].value) <= LONGEST:
        return _refused(f"The field `model` must hold the name of a model, of at most {LONGEST} bytes.")
    mark = blake2b(body, key=_SECRET, digest_size=20).hexdigest()
    return Form(
        named[0].value.decode("utf-8", "replace"), b"multipart/form-data; boundary=" + mark.encode(), tuple(parts)
    )


def _parts(body: bytes, boundary: str) -> list[_Part] | Refused:
    last = f"\r\n--{boundary}--".encode()
    bites = range(0, len(body), _BITE)
    at = next((at for start in bites if (at := body.find(last, start, start + _BITE + len(last))) >= 0), -1)
    end = at + len(last) if at >= 0 else len(body)
    if body[end:].strip(b"\r\n"):
        return _refused("Something stands behind the end of the form. Send nothing after it.")
    parts: list[_Part] = []
    pieces: list[bytes] = []
    with PushMultipartParser(
        boundary,
        max_segment_count=_MOST_PARTS,
        max_header_size=_LONGEST_HEADER,
        max_header_count=_MOST_HEADERS,
        strict=True,
    ) as parser:
        for event in _events(parser, body, end):
            if isinstance(event, bytes | bytearray):
                pieces.append(bytes(event))
            elif event is not None:
                segment = event
            else:
                encoding = segment.header("Content-Transfer-Encoding", "binary").strip().lower()
                if encoding not in _AS_IT_IS:
                    return _refused("A part of the form has an encoding of its own. Send it as it is.")
                name, kind = segment.name or "", segment.header("Content-Type")
                if _NO_FIELD.search(name):
                    return _refused("A field of the form has a name with a line break or the like in it.")
                parts.append(_Part(name, segment.filename, kind, b"".join(pieces)))
                pieces = []
    return parts


def _events(
    parser: PushMultipartParser, body: bytes, end: int
) -> Iterator[MultipartSegment | bytearray | bytes | None]:
    """What the parser finds, bite by bite: nobody else's work waits for more than one of them."""
    for start in range(0, end, _BITE):
        yield from parser.parse(body[start : min(start + _BITE, end)])


def _head(part: _Part) -> bytes:
    line = f"Content-Disposition: form-data; name={_quoted(part.name)}"
    if part.filename is not None:
        line += f"; filename={_quoted(part.filename)}"
    if part.kind is not None and _PLAIN.fullmatch(part.kind):
        line += f"\r\nContent-Type: {part.kind}"
    return line.encode() + b"\r\n"


def _quoted(text: str) -> str:
    """As browsers write it; Go takes a backslash for the beginning of an escape, so none is left."""
    return str(content_disposition_quote(_NO_FIELD.sub("_", text).replace("\\", "%5C")))


def _refused(text: str) -> Refused:
    return Refused(400, Reason.BAD, text)
