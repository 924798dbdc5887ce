"""The route table: what is there, what is not, what names may be."""

from __future__ import annotations

import pytest

from controller.config.schema import Server
from controller.dialect import Dialect
from controller.proxy.paths import resolve, spellings
from controller.proxy.routes import ROUTES, Body, Kind, Match, WrongMethod, dialect_of, find, is_digest, label
from controller.settings.addresses import path_prefix

_OLLAMA = """
GET / HEAD / GET /api/version HEAD /api/version GET /api/status GET /api/tags HEAD /api/tags GET /api/ps POST
/api/generate POST /api/chat POST /api/embed POST /api/embeddings POST /api/show POST /api/create POST
/api/blobs/sha256:00 POST /api/pull HEAD /api/blobs/sha256:00 POST /api/copy DELETE /api/delete POST /api/push
POST /api/me POST /api/signout DELETE /api/user/keys/abc POST /api/experimental/web_search POST
/api/experimental/web_fetch GET /api/experimental/model-recommendations POST /v1/chat/completions POST
/v1/completions POST /v1/responses POST /v1/messages POST /v1/embeddings GET /v1/models GET /v1/models/m POST
/v1/audio/transcriptions POST /v1/images/generations POST /v1/images/edits
"""
_WORDS = _OLLAMA.split()


@pytest.mark.parametrize(("method", "path"), list(zip(_WORDS[::2], _WORDS[1::2], strict=True)))
def test_every_endpoint_of_ollama_is_in_the_table(method: str, path: str) -> None:
    match = find(method, path)
    assert isinstance(match, Match)
    assert match.target == path


@pytest.mark.parametrize(
    "path", ["/api/nope", "/debug/pprof", "/v1/files", "/api/blobs", "/api/blobs/a/b", "/api", "/v1", "/api/Chat"]
)
def test_nothing_else_is(path: str) -> None:
    assert find("GET", path) is None
    assert find("POST", path) is None


def test_a_wrong_method_says_which_are_right() -> None:
    assert find("GET", "/api/chat") == WrongMethod(("POST",), Dialect.NATIVE)
    assert find("POST", "/api/delete") == WrongMethod(("DELETE",), Dialect.NATIVE)


def test_only_what_does_no_harm_twice_is_replayable() -> None:
    for route in ROUTES:
        assert not (route.replayable and route.kind in (Kind.MANAGEMENT, Kind.OFF)), route.path
        assert not (route.replayable and route.body is Body.STREAMED), route.path
        assert route.replayable == (route.kind in (Kind.INFERENCE, Kind.METADATA) and not route.own), route.path


@pytest.mark.parametrize("kind", [Kind.OFF, Kind.BENIGN, Kind.OPEN])
def test_what_must_not_reach_ollama_is_answered_here(kind: Kind) -> None:
    assert all(route.own for route in ROUTES if route.kind is kind)


@pytest.mark.parametrize(
    ("path", "anthropic", "dialect"),
    [
        ("/api/nope", False, Dialect.NATIVE),
        ("/v1/nope", False, Dialect.OPENAI),
        ("/v1/nope", True, Dialect.ANTHROPIC),
        ("/v1/messages/batches", False, Dialect.ANTHROPIC),
    ],
)
def test_an_unlisted_path_is_refused_in_the_callers_dialect(path: str, anthropic: bool, dialect: Dialect) -> None:
    assert dialect_of(path, anthropic=anthropic) is dialect


@pytest.mark.parametrize("digest", ["sha256:" + "0a" * 32, "sha256-" + "f" * 64])
def test_a_digest_is_one(digest: str) -> None:
    assert is_digest(digest)


@pytest.mark.parametrize(
    "digest", ["sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "G" * 64, "md5:" + "0" * 64, "..", ""]
)
def test_nothing_else_is_a_digest(digest: str) -> None:
    assert not is_digest(digest)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tiny", "tiny"),
        ("", ""),
        ("a b", "?"),
        ("x\n", "x:latest"),
        ("demo:///a/x", "a/x:latest"),
        ("\ud800", "?"),
        ("a" * 10**6, "?"),
    ],
)
def test_what_is_no_name_is_neither_logged_nor_remembered(text: str, shown: str) -> None:
    assert label(text) == shown


def taken() -> set[str]:
    """Every path that means something without a prefix, as far as its first parameter, and all that it lies below."""
    spelt = {form for route in ROUTES for form in spellings(route.path.partition("/{")[0], ())}
    parts = [path.split("/") for path in spelt if path != "/"]
    return {"/".join(each[: depth + 1]) for each in parts for depth in range(1, len(each))}


def test_no_prefix_may_hide_a_route() -> None:
    for path in taken():
        with pytest.raises(ValueError, match="hide"):
            path_prefix(path)


def test_the_prefixes_that_clients_ask_for_hide_nothing() -> None:
    for prefix in Server().prefixes:
        assert path_prefix(prefix) == prefix
        for route in ROUTES:
            assert resolve(route.path.encode(), (prefix,)) == resolve(route.path.encode(), ())
