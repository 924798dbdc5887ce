"""Which API path a request means. Normalised once: what is authorised here is exactly what is forwarded.

Clients lose prefixes and double them, so the whole API answers at the root and under each configured prefix, with the
slips that are seen in the field. A prefix adds no right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from controller.orders.table import ORDERS
from controller.orders.views import ROOT, VIEWS

_HIDDEN = re.compile(rb"%(?:2e|2f|5c|25|[01][0-9a-f]|7f|[89a-f][0-9a-f])", re.IGNORECASE)
_ONE_MODEL = ("/v1/models/", "/api/v1/models/")
_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_BROKEN = re.compile(rb"%(?![0-9a-fA-F]{2})")
_ODD = re.compile(rb"[^\x21-\x7e]|[\\#?]")
_SLASHES = re.compile(r"/{2,}")

_SLIPS = (("/api/v1/", "/v1/"), ("/api/api/", "/api/"), ("/v1/api/", "/api/"), ("/v1/v1/", "/v1/"))
_OURS = re.compile(
    "|".join(
        re.escape(f"{ROOT}{path}").replace(r"\{name\}", ".+").replace(r"\{id\}", "[^/]+")
        for path in {view.path for view in VIEWS.values()} | {order.path for order in ORDERS.values() if order.path}
    )
)
"""The management API lives where an OpenAI client's base URL may point too: the rest below /api/v1 is OpenAI's."""
_BARE = ("/chat/completions", "/completions", "/models", "/embeddings", "/responses", "/messages")


@dataclass(frozen=True, slots=True)
class Unclean:
    """A path that could mean one thing to us and another upstream: refused with 400."""

    why: str


def resolve(raw: bytes, prefixes: Sequence[str]) -> str | Unclean | None:
    """The API's own path that `raw` (path as sent, without query) means; None when it is the pages' business.

    "/" is the root of the API: the root itself, or a prefix. A path under a prefix is always the API's.
    """
    before, name = _named(raw)
    path = clean(before + _SLASH.sub(b"/", name) if name else raw)
    if isinstance(path, Unclean):
        return path
    found = _canonical(path)
    for prefix in sorted(prefixes, key=len, reverse=True):
        if path == prefix:
            return "/"
        if path.startswith(prefix + "/"):
            rest = path[len(prefix) :]
            found = _canonical(rest) or rest
            break
    if name and not _whole_name(name, found):
        return Unclean("The path has an encoded slash, which belongs into the name of a model alone.")
    return found


def _named(raw: bytes) -> tuple[bytes, bytes]:
    """A path that ends with the name of one model, with a slash in the name, as what stands before that and the name:
    `/v1/models/hf.co%2FMe%2FName:Q4`. Nothing and nothing for any other.
    """
    before, _, name = raw.rstrip(b"/").rpartition(b"/")
    if _SLASH.search(name) and before.lower().endswith(b"/models"):
        return before + b"/", name
    return b"", b""


def _whole_name(encoded: bytes, path: str | None) -> bool:
    """Whether a path leads to one model, and has come by nothing but its name: a slash at an end of it, or two
    together, would have been taken for the path's.
    """
    name = unquote_to_bytes(encoded).decode("latin-1")
    return path is not None and any(path == start + name for start in _ONE_MODEL)


def clean(raw: bytes) -> str | Unclean:
    """`raw` decoded once, with single slashes and none at the end; Unclean when it hides or breaks something."""
    if _HIDDEN.search(raw) or _ODD.search(raw):
        return Unclean("The path has characters that are not allowed here.")
    if _BROKEN.search(raw):
        return Unclean("The path has a broken percent-encoding.")
    decoded = unquote_to_bytes(raw)
    if _ODD.search(decoded) or not decoded.startswith(b"/"):
        return Unclean("The path has characters that are not allowed here.")
    path = _SLASHES.sub("/", decoded.decode("ascii"))
    if any(segment in (".", "..") for segment in path.split("/")):
        return Unclean("The path has `.` or `..` in it.")
    return path.rstrip("/") or "/"


def spellings(path: str, prefixes: Iterable[str]) -> set[str]:
    """Every clean spelling of the API path `path`: what `resolve` maps to it without decoding anything."""
    forms = {path}
    slips = {slip + path.removeprefix(real) for slip, real in _SLIPS if path.startswith(real)}
    forms |= {form for form in slips if _canonical(form) == path}
    if path.removeprefix("/v1").startswith(_BARE) and _canonical(path.removeprefix("/v1")) == path:
        forms.add(path.removeprefix("/v1"))
    return forms | {prefix + form for prefix in prefixes for form in forms}


def _canonical(path: str) -> str | None:
    if _OURS.fullmatch(path):
        return path
    for slip, real in _SLIPS:
        if path.startswith(slip):
            return real + path[len(slip) :]
    if path == "/" or path in ("/api", "/v1", "/healthz", "/readyz") or path.startswith(("/api/", "/v1/")):
        return path
    if path in _BARE or path.startswith(("/models/", "/messages/")):
        return "/v1" + path
    return None
