"""A name means the same model on every route, however it is spelled; one that is hidden is hidden on all of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import pytest

from controller.proxy.routes import ROUTES, Kind, Route
from tests.kit import web
from tests.kit.house import House, fake_house
from tests.kit.real import RealOllama, program

SAY: Final = [{"role": "user", "content": "hello"}]
QUESTION: Final[Mapping[str, Any]] = {"messages": SAY, "prompt": "hello", "input": "hello", "max_tokens": 20}
SPELLINGS: Final = (
    "gpt-4o",
    "GPT-4o:latest",
    "library/gpt-4o",
    "demo:///library/gpt-4o",
    " gpt-4o:local",
    "gpt-4o-mini",
)
HIDDEN: Final = ("red", "RED:latest", "library/red", "demo:///library/red", "red:local", "gpt-4o", "gpt-4o-mini")
BY_ITSELF: Final = ("/api/pull", "/api/create", "/api/copy", "/api/delete")
"""What changes what is installed goes by the name as it is written."""
FORM: Final = (
    '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n{}\r\n'
    '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
)


def named(route: Route) -> bool:
    """Whether a request of this route says which model it is about."""
    if route.kind is Kind.API:
        return route.path == "/api/v1/models/{name}" or (
            route.path.startswith("/api/v1/models/") and "POST" in route.methods
        )
    if route.own:
        return False
    return (
        route.kind in (Kind.INFERENCE, Kind.MANAGEMENT)
        and "{" not in route.path
        or route.path
        in (
            "/api/show",
            "/v1/models/{model}",
        )
    )


NAMED: Final = [route for route in ROUTES if named(route)]
FOLLOWING: Final = [route for route in NAMED if route.path not in BY_ITSELF]


def ask(client: httpx.Client, route: Route, name: str) -> httpx.Response:
    """What the route is for, of the model that `name` means."""
    if "{" in route.path:
        path = route.path.partition("{")[0] + name.strip().replace("/", "%2F")
        return client.get(path)
    if route.path == "/v1/audio/transcriptions":
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        return client.post(route.path, content=FORM.format(name).encode(), headers=kind)
    if route.path == "/api/v1/models/switch":
        return client.post(route.path, json={"model": name, "wait": 60})
    if route.path.startswith("/api/v1/"):
        return client.post(route.path, json={"model": name})
    member = "source" if route.path == "/api/copy" else "model"
    body = {**QUESTION, member: name, "destination": "copy", "stream": False}
    return client.request(route.methods[0], route.path, json=body)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, real_ollama: RealOllama) -> Iterator[House]:
    with fake_house(tmp_path_factory.mktemp("every-name")) as house:
        house.configure(ollama={"mode": "external", "url": real_ollama.url, "binary": None, "environment": {}})
        house.write("models", {"redirect": {"gpt-4o": "red", "gpt-4o-*": "red"}})
        house.write("access", {"allow": [{"label": "me", "addresses": ["127.0.0.1"], "manage": True}]})
        yield house.up().until_ready()


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[httpx.Client]:
    with web.client(base_url=house.url, timeout=90) as client:
        yield client


@pytest.mark.parametrize("route", FOLLOWING, ids=lambda route: str(route.path))
def test_a_name_means_the_same_model_on_every_route(client: httpx.Client, route: Route) -> None:
    for name in SPELLINGS:
        if "{" in route.path and "://" in name:
            continue  # a path has no empty part, encoded or not
        answer = ask(client, route, name)
        if route.kind is Kind.API:
            assert answer.is_success or answer.status_code == 409, (name, answer.text)  # 409: it is loaded, or is not
            assert "gpt" not in answer.text
            continue
        assert answer.headers["x-seadragon-adjusted"].startswith("model=red (redirect)"), (name, answer.text)
        if route.subject in ("prompt", "messages", "input") and not route.embeds and "images" not in route.path:
            assert "I am red." in answer.text, (name, answer.text)


def test_the_ollama_command_runs_the_other_model_and_pulls_nothing(house: House) -> None:
    done = subprocess.run(
        [str(program()), "run", "gpt-4o", "hi"],
        env={"OLLAMA_HOST": house.url, "HOME": str(house.folder), "PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "I am red." in done.stdout
    assert "pulling" not in done.stdout + done.stderr


@pytest.mark.parametrize("path", BY_ITSELF)
def test_what_is_installed_is_changed_by_its_own_name(client: httpx.Client, path: str) -> None:
    route = next(route for route in ROUTES if route.path == path)
    if path in ("/api/copy", "/api/delete"):
        assert ask(client, route, "gpt-4o").status_code == 404
        assert "red:latest" in client.get("/api/tags").text
    for name in ("a//b", "red@sha256:1", "../red"):
        answer = ask(client, route, name)
        assert answer.status_code == 400
        assert "is not the name of a model" in answer.text


def test_lists_have_the_whole_record_under_the_name_that_means_it(client: httpx.Client) -> None:
    tags = {each["name"]: each for each in client.get("/api/tags").json()["models"]}
    assert {**tags["red:latest"], "name": "gpt-4o", "model": "gpt-4o"} == tags["gpt-4o"]
    for path in ("/v1/models", "/api/v1/models"):
        models = {each["id"]: each for each in client.get(path).json()["data"]}
        assert {**models["red:latest"], "id": "gpt-4o"} == models["gpt-4o"]


def test_a_hidden_model_is_hidden_on_every_route_by_every_name(house: House, client: httpx.Client) -> None:
    guest = {"label": "me", "addresses": ["127.0.0.1"], "manage": True, "models": ["blue*", "gpt*"]}
    house.write("access", {"allow": [guest]})
    house.run("reload")
    for route in NAMED:
        if route.path in ("/api/pull", "/api/create"):
            continue  # they would make it
        for name in HIDDEN:
            if "{" in route.path and "://" in name:
                continue
            answer = ask(client, route, name)
            assert answer.status_code == 404, (route.path, name, answer.text)
            assert "I am red" not in answer.text
    assert "red:latest" not in client.get("/api/tags").text
