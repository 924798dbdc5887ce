"""The door of a whole Seadragon: keys, people, the way in from outside, by the real command line over real sockets."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from controller.storage.file import NAME
from tests.acceptance.conftest import MakeHouse
from tests.kit import web
from tests.kit.house import FakeHouse, until
from tests.kit.ports import free_port

SAID = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
DIALECTS = ("/api/chat", "/v1/chat/completions", "/v1/messages")
PROGRAM = {"Accept": "application/json", "X-Seadragon": "1"}
PASSWORD = "whales sing at night"
PUBLIC = "ai.example.org"
VISITOR = "203.0.113.9"


def told(house: FakeHouse, *command: str) -> Any:
    """What a `seadragon` command answers as JSON."""
    done = house.run(*command, "--json")
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return json.loads(done.stdout)


def order(house: FakeHouse, *command: str) -> str:
    """Carry out a `seadragon` command; what it says."""
    done = house.run(*command)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Key:
    """A key as its owner has it."""

    id: str
    text: str

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


def key(house: FakeHouse, name: str, *options: str) -> Key:
    """Make one on the command line."""
    made = told(house, "keys", "create", name, *options)
    return Key(made["id"], made["key"])


def chat(house: FakeHouse, headers: Mapping[str, str], *, path: str = "/api/chat", **more: Any) -> httpx.Response:
    """One question to a model, answered whole."""
    body = {**SAID, "stream": False, **more}
    return web.post(f"{house.url}{path}", json=body, headers=headers, timeout=60)


@contextlib.contextmanager
def browser(house: FakeHouse, cookie: str = "") -> Iterator[httpx.Client]:
    """Somebody at a page, signed in with `cookie`."""
    headers = {**PROGRAM, **({"Cookie": cookie} if cookie else {})}
    with web.client(base_url=house.url, headers=headers, timeout=60) as client:
        yield client


def sign_in(house: FakeHouse, path: str, **fields: str) -> str:
    """Come in by the form at `path`; the cookie."""
    with browser(house) as client:
        answer = client.post(path, json=fields)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["set-cookie"].partition(";")[0])


def is_in(house: FakeHouse, cookie: str) -> bool:
    """Whether the cookie still opens the account's page."""
    with browser(house, cookie) as client:
        return client.get("/account").status_code == 200


def invited(house: FakeHouse, label: str, *options: str) -> str:
    """Invite somebody on the command line; the token in the link's fragment."""
    link: str = told(house, "invites", "create", label, *options)["links"][0]
    return link.partition("#")[2]


@pytest.fixture
def shut(make_house: MakeHouse) -> FakeHouse:
    """A house whose allow-list is empty, ready: what comes in, comes in by a key or a password."""
    one = make_house()
    one.write("access", {"allow": []})
    one.up().until_ready()
    return one


# --- keys ---


def test_a_key_works_in_every_dialect_and_spelling_and_without_it_nothing_does(shut: FakeHouse) -> None:
    n8n = key(shut, "n8n")
    basic = base64.b64encode(f"anybody:{n8n.text}".encode()).decode()
    spellings = (n8n.header, {"X-API-Key": n8n.text}, {"Authorization": f"Basic {basic}"})
    for path in DIALECTS:
        assert [chat(shut, spelling, path=path).status_code for spelling in spellings] == [200] * 3, path
        nobody = chat(shut, {}, path=path)
        assert nobody.status_code == 403
        assert "127.0.0.1 is not on the allow-list" in nobody.text


def test_a_key_is_paused_resumed_and_revoked_from_one_request_to_the_next(shut: FakeHouse) -> None:
    n8n, other = key(shut, "n8n"), key(shut, "flowise")
    for verb, status, words in (("pause", 401, "is paused"), ("resume", 200, ""), ("revoke", 401, "was taken back")):
        order(shut, "keys", verb, n8n.id)
        answer = chat(shut, n8n.header)
        assert answer.status_code == status
        assert words in answer.text
    assert chat(shut, other.header).status_code == 200
    again = shut.run("keys", "resume", n8n.id)
    assert (again.returncode, "for good" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("keys", "revoke", "{id}"), "was taken back"),
        (("keys", "pause", "{id}"), "is paused"),
        (("users", "disable", "Mia"), "who may not come in"),
    ],
)
def test_an_open_stream_ends_with_a_reason_when_its_right_does(
    shut: FakeHouse, command: tuple[str, ...], words: str
) -> None:
    order(shut, "users", "add", "Mia")
    mias, other = key(shut, "mia's", "--user", "Mia"), key(shut, "other")
    shut.knobs(tokens=100_000, pause=0.05)
    with stream(shut, mias) as records, stream(shut, other) as others:
        assert next(records)["done"] is next(others)["done"] is False
        order(shut, *(word.format(id=mias.id) for word in command))
        *_, last = records
        assert words in last["error"], last
        shut.knobs(tokens=1)
        assert next(others)["done"] is False, "whom it was not about goes on"


@contextlib.contextmanager
def stream(house: FakeHouse, with_key: Key) -> Iterator[Iterator[dict[str, Any]]]:
    """The records of a long answer, as they come."""
    url = f"{house.url}/api/chat"
    with web.stream("POST", url, json=SAID, headers=with_key.header, timeout=30) as answer:
        assert answer.status_code == 200
        yield (json.loads(line) for line in answer.iter_lines())


def test_a_key_is_good_for_its_time_and_its_addresses_alone(shut: FakeHouse) -> None:
    brief, near = key(shut, "brief", "--for", "3s"), key(shut, "near", "--from", "127.0.0.8/30")
    until(lambda: chat(shut, brief.header).status_code == 401, why="its time is over")
    assert "has expired" in chat(shut, brief.header).text
    elsewhere = chat(shut, near.header)
    assert elsewhere.status_code == 401
    assert "not be used from this address" in elsewhere.text
    with web.client(transport=httpx.HTTPTransport(local_address="127.0.0.9"), timeout=60) as client:
        assert client.post(f"{shut.url}/api/chat", json=SAID, headers=near.header).status_code == 200


def test_a_key_for_some_models_sees_and_asks_no_others(shut: FakeHouse) -> None:
    shut.knobs(models=["tiny:latest", "big:latest"])
    some, every = key(shut, "some", "--model", "tiny*"), key(shut, "every")
    for path, many, name in (
        ("/api/tags", "models", "name"), ("/v1/models", "data", "id"), ("/api/v1/models", "data", "id"),
    ):  # fmt: skip
        for whose, names in ((some, ["tiny:latest"]), (every, ["big:latest", "tiny:latest"])):
            seen = web.get(f"{shut.url}{path}", headers=whose.header, timeout=60).json()[many]
            assert sorted(one[name] for one in seen) == names, path
    assert chat(shut, every.header, model="big").status_code == 200
    assert chat(shut, some.header).status_code == 200
    refused = chat(shut, some.header, model="big")
    assert refused.status_code == 404, "it does not exist for this key"


def test_a_wrong_key_is_refused_where_the_address_alone_would_be_let_in(house: FakeHouse) -> None:
    good = key(house, "good")
    order(house, "keys", "revoke", good.id)
    swapped = good.text[:-1] + ("A" if good.text[-1] != "A" else "B")
    assert chat(house, {}).status_code == 200
    for wrong in (good.text, swapped, "sd_", "sd_nonsense"):
        for header in ({"X-API-Key": wrong}, {"Authorization": f"Bearer {wrong}"}):
            assert chat(house, header).status_code == 401, wrong


# --- people ---


def test_the_admin_code_makes_the_first_admin_and_only_once(shut: FakeHouse) -> None:
    code = told(shut, "admin-code")
    assert code["links"]
    page = web.get(f"{shut.url}/admin-code", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "admin-code" in page.text
    cookie = sign_in(shut, "/admin-code", token=code["code"], name="Anna", password=PASSWORD)
    with browser(shut, cookie) as anna:
        assert anna.get("/account").json() == {"name": "Anna", "role": "admin"}
    with browser(shut) as other:
        again = other.post("/admin-code", json={"token": code["code"], "name": "Eve", "password": PASSWORD})
    assert again.status_code == 403
    assert [(one["name"], one["role"]) for one in told(shut, "users")] == [("Anna", "admin")]


def test_who_was_invited_signs_in_sees_the_devices_and_ends_one_of_them(shut: FakeHouse) -> None:
    phone = sign_in(shut, "/join", token=invited(shut, "grandma"), name="Mia", password=PASSWORD)
    laptop = sign_in(shut, "/login", name="mia", password=PASSWORD)
    with browser(shut, laptop) as client:
        devices = client.get("/account/devices").json()["devices"]
        (other,) = [one["id"] for one in devices if not one["this"]]
        assert is_in(shut, phone)
        assert client.post("/account/devices", json={"end": other}).status_code == 204
    assert not is_in(shut, phone)
    assert is_in(shut, laptop)
    assert order(shut, "users", "end-sessions", "Mia")
    assert not is_in(shut, laptop)
    (invite,) = told(shut, "invites")
    assert (invite["state"], invite["people"]) == ("used", ["Mia"])


def test_of_fifty_who_use_an_invite_for_one_at_once_one_gets_in(shut: FakeHouse) -> None:
    token = invited(shut, "one seat")

    def come(number: int) -> int:
        with browser(shut) as client:
            return client.post("/join", json={"token": token, "name": f"p{number}", "password": PASSWORD}).status_code

    with ThreadPoolExecutor(50) as crowd:
        came = Counter(crowd.map(come, range(50)))
    assert came[201] == 1, came
    assert set(came) <= {201, 403, 429, 503}, came
    assert len(told(shut, "users")) == 1


def test_who_is_disabled_is_out_with_sessions_and_keys_until_enabled(shut: FakeHouse) -> None:
    cookie = sign_in(shut, "/join", token=invited(shut, "Ben"), name="Ben", password=PASSWORD)
    bens = key(shut, "ben's", "--user", "Ben")
    assert (is_in(shut, cookie), chat(shut, bens.header).status_code) == (True, 200)
    order(shut, "users", "disable", "Ben")
    assert (is_in(shut, cookie), chat(shut, bens.header).status_code) == (False, 401)
    order(shut, "users", "enable", "Ben")
    assert not is_in(shut, cookie), "a session that has ended stays so"
    sign_in(shut, "/login", name="Ben", password=PASSWORD)


# --- what is kept ---


def test_what_a_key_uses_is_counted_with_its_tokens_in_every_dialect(shut: FakeHouse) -> None:
    n8n = key(shut, "n8n")
    for path in DIALECTS:
        assert chat(shut, n8n.header, path=path, stream=True).status_code == 200
    (row,) = told(shut, "usage")
    assert (row["caller"], row["requests"], row["failed"]) == ("n8n", len(DIALECTS), 0)
    uses = told(shut, "usage", "--requests", "10")
    assert {(one["key_id"], one["model"], one["outcome"]) for one in uses} == {(n8n.id, "tiny", "done")}
    assert [one["answer_tokens"] for one in uses] == [8] * len(DIALECTS)
    assert row["answer_tokens"] == sum(one["answer_tokens"] for one in uses)
    assert n8n.id in order(shut, "usage", "--by", "key")


def test_the_audit_holds_what_was_done_and_tells_of_a_changed_row(shut: FakeHouse) -> None:
    n8n = key(shut, "n8n")
    order(shut, "keys", "revoke", n8n.id)
    assert chat(shut, n8n.header).status_code == 401
    rows = told(shut, "audit")
    assert {("operator", "keys.create"), ("operator", "keys.revoke")} <= {(one["actor"], one["what"]) for one in rows}
    assert any(one["outcome"] == "refused" and one["peer"] == "127.0.0.1" for one in rows)
    assert n8n.text not in json.dumps(rows)
    assert "as it was written" in order(shut, "audit", "--verify")
    with contextlib.closing(sqlite3.connect(shut.data / NAME)) as burglar, burglar:
        burglar.execute("UPDATE audit SET actor = 'nobody' WHERE what = 'keys.revoke'")
    looked = shut.run("audit", "--verify")
    assert looked.returncode != 0
    assert "The audit was changed" in looked.stdout


def test_a_copy_put_back_brings_everybody_and_everything_back(shut: FakeHouse) -> None:
    n8n = key(shut, "n8n")
    cookie = sign_in(shut, "/join", token=invited(shut, "Mia"), name="Mia", password=PASSWORD)
    order(shut, "allow", "add", "192.0.2.0/24", "office")
    before = {what: told(shut, what) for what in ("users", "invites", "allow")}
    copy = shut.folder / "copy.db"
    order(shut, "backup", str(copy))
    order(shut, "users", "delete", "Mia")
    order(shut, "keys", "revoke", n8n.id)
    running = shut.run("restore", str(copy))
    assert (running.returncode, "Stop it first" in running.stderr) == (1, True)
    shut.down()
    order(shut, "restore", "--everything", str(copy))
    shut.up().until_ready()
    assert chat(shut, n8n.header).status_code == 200
    assert is_in(shut, cookie)
    after = {what: told(shut, what) for what in before}
    assert (after["invites"], after["allow"]) == (before["invites"], before["allow"])
    assert [one["name"] for one in after["users"]] == [one["name"] for one in before["users"]]
    assert "as it was written" in order(shut, "audit", "--verify")


def test_a_copy_put_back_brings_nothing_back_that_was_taken_back_since(shut: FakeHouse) -> None:
    n8n = key(shut, "n8n")
    cookie = sign_in(shut, "/join", token=invited(shut, "Mia"), name="Mia", password=PASSWORD)
    copy = shut.folder / "copy.db"
    order(shut, "backup", str(copy))
    order(shut, "users", "disable", "Mia")
    order(shut, "keys", "revoke", n8n.id)
    order(shut, "allow", "add", "--deny", "192.0.2.66", "not him")
    shut.down()
    assert "stays so" in order(shut, "restore", str(copy))
    shut.up().until_ready()
    assert chat(shut, n8n.header).status_code == 401
    assert not is_in(shut, cookie)
    assert [one["cidr"] for one in told(shut, "allow") if one["verdict"] == "deny"] == ["192.0.2.66"]
    order(shut, "users", "enable", "Mia")
    assert told(shut, "users")[0]["state"] == "active"


def test_a_restart_and_a_crash_keep_keys_sessions_and_what_was_taken_back(shut: FakeHouse) -> None:
    n8n, gone = key(shut, "n8n"), key(shut, "gone")
    cookie = sign_in(shut, "/join", token=invited(shut, "Mia"), name="Mia", password=PASSWORD)
    order(shut, "keys", "revoke", gone.id)
    for leave in (shut.down, shut.kill):
        leave()
        shut.up().until_ready()
        assert chat(shut, n8n.header).status_code == 200
        assert chat(shut, gone.header).status_code == 401
        assert is_in(shut, cookie)


def test_what_is_kept_is_for_its_owner_alone(shut: FakeHouse) -> None:
    key(shut, "n8n")
    sign_in(shut, "/join", token=invited(shut, "Mia"), name="Mia", password=PASSWORD)
    order(shut, "backup")
    kept = list(shut.data.rglob("*"))
    assert {NAME, "backups", "secrets"} <= {path.name for path in kept}
    for path in (shut.data, *kept):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600) or not path.is_file(), (path, oct(mode))


# --- from outside ---


def test_by_the_tunnels_listener_a_key_comes_in_and_an_address_alone_does_not(make_house: MakeHouse) -> None:
    one, inner = make_house(), free_port()
    listeners = [{"address": f"127.0.0.1:{one.port}"}, {"address": f"127.0.0.1:{inner}", "kind": "tunnel"}]
    one.configure(listeners=listeners, tunnel={"hostnames": [PUBLIC]})
    one.write("access", {"allow": [{"label": "all of it", "addresses": ["127.0.0.1", VISITOR], "manage": True}]})
    one.up().until_ready()
    boss = key(one, "boss", "--may", "infer", "--may", "manage", "--may", "admin")
    coming = {"Host": PUBLIC, "CF-Connecting-IP": VISITOR}
    with web.client(base_url=f"http://127.0.0.1:{inner}", headers=coming, timeout=60) as outside:
        assert outside.post("/api/chat", json=SAID, headers=boss.header).status_code == 200
        assert outside.post("/api/chat", json=SAID).status_code == 403
        for host in ("elsewhere.example.org", "127.0.0.1", f"127.0.0.1:{inner}"):
            assert outside.get("/api/tags", headers={"Host": host} | boss.header).status_code == 421
        for method, path in (("POST", "/api/pull"), ("POST", "/api/v1/models/load"), ("GET", "/api/v1/keys")):
            refused = outside.request(method, path, json={"model": "tiny"}, headers=boss.header)
            assert refused.status_code == 403, path
            assert "surfaces: {admin: {tunnel: true}}" in refused.text
    with web.client(base_url=one.url, headers=boss.header, timeout=60) as near:
        assert near.get("/api/v1/keys").status_code == 200


@pytest.mark.parametrize("header", ["CF-Connecting-IP", "X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_a_header_of_a_proxy_takes_the_rights_of_the_address_away(house: FakeHouse, header: str) -> None:
    value = "for=127.0.0.1" if header == "Forwarded" else "127.0.0.1"
    refused = chat(house, {header: value})
    assert refused.status_code == 403
    assert header.lower() in refused.text.lower()
    assert chat(house, {header: value} | key(house, "n8n").header).status_code == 200
    assert chat(house, {}).status_code == 200
