"""Every endpoint that is served, and how: the one table of the data plane.

Facts of Ollama v0.32.0 (server/routes.go). What is not here is answered 404; a route also needs its row in
`auth/policy.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.dialect import Dialect, StreamEnding
from controller.orders.table import ORDERS
from controller.orders.views import ROOT, VIEWS
from controller.proxy.paths import spellings
from controller.spelling import parse


class Kind(StrEnum):
    """How a route is treated."""

    OPEN = "open"  # ours, for anyone
    METADATA = "metadata"  # never waits behind an answer
    INFERENCE = "inference"  # an answer of a model
    MANAGEMENT = "management"  # changes what is installed
    OFF = "off"  # not on this server
    BENIGN = "benign"  # a fixed answer: the real one is about the owner's account
    API = "api"  # our own management API: another application answers


class Body(StrEnum):
    """How the request's body is taken."""

    NONE = "none"  # not read at all
    JSON = "json"  # in memory, up to the limit, decompressed, peeked into
    WHOLE = "whole"  # in memory, up to the limit, as it is
    STREAMED = "streamed"  # passed on while it comes, whatever its length


class Listed(StrEnum):
    """The answers that are kept for some seconds."""

    VERSION = "version"
    TAGS = "tags"
    SHOW = "show"
    PS = "ps"


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    path: str  # also its id, in the policy table, the log and the metrics
    methods: tuple[str, ...]
    kind: Kind
    dialect: Dialect = Dialect.NATIVE
    body: Body = Body.NONE
    subject: str = ""  # the member whose absence makes an inference request a mere load
    replayable: bool = False  # sending it twice does no harm
    ending: StreamEnding | None = None  # of a streamed answer
    listed: Listed | None = None
    own: bool = False  # answered here, never forwarded
    names: tuple[str, ...] = ("model",)  # the members that name models, the one that is asked first

    @property
    def batched(self) -> bool:
        """Whether its `input` may be a list of which an engine may work on several at a time: embeddings."""
        return self.subject == "input" and self.ending is None

    @property
    def embeds(self) -> bool:
        """Whether it asks for embeddings."""
        return self.path.rpartition("/")[2] in ("embed", "embeddings")

    @property
    def pattern(self) -> re.Pattern[str]:
        """What paths it matches."""
        parts = re.split(r"(\{\w+\})", self.path)
        return re.compile("".join(_PARAMETERS.get(part) or re.escape(part) for part in parts))


_PARAMETERS = {name: r"([^/]+)" for name in ("{digest}", "{key}", "{id}")} | {
    name: "(.+)" for name in ("{model}", "{name}")
}

_POST, _GET, _LOOK = ("POST",), ("GET",), ("GET", "HEAD")


def _native(path: str, subject: str, ending: StreamEnding | None = None) -> Route:
    return Route(path, _POST, Kind.INFERENCE, Dialect.NATIVE, Body.JSON, subject, True, ending)


def _openai(path: str, subject: str, ending: StreamEnding | None = None) -> Route:
    return Route(path, _POST, Kind.INFERENCE, Dialect.OPENAI, Body.JSON, subject, True, ending)


def _manage(path: str, names: tuple[str, ...], ending: StreamEnding | None = None, method: str = "POST") -> Route:
    return Route(path, (method,), Kind.MANAGEMENT, body=Body.JSON, ending=ending, names=names)


def _benign(path: str, method: str = "POST") -> Route:
    return Route(path, (method,), Kind.BENIGN, own=True)


def _managed() -> Iterator[Route]:
    """The management API, from the tables of views and orders. Its list of models is one of OpenAI's."""
    methods: dict[str, tuple[str, ...]] = {view.path: _LOOK for view in VIEWS.values()}
    for order in ORDERS.values():
        if order.route:
            methods[order.path] = (*methods.get(order.path, ()), order.method)
    for path, taken in methods.items():
        yield Route(f"{ROOT}{path}", taken, Kind.API, Dialect.OPENAI, own=True)


ROUTES: Sequence[Route] = (
    Route("/healthz", _LOOK, Kind.OPEN, own=True),
    Route("/readyz", _LOOK, Kind.OPEN, own=True),
    Route("/", _LOOK, Kind.OPEN, own=True),
    Route("/api/version", _LOOK, Kind.METADATA, replayable=True, listed=Listed.VERSION),
    Route("/api/tags", _LOOK, Kind.METADATA, replayable=True, listed=Listed.TAGS),
    Route("/api/ps", _LOOK, Kind.METADATA, replayable=True, listed=Listed.PS),
    Route(
        "/api/show",
        _POST,
        Kind.METADATA,
        body=Body.JSON,
        replayable=True,
        listed=Listed.SHOW,
        names=("model", "name"),
    ),
    _native("/api/generate", "prompt", StreamEnding.DONE),
    _native("/api/chat", "messages", StreamEnding.DONE),
    _native("/api/embed", "input"),
    _native("/api/embeddings", "prompt"),
    _manage("/api/pull", ("model", "name"), StreamEnding.SUCCESS),
    _manage("/api/create", ("model", "name", "from"), StreamEnding.SUCCESS),
    _manage("/api/copy", ("source", "destination")),
    _manage("/api/delete", ("model", "name"), method="DELETE"),
    Route("/api/blobs/{digest}", ("HEAD", "POST"), Kind.MANAGEMENT, body=Body.STREAMED),
    Route("/api/push", _POST, Kind.OFF, own=True),
    Route("/api/signout", _POST, Kind.OFF, own=True),
    Route("/api/user/keys/{key}", ("DELETE",), Kind.OFF, own=True),
    _benign("/api/me"),
    _benign("/api/status", "GET"),
    _benign("/api/experimental/model-recommendations", "GET"),
    _benign("/api/experimental/web_search"),
    _benign("/api/experimental/web_fetch"),
    Route("/v1/models", _LOOK, Kind.METADATA, Dialect.OPENAI, replayable=True, listed=Listed.TAGS),
    Route("/v1/models/{model}", _LOOK, Kind.METADATA, Dialect.OPENAI, replayable=True, listed=Listed.SHOW),
    _openai("/v1/chat/completions", "messages", StreamEnding.SENTINEL),
    _openai("/v1/completions", "prompt", StreamEnding.SENTINEL),
    _openai("/v1/embeddings", "input"),
    _openai("/v1/responses", "input", StreamEnding.RESPONSE),
    _openai("/v1/images/generations", "prompt"),
    _openai("/v1/images/edits", "prompt"),
    Route("/v1/audio/transcriptions", _POST, Kind.INFERENCE, Dialect.OPENAI, Body.WHOLE, replayable=True),
    Route(
        "/v1/messages",
        _POST,
        Kind.INFERENCE,
        Dialect.ANTHROPIC,
        Body.JSON,
        subject="messages",
        replayable=True,
        ending=StreamEnding.MESSAGE_STOP,
    ),
    *_managed(),
    Route("/v1/messages/count_tokens", _POST, Kind.METADATA, Dialect.ANTHROPIC, Body.JSON, own=True),
)


@dataclass(frozen=True, slots=True)
class Match:
    """A request found its route. `target` is the path to forward: the very one that is authorised."""

    route: Route
    target: str
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """The path exists, for other methods."""

    allowed: tuple[str, ...]
    dialect: Dialect


_FIXED = {route.path: route for route in ROUTES if "{" not in route.path}
_PATTERNS = tuple((route.pattern, route) for route in ROUTES if "{" in route.path)


def find(method: str, path: str) -> Match | WrongMethod | None:
    """The route of an API path as `paths.resolve` gives it; None when it is not served."""
    route, parameter = _FIXED.get(path), ""
    if route is None:
        for pattern, candidate in _PATTERNS:
            if found := pattern.fullmatch(path):
                route, parameter = candidate, found[1]
                break
    if route is None:
        return None
    if method not in route.methods:
        return WrongMethod(route.methods, route.dialect)
    return Match(route, path, parameter)


def quick(prefixes: Sequence[str]) -> dict[tuple[str, bytes], Match]:
    """(method, path as sent) → match, for every clean spelling of every fixed path: what `resolve` and `find` say,
    without asking them.
    """
    return {
        (method, spelling.encode()): Match(route, route.path)
        for route in _FIXED.values()
        if route.path.startswith(("/api/", "/v1/"))
        for spelling in spellings(route.path, prefixes)
        for method in route.methods
    }


def dialect_of(path: str, *, anthropic: bool) -> Dialect:
    """Whose shapes the caller of an unlisted path expects. `anthropic`: it sent that SDK's version header."""
    if path.startswith("/v1/messages") or (path.startswith("/v1") and anthropic):
        return Dialect.ANTHROPIC
    return Dialect.OPENAI if path.startswith(("/v1", "/api/v1")) else Dialect.NATIVE


_DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether a blob's digest is one. Checked here too: upstream's own check has failed before (CVE-2024-37032)."""
    return _DIGEST.fullmatch(text) is not None


def label(text: str) -> str:
    """The name of a model as it may stand in a log and be remembered: "?" for a text that is none."""
    name = parse(text)
    return name.written if name is not None else "?" if text else ""
