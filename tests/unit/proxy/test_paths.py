"""Path normalisation: what is authorised is what is forwarded."""

from __future__ import annotations

import posixpath
import time
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.paths import Unclean, resolve, spellings
from controller.proxy.routes import ROUTES, Match, find, quick
from tests.kit.examples import examples

PREFIXES = ("/api/code", "/ollama", "/a/b")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("/api/chat", "/api/chat"),
        ("//api///chat", "/api/chat"),
        ("/api/chat/", "/api/chat"),
        ("/api/%63hat", "/api/chat"),
        ("/api/code/api/chat", "/api/chat"),
        ("/ollama/v1/models", "/v1/models"),
        ("/api/code", "/"),
        ("/api/code/", "/"),
        ("/", "/"),
        ("/api/api/tags", "/api/tags"),
        ("/v1/api/tags", "/api/tags"),
        ("/v1/v1/models", "/v1/models"),
        ("/api/code/v1/api/tags", "/api/tags"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/api/code/responses", "/v1/responses"),
        ("/ollama/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/models/llama3.2%3A1b", "/v1/models/llama3.2:1b"),
        ("/v1/models/hf.co%2FMe%2FName:Q4", "/v1/models/hf.co/Me/Name:Q4"),
        ("/v1/models/hf.co%2fMe%2fName%3AQ4", "/v1/models/hf.co/Me/Name:Q4"),
        ("/v1/models/hf.co/Me/Name:Q4", "/v1/models/hf.co/Me/Name:Q4"),
        ("/api/code/v1/models/me%2Fname/", "/v1/models/me/name"),
        ("/models/me%2Fname", "/v1/models/me/name"),
        ("/api/v1/models/me%2Fname", "/api/v1/models/me/name"),
        ("/api/code/static/x", "/static/x"),  # under a prefix everything is the API's, also what does not exist
    ],
)
def test_the_slips_clients_make_reach_the_route_they_mean(sent: str, meant: str) -> None:
    assert resolve(sent.encode(), PREFIXES) == meant


@pytest.mark.parametrize("sent", ["/app/chats", "/static/x.js", "/apis", "/metrics", "/v1x", "/api-docs"])
def test_what_is_not_the_api_is_left_to_the_pages(sent: str) -> None:
    assert resolve(sent.encode(), PREFIXES) is None


@pytest.mark.parametrize(
    "sent",
    [
        "/api/../chat",
        "/api/%2e%2e/chat",
        "/api/%2E./chat",
        "/api/.%2e/chat",
        "/api/./chat",
        "/api%2fchat",
        "/v1/models%2fred",
        "/v1%2Fmodels/red",
        "/v1/models/red%2F",
        "/v1/models/%2Fred",
        "/v1/models/a%2F%2Fred",
        "/v1/models/a%2F..%2Fred",
        "/v1/models/a/%2Fred",
        "/v1/models/a/b%2Fred",
        "/v1/models/a%252Fred",
        "/api/models/a%2Fred",
        "/x/models/a%2Fred",
        "/v1/embeddings/models/a%2Fred",
        "/api%2Fchat",
        "/api%5cchat",
        "/api\\chat",
        "/api/chat%00",
        "/api/chat\x00",
        "/api/%252e%252e/chat",
        "/api/chat%",
        "/api/chat%4",
        "/api/chat%zz",
        "/api/ch%C3%A4t",
        "/api/chat%0d%0aHost:x",
        "/api/chat%20",
        "/api/chat%3fx",
        "/app/../api/pull",
        "",
        "api/chat",
        "*",
    ],
)
def test_a_path_that_hides_something_is_refused(sent: str) -> None:
    assert isinstance(resolve(sent.encode("latin-1"), PREFIXES), Unclean)


_pieces = st.sampled_from(
    [
        "/",
        "//",
        "api",
        "v1",
        "code",
        "ollama",
        "chat",
        "pull",
        "delete",
        "models",
        "completions",
        "..",
        ".",
        "%2e",
        "%2F",
    ]
    + [
        "%5c",
        "\\",
        "%61",
        "%70ull",
        "a",
        "b",
        "x",
        "%",
        "%25",
        "%2",
        "blobs",
        "sha256:00",
        "%3A",
        "\x00",
        "é",
        ";",
        "?",
    ]
)


@examples(2000)
@given(st.lists(_pieces, max_size=9).map(lambda pieces: "/" + "".join(pieces)))
def test_the_authorised_route_is_the_forwarded_one(sent: str) -> None:
    path = resolve(sent.encode("utf-8"), PREFIXES)
    if not isinstance(path, str):
        return
    for method in ("GET", "POST", "DELETE", "HEAD"):
        match = find(method, path)
        if isinstance(match, Match):
            # as a Go server reads what it is sent: decode once, clean the path
            seen = posixpath.normpath(unquote(match.target))
            assert seen == match.target
            again = find(method, seen)
            assert isinstance(again, Match)
            assert again.route is match.route
            assert resolve(seen.encode(), PREFIXES) == match.target or match.target == "/"


@given(
    st.sampled_from(
        [route.path for route in ROUTES if "{" not in route.path and route.path.startswith(("/api", "/v1"))]
    ),
    st.sampled_from(["", *PREFIXES]),
    st.data(),
)
def test_percent_encoding_letters_changes_nothing(path: str, prefix: str, data: st.DataObject) -> None:
    sent = "".join(
        f"%{ord(letter):02x}" if letter.isalnum() and data.draw(st.booleans()) else letter for letter in prefix + path
    )
    assert resolve(sent.encode(), PREFIXES) == path


def test_the_quick_table_says_what_the_long_way_says() -> None:
    table = quick(PREFIXES)
    assert len(table) > 300
    for (method, raw), match in table.items():
        path = resolve(raw, PREFIXES)
        assert isinstance(path, str)
        assert find(method, path) == match


def test_every_spelling_of_a_path_leads_back_to_it() -> None:
    for route in ROUTES:
        if "{" not in route.path and route.path.startswith(("/api/", "/v1/")):
            for spelling in spellings(route.path, PREFIXES):
                assert resolve(spelling.encode(), PREFIXES) == route.path


def test_a_quoted_model_name_is_forwarded_decoded_once() -> None:
    path = resolve(("/v1/models/" + quote("llama3.2:1b", safe="")).encode(), ())
    assert path == "/v1/models/llama3.2:1b"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/api/v1/chat/completions", "/v1/chat/completions"),
        (b"/api/code/api/v1/embeddings", "/v1/embeddings"),
        (b"/api/v1/models/qwen3", "/api/v1/models/qwen3"),
        (b"/api/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        (b"/api/v1/models", "/api/v1/models"),
        (b"/ollama/api/v1/models/", "/api/v1/models"),
        (b"/api/v1/models/switch", "/api/v1/models/switch"),
        (b"/api/v1/queue", "/api/v1/queue"),
        (b"/api/v1/queue/pause", "/api/v1/queue/pause"),
        (b"/api/v1/queue/cancel", "/api/v1/queue/cancel"),
        (b"/api/v1/memory", "/api/v1/memory"),
        (b"/api/v1/jobs/a1", "/api/v1/jobs/a1"),
        (b"/api/v1/jobs/a/b", "/v1/jobs/a/b"),
        (b"/api/v1/nothing", "/v1/nothing"),
    ],
)
def test_below_api_v1_are_our_own_api_and_openais(raw: bytes, path: str) -> None:
    assert resolve(raw, ("/api/code", "/ollama")) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"/models/" + b"%2f" * 10_000 + b"/x",
        b"/models/" + b"%2f" * 5_000 + b"/" * 15_000 + b"x",
        b"/models/" * 4_000 + b"%2f",
        b"/a%2f" * 6_000,
        b"/api/v1/" * 4_000,
        b"/" * 32_000,
    ],
)
def test_no_path_holds_everything_up(raw: bytes) -> None:
    began = time.perf_counter()
    resolve(raw, PREFIXES)
    assert time.perf_counter() - began < 0.05  # seconds; it was four
