"""Rights on the command line: real commands, a real control socket, the real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.auth.holders import Holders
from controller.auth.public import ONLY_HERE
from controller.auth.secrets import parse_key
from controller.cli import main
from controller.clock import SystemClock
from controller.config.entry import Access, Allowed
from controller.config.listening import Listener
from controller.config.machine import AuditSettings, UsageSettings
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server
from controller.control.server import serve
from controller.storage.audit import Audit
from controller.storage.backup import back_up
from controller.storage.database import Database
from controller.storage.file import NAME, connect
from controller.storage.usage import UsageStore
from tests.fakes.desk import FakeDesk
from tests.kit.holding import an_office
from tests.kit.stored import at_work
from tests.kit.uses import a_use

CONFIG = Config(
    server=Server(
        listeners=(Listener(address="127.0.0.1:8420"), Listener(address="192.168.1.20:8420", plain_cookies=True)),
        tunnel=TunnelSettings(mode="token", token_file=Path("/token"), hostnames=("ai.example.org",)),
    ),
    access=Access(allow=(Allowed(label="this computer", addresses=("127.0.0.1",)),)),
)


@dataclass
class House:
    """What stands behind the socket, and how to call it."""

    holders: Holders
    audit: Audit
    usage: UsageStore
    database: Path
    places: list[str]
    desk: FakeDesk

    async def run(self, *words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(main, [*words, *self.places]))

    async def json(self, *words: str) -> Any:
        result = await self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    async def deeds(self) -> list[tuple[str, str, str, str]]:
        """What the audit says, oldest first."""
        rows = await self.audit.rows()
        return [(row["actor"], row["what"], row["target"], row["outcome"]) for row in reversed(rows)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    places = []
    for name in ("config", "data", "logs"):
        (tmp_path / name).mkdir(mode=0o700)
        places += [f"--{name}", str(tmp_path / name)]
    desk, clock, path = FakeDesk(tmp_path), SystemClock(), tmp_path / "data" / NAME
    holders = Holders(clock, desk.journal)
    audit, usage = Audit(clock, desk.journal, AuditSettings), UsageStore(clock, desk.journal, UsageSettings)
    desk.office, desk.audit, desk.usage = an_office(holders, audit, clock, lambda: desk.config), audit, usage
    desk.config = CONFIG
    async with AsyncExitStack() as stack:
        for part in (audit, usage):
            await stack.enter_async_context(at_work(part, Database(path, clock, desk.journal)))
        holding = asyncio.create_task(holders.ledger.run(Database(path, clock, desk.journal)))
        await holders.ledger.known.wait()
        await stack.enter_async_context(serve(desk, tmp_path / "data" / "control.sock"))
        yield House(holders, audit, usage, path, places, desk)
        holding.cancel()
        await asyncio.wait([holding])


async def test_a_key_is_shown_once_listed_by_its_end_and_taken_back(house: House) -> None:
    result = await house.run("keys", "create", "n8n", "--lane", "2.5", "--may", "infer", "--model", "qwen*")
    assert result.exit_code == 0, result.output
    text = result.output.split()[0]
    parsed = parse_key(text)
    assert parsed is not None
    id = parsed[0]
    assert "this once" in result.output
    listed = (await house.run("keys")).output
    assert text not in listed
    assert all(word in listed for word in (id, "n8n", "active", "2.5", "qwen*"))
    for order, state in (("pause", "paused"), ("resume", "active"), ("revoke", "revoked")):
        assert (await house.run("keys", order, id)).exit_code == 0
        (key,) = await house.json("keys", "list")
        assert key["state"] == state
    assert house.holders.keys[id].revoked_at is not None
    again = await house.run("keys", "resume", id)
    assert again.exit_code == 1
    assert "for good" in again.output
    deeds = await house.deeds()
    assert [(what, outcome) for _, what, _, outcome in deeds] == [
        ("keys.create", "done"),
        ("keys.pause", "done"),
        ("keys.resume", "done"),
        ("keys.revoke", "done"),
        ("keys.resume", "refused"),
    ]
    assert {actor for actor, *_ in deeds} == {"operator"}
    assert deeds[0][2] == f"n8n ({id} …{parsed[1][-4:]})"


async def test_a_key_is_changed_where_it_is_told_and_stays_as_it_was_elsewhere(house: House) -> None:
    made = await house.json("keys", "create", "n8n", "--model", "qwen*", "--per-minute", "5", "--for", "2h")
    id = made["id"]
    said = await house.run("keys", "change", id, "--name", "n8n at work", "--lane", "2.5", "--default-model", "qwen3")
    assert (said.exit_code, said.output.split(".")[0]) == (0, "n8n at work is changed")
    (key,) = await house.json("keys")
    assert (key["name"], key["lane"], key["default_model"]) == ("n8n at work", 2.5, "qwen3")
    assert (key["models"], key["per_minute"], key["expires_at"]) == (["qwen*"], 5, made["expires_at"])
    free = ("--model", "", "--per-minute", "0", "--for", "0s", "--default-model", "")
    assert (await house.run("keys", "change", id, *free)).exit_code == 0
    (key,) = await house.json("keys")
    assert (key["models"], key["per_minute"], key["expires_at"], key["default_model"]) == ([], None, None, "")
    assert (await house.run("keys", "change", "nothing1", "--lane", "1")).exit_code == 1
    assert [what for _, what, *_ in await house.deeds()] == ["keys.create", *["keys.change"] * 3]


async def test_an_invite_is_a_link_to_where_the_house_is_found(house: House) -> None:
    result = await house.run("invites", "create", "grandma", "--role", "member", "--uses", "2", "--for", "48h")
    assert result.exit_code == 0, result.output
    assert "https://ai.example.org/join#sdi_" in result.output
    assert "http://192.168.1.20:8420/join#sdi_" in result.output
    assert "127.0.0.1" not in result.output
    assert ONLY_HERE not in result.output
    (invite,) = await house.json("invites")
    assert (invite["label"], invite["uses"], invite["state"]) == ("grandma", 2, "open")
    assert (await house.run("invites", "revoke", invite["id"])).exit_code == 0
    assert "revoked" in (await house.run("invites", "list")).output


@pytest.mark.parametrize("words", [("invites", "create", "grandma"), ("users", "add", "Mia"), ("admin-code",)])
async def test_a_link_that_works_on_this_machine_only_says_so_and_what_to_set(
    house: House, words: tuple[str, ...]
) -> None:
    house.desk.config = Config()
    said = (await house.run(*words)).output
    assert "http://localhost:8420/" in said
    assert ONLY_HERE in said
    assert "plain_cookies" in said
    house.desk.config = CONFIG
    assert "caution" not in await house.json("invites", "create", "grandpa")


async def test_people_are_added_given_roles_shut_out_and_forgotten(house: House) -> None:
    added = await house.run("users", "add", "Mia", "--role", "child")
    assert "/reset#sdr_" in added.output
    assert (await house.run("users", "role", "mia", "admin")).output == "Mia is admin now.\n"
    limited = await house.run("users", "limit", "mia", "--model", "qwen3*", "--lane", "4", "--running", "1")
    assert limited.output == "Mia may use only qwen3*, lane 4.\n"
    [mia] = [each for each in await house.json("users") if each["name"] == "Mia"]
    assert (mia["models"], mia["lane"], mia["running"], mia["waiting"]) == (["qwen3*"], 4, 1, None)
    assert (await house.run("users", "limit", "mia")).output == "Mia may use all models.\n"
    assert (await house.run("users", "rename", "mia", "Maja")).output == "mia is called Maja now.\n"
    assert (await house.run("users", "rename", "maja", "Mia")).exit_code == 0
    last = await house.run("users", "disable", "mia")
    assert last.exit_code == 1
    assert "last admin" in last.output
    await house.run("users", "add", "Ben", "--role", "admin")
    assert (await house.run("users", "disable", "mia")).exit_code == 0
    assert "disabled" in (await house.run("users")).output
    assert "/reset#sdr_" in (await house.run("users", "reset-link", "MIA")).output
    assert (await house.run("users", "delete", "mia")).exit_code == 0
    nobody = await house.run("users", "end-sessions", "mia")
    assert nobody.exit_code == 1
    assert "nobody called" in nobody.output
    users = await house.json("users")
    assert [user["name"] for user in users] == ["Ben"]


async def test_addresses_are_let_in_and_kept_out_beside_those_of_the_yaml(house: House) -> None:
    assert (await house.run("allow", "add", "192.168.1.0/24", "home", "--for", "90d")).exit_code == 0
    assert (await house.run("allow", "add", "192.168.1.66", "the fridge", "--deny")).exit_code == 0
    fixed, home, fridge = await house.json("allow")
    assert (fixed["source"], fixed["id"]) == ("access.yaml", None)
    assert (home["cidr"], home["verdict"], home["expires_at"] > home["created_at"]) == ("192.168.1.0/24", "allow", True)
    assert fridge["verdict"] == "deny"
    assert (await house.run("allow", "remove", home["id"])).exit_code == 0
    assert len(await house.json("allow", "list")) == 2
    assert "let in again" in (await house.run("allow", "reopen")).output
    wide = await house.run("allow", "add", "0.0.0.0/0", "everybody")
    assert wide.exit_code == 1
    assert wide.output.startswith("An address cannot be '0.0.0.0/0'")


async def test_the_admin_code_is_made_here_and_nowhere_else(house: House) -> None:
    result = await house.run("admin-code")
    assert result.output.startswith("sda_")
    assert "https://ai.example.org/admin-code" in result.output
    assert [what for _, what, *_ in await house.deeds()] == ["users.admin_code"]


async def test_usage_is_told_by_whom_what_and_when(house: House) -> None:
    house.usage.note(a_use(caller="anna", model="red", at=SystemClock().wall(), answer_tokens=3000))
    house.usage.note(a_use(caller="ben", model="red", at=SystemClock().wall() - 3 * 86400))
    assert "3000" in (await house.run("usage")).output
    assert [each["caller"] for each in await house.json("usage", "--since", "1d")] == ["anna"]
    (red,) = await house.json("usage", "--by", "model")
    assert (red["model"], red["requests"]) == ("red", 2)
    assert len(await house.json("usage", "--by", "day")) == 2
    requests = await house.json("usage", "--requests", "1")
    assert requests[0]["model"] == "red"


async def test_the_audit_is_told_and_verified_and_a_change_by_hand_shows(house: House) -> None:
    await house.run("keys", "create", "n8n")
    await house.run("pause", "--lane", "3")
    told = (await house.run("audit")).output
    assert all(word in told for word in ("operator", "keys.create", "n8n", "queue.pause", "done"))
    assert "keys.create" not in (await house.run("audit", "--what", "queue.")).output
    whole = await house.run("audit", "--verify")
    assert whole.exit_code == 0
    assert "2 rows" in whole.output
    connection = connect(house.database)
    connection.execute("UPDATE audit SET target = 'nothing' WHERE number = 1")
    connection.close()
    changed = await house.run("audit", "--verify")
    assert changed.exit_code == 1
    assert "Row 1 is not as it was written" in changed.output


async def test_an_order_that_is_none_is_refused_in_words(house: House) -> None:
    from controller.control import client

    def ask(order: object, **arguments: object) -> str:
        with pytest.raises(client.VerbRefused) as refused:
            client.ask(Path(house.places[3]) / "control.sock", "office", order=order, arguments=arguments, limit=20)
        return str(refused.value)

    assert "no such order" in await asyncio.to_thread(ask, "keys.steal")
    assert "not how" in await asyncio.to_thread(ask, "keys.revoke", name="x")
    assert "must be its name" in await asyncio.to_thread(ask, 7)


async def test_no_secret_that_is_shown_once_is_kept_anywhere(house: House, tmp_path: Path) -> None:
    shown = [
        (await house.run("keys", "create", "n8n")).output.split()[0],
        *((await house.json("invites", "create", "grandma"))["links"][0].split("#")[1:]),
        *((await house.json("users", "add", "Mia"))["links"][0].split("#")[1:]),
        (await house.run("admin-code")).output.split()[0],
    ]
    for secret in shown:
        house.audit.note("door.refused", actor=secret, target=f"GET /join?invite={secret}", facts={"header": secret})
        house.audit.refused("door.refused", peer=secret, reason=secret)
    listed = [(await house.run(command)).output for command in ("keys", "invites", "users", "audit")]
    back_up(house.database, tmp_path / "data" / "backups" / "daily.db")
    files = await asyncio.to_thread(lambda: [file for file in tmp_path.rglob("*") if file.is_file()])
    assert {"seadragon.db", "seadragon.db-wal", "daily.db"} <= {file.name for file in files}
    for secret in shown:
        body = secret.split("_")[-1]
        assert len(body) > 20
        assert not [text for text in listed if body in text]
        assert not [file.name for file in files if body.encode() in file.read_bytes()]
