"""Names are for people, and mean one only: of people, keys and addresses together, on a real database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from controller.auth.holders import Holders
from controller.config.entry import Access, Allowed
from controller.errors import OrderRefused
from controller.events import Journal
from controller.storage.file import NAME
from tests.fakes.clock import WoundClock
from tests.kit.holding import holding

HASH = "$2b$04$notreallyahash"
ACCESS = Access(allow=(Allowed(label="the house", addresses=("192.168.1.0/24",)),))


@pytest.fixture
async def holders(tmp_path: Path) -> AsyncIterator[Holders]:
    async with holding(tmp_path / "data" / NAME, WoundClock(), access=lambda: ACCESS) as holders:
        await holders.users.create("Mia", "member", by="operator")
        await holders.keys.create("n8n", by="operator")
        await holders.addresses.add("192.0.2.7", "shed", by="operator")
        yield holders


async def joins(holders: Holders, name: str) -> object:
    _, token = await holders.invites.create("member", label="x", by="operator")
    return await holders.invites.redeem(token.text, name, HASH)


async def takes_the_code(holders: Holders, name: str) -> object:
    return await holders.codes.redeem((await holders.codes.create()).text, name, HASH)


async def is_renamed(holders: Holders, name: str) -> object:
    user = holders.users.named("Tom") or await holders.users.create("Tom", "member", by="operator")
    return await holders.users.rename(user.id, name)


async def key_is_renamed(holders: Holders, name: str) -> object:
    key = await holders.keys.create("other", by="operator")
    try:
        return await holders.keys.change(key.id, name=name)
    finally:
        await holders.keys.revoke(key.id)


WAYS: dict[str, Callable[[Holders, str], Awaitable[object]]] = {
    "person": lambda holders, name: holders.users.create(name, "member", by="operator"),
    "join": joins,
    "code": takes_the_code,
    "rename": is_renamed,
    "key": lambda holders, name: holders.keys.create(name, by="operator"),
    "key renamed": key_is_renamed,
    "address": lambda holders, name: holders.addresses.add("192.0.2.9", name, by="operator"),
    "deny": lambda holders, name: holders.addresses.add("192.0.2.9", name, by="operator", verdict="deny"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_and_nothing_gets_a_name_that_is_given_or_looks_like_one(holders: Holders, way: str) -> None:
    for name in ("N8N", "п8n", "SHED", "sheԁ", "The  House", "the hоuse"):
        with pytest.raises(OrderRefused, match="already") as refused:
            await WAYS[way](holders, name)
        assert refused.value.kind == "conflict"


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_and_nothing_gets_a_name_that_would_mislead(holders: Holders, way: str) -> None:
    for name in ("operator", "оperator", "Seadragon", "this computer", "sd_key", "192.0.2.1", "\u3164"):
        with pytest.raises(OrderRefused, match="taken for something else"):
            await WAYS[way](holders, name)


async def test_what_is_over_gives_its_name_back(holders: Holders) -> None:
    (id,) = holders.keys
    await holders.keys.revoke(id)
    again = await holders.keys.create("n8n", by="operator")
    await holders.keys.change(again.id, name="N8N")
    (entry,) = holders.addresses
    await holders.addresses.remove(entry)
    assert (await holders.addresses.add("192.0.2.8", "shed", by="operator")).label == "shed"


async def test_a_label_of_the_yaml_that_somebody_has_is_told(tmp_path: Path) -> None:
    access, clock = Access(), WoundClock()
    journal = Journal(clock)
    async with holding(tmp_path / "data" / NAME, clock, journal, access=lambda: access) as holders:
        await holders.users.create("Mia", "member", by="operator")
        holders.names.tell_mistaken()
        assert not journal.last(9)
        access = Access(allow=(Allowed(label="MIA", addresses=("10.0.0.1",)),))
        holders.names.tell_mistaken()
    (told,) = journal.last(9)
    assert (told.level, "MIA" in told.text, "Mia" in told.text) == ("warning", True, True)


def test_the_tables_are_read_when_a_name_is_given_and_no_sooner() -> None:
    code = "import sys, controller.auth.holders, controller.auth.lookalikes as l; l.alike('x', []); "
    code += "assert 'disarm' not in sys.modules; l.alike('x', ['y']); assert 'disarm' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
