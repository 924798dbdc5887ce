"""Every endpoint of a real Ollama, asked directly and through the gateway: the same status, headers and bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.kit import web
from tests.kit.house import House, fake_house
from tests.kit.pictures import png
from tests.kit.real import RealOllama

SAY = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather somewhere",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}
PICTURE = base64.b64encode(png((250, 10, 10))).decode()
COLD = {"num_predict": 4, "temperature": 0}
FORMAT = {"type": "object", "properties": {"a": {"type": "string"}}}


@dataclass(frozen=True)
class Ask:
    """One request that both are asked."""

    method: str
    path: str
    body: object = None
    text: str | None = None  # sent as it is, instead of `body`

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body}"
        return f"{self.method} {self.path}{body if self.text is None else ' ' + self.text}"[:100]


def both(path: str, body: dict[str, object]) -> list[Ask]:
    """The request streamed and not."""
    return [Ask("POST", path, {**body, "stream": stream}) for stream in (True, False)]


ASKS = [
    Ask("HEAD", "/"),
    Ask("GET", "/api/version"),
    Ask("HEAD", "/api/version"),
    Ask("GET", "/api/tags"),
    Ask("HEAD", "/api/tags"),
    Ask("GET", "/v1/models"),
    Ask("GET", "/v1/models/red"),
    Ask("GET", "/v1/models/nobody"),
    Ask("POST", "/api/show", {"model": "red"}),
    Ask("POST", "/api/show", {"name": "blue"}),
    Ask("POST", "/api/show", {"model": "nobody"}),
    *both("/api/generate", {"model": "red", "prompt": "hello"}),
    *both("/api/generate", {"model": "red", "prompt": "hello", "options": {"num_predict": 2}}),
    *both("/api/generate", {"model": "red", "prompt": "hello", "raw": True}),
    *both("/api/generate", {"model": "seer", "prompt": "what?", "images": [PICTURE]}),
    *both("/api/generate", {"model": "nobody", "prompt": "hello"}),
    *both("/api/generate", {"model": "embedder", "prompt": "hello"}),
    Ask("POST", "/api/generate", {"model": "red"}),
    Ask("POST", "/api/generate", {"model": "red", "prompt": "default stream"}),
    Ask("POST", "/api/generate", text='{"MODEL": "red", "Prompt": "hello", "stream": false} trailing'),
    Ask("POST", "/api/generate", text=""),
    *both("/api/chat", {"model": "red", "messages": SAY}),
    *both("/api/chat", {"model": "caller", "messages": SAY, "tools": [TOOL]}),
    *both("/api/chat", {"model": "thinker", "messages": SAY, "think": True}),
    *both("/api/chat", {"model": "thinker", "messages": SAY, "think": False}),
    *both("/api/chat", {"model": "red", "messages": SAY, "format": FORMAT, "options": COLD}),
    *both("/api/chat", {"model": "red", "messages": []}),
    Ask("POST", "/api/chat", {"messages": SAY}),
    Ask("POST", "/api/embed", {"model": "embedder", "input": ["one", "two"]}),
    Ask("POST", "/api/embed", {"model": "embedder", "input": "one"}),
    Ask("POST", "/api/embed", {"model": "nobody", "input": "one"}),
    Ask("POST", "/api/embeddings", {"model": "embedder", "prompt": "one"}),
    *both("/v1/chat/completions", {"model": "red", "messages": SAY}),
    *both("/v1/chat/completions", {"model": "red", "messages": SAY, "stream_options": {"include_usage": True}}),
    *both("/v1/chat/completions", {"model": "caller", "messages": SAY, "tools": [TOOL]}),
    *both("/v1/chat/completions", {"model": "nobody", "messages": SAY}),
    *both("/v1/completions", {"model": "red", "prompt": "hello"}),
    *both("/v1/responses", {"model": "red", "input": "hello"}),
    *both("/v1/messages", {"model": "red", "max_tokens": 20, "messages": SAY}),
    *both("/v1/messages", {"model": "caller", "max_tokens": 50, "messages": SAY, "tools": [
        {"name": "get_weather", "description": "weather", "input_schema": {"type": "object", "properties": {}}}]}),
    Ask("POST", "/v1/messages", {"model": "red", "messages": SAY}),
    Ask("POST", "/v1/embeddings", {"model": "embedder", "input": "one"}),
    Ask("POST", "/v1/embeddings", {"model": "embedder", "input": "one", "encoding_format": "base64"}),
]  # fmt: skip
# /v1/audio/transcriptions without a form is refused by the gateway, which has to know the model for the line

PASSING = [  # what differs between two askings of one server
    (rb'"created_at":"[^"]*"', b'"created_at":"-"'),
    (rb'"(created|created_at|completed_at|expires_at)":\d+', rb'"\1":0'),
    (rb'"(total|load|prompt_eval|eval)_duration":\d+', rb'"\1_duration":0'),
    (rb'"(request_id|id|call_id|item_id)":"[^"]*"', rb'"\1":"-"'),
    (rb'"expires_at":"[^"]*"', b'"expires_at":"-"'),
    (rb"(chatcmpl|cmpl|msg|resp|req|call|toolu|rs|fc)_?-?[0-9a-zA-Z_]+", rb"\1"),
]
MATTER = ("content-type", "cache-control", "allow", "content-length")


@dataclass(frozen=True)
class Answer:
    """What a client sees of an answer, without what differs between two askings."""

    status: int
    headers: dict[str, str]
    body: bytes


def in_order(response: httpx.Response) -> bytes:
    """The body; models that were changed in the same instant come in another order at each asking."""
    if response.request.url.path.endswith("/tags") and response.content:
        return json.dumps(sorted(response.json()["models"], key=lambda model: str(model["name"]))).encode()
    return response.content


def answer_of(response: httpx.Response) -> Answer:
    body = in_order(response)
    for pattern, instead in PASSING:
        body = re.sub(pattern, instead, body)
    headers = {name: response.headers[name] for name in MATTER if name in response.headers}
    if body != response.content or response.request.method == "HEAD":
        headers.pop("content-length", None)  # numbers have more or fewer digits from one asking to the next
    return Answer(response.status_code, headers, body)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, real_ollama: RealOllama) -> Iterator[House]:
    """A Seadragon in front of the shared real Ollama."""
    with fake_house(tmp_path_factory.mktemp("transparency")) as house:
        house.configure(ollama={"mode": "external", "url": real_ollama.url, "binary": None, "environment": {}})
        house.write("access", {"allow": [{"label": "me", "addresses": ["127.0.0.1"], "manage": True}]})
        yield house.up().until_ready()


def send(url: str, ask: Ask) -> httpx.Response:
    with web.client(base_url=url, timeout=60) as client:
        if ask.text is not None:
            return client.request(ask.method, ask.path, content=ask.text)
        return client.request(ask.method, ask.path, json=ask.body)


@pytest.mark.parametrize("ask", ASKS, ids=str)
def test_an_answer_through_the_gateway_is_the_answer(ask: Ask, real_ollama: RealOllama, gateway: House) -> None:
    assert answer_of(send(gateway.url, ask)) == answer_of(send(real_ollama.url, ask))


def test_what_is_no_json_is_refused_by_the_gateway_itself(gateway: House) -> None:
    refused = send(gateway.url, Ask("POST", "/api/generate", text="{not json"))
    assert refused.status_code == 400
    assert "JSON" in refused.json()["error"]


@pytest.mark.parametrize("prefix", ["/api/code", "/ollama"])
@pytest.mark.parametrize("slip", ["", "/api", "/v1"])
def test_a_prefix_or_a_common_slip_reaches_the_same_route(
    prefix: str, slip: str, real_ollama: RealOllama, gateway: House
) -> None:
    direct = answer_of(send(real_ollama.url, Ask("GET", "/api/tags")))
    assert answer_of(send(gateway.url, Ask("GET", f"{prefix}{slip}/api/tags"))) == direct


def test_what_a_manager_changes_is_changed_and_seen_at_once(
    real_ollama: RealOllama, gateway: House, tmp_path: Path
) -> None:
    def names() -> set[str]:
        return {model["name"] for model in send(gateway.url, Ask("GET", "/api/tags")).json()["models"]}

    assert send(gateway.url, Ask("POST", "/api/copy", {"source": "red", "destination": "crimson"})).status_code == 200
    assert "crimson:latest" in names()
    made = send(gateway.url, Ask("POST", "/api/create", {"model": "scarlet", "from": "red", "system": "Be red."}))
    assert made.text.splitlines()[-1] == '{"status":"success"}'
    assert "scarlet:latest" in names()
    for name in ("crimson", "scarlet"):
        assert send(gateway.url, Ask("DELETE", "/api/delete", {"model": name})).status_code == 200
    assert not names() & {"crimson:latest", "scarlet:latest"}
    data = b"not a model, but a blob" * 1000
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with web.client(base_url=gateway.url) as client:
        assert client.head(f"/api/blobs/{digest}").status_code == 404
        assert client.post(f"/api/blobs/{digest}", content=data).status_code == 201
        assert client.head(f"/api/blobs/{digest}").status_code == 200
        wrong = client.post(f"/api/blobs/{digest[:-1]}0", content=data)
    assert wrong.status_code == 400


def test_the_routes_that_are_off_answer_in_words_and_never_reach_ollama(
    gateway: House, real_ollama: RealOllama
) -> None:
    for method, path in [("POST", "/api/push"), ("POST", "/api/signout"), ("DELETE", "/api/user/keys/abc")]:
        refused = send(gateway.url, Ask(method, path, {"model": "red"}))
        assert refused.status_code == 403
        assert isinstance(refused.json()["error"], str)
    before = real_ollama.log.read_text(errors="replace").count("/api/me")
    assert send(gateway.url, Ask("POST", "/api/me")).status_code in (200, 401, 403)
    assert real_ollama.log.read_text(errors="replace").count("/api/me") == before
