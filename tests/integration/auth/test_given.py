"""What was given out, and its end: on a real database, whatever takes the giver's right away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.auth.access import Principal
from controller.auth.credentials import Offered
from controller.auth.holders import Holders
from controller.auth.keyring import Denied, Flaw, Keyring
from controller.auth.office import Office
from controller.auth.rows import UserRow
from controller.auth.secrets import MadeKey, NewToken
from controller.config.schema import Config
from controller.desk import OPERATOR, By
from controller.errors import OrderRefused, SeadragonError
from controller.storage.file import NAME, connect
from tests.fakes.clock import WoundClock
from tests.fakes.desk import FakeAudit
from tests.kit.holding import an_office, holding
from tests.kit.stored import rows
from tests.kit.until import until

HASH = "$2b$04$notreallyahash"
ADDRESS = "192.0.2.7"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / NAME


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock()


@dataclass
class House:
    """Two admins, one of whom has a key that may do what she may, and a member."""

    holders: Holders
    office: Office
    audit: FakeAudit
    keyring: Keyring
    clock: WoundClock
    mia: UserRow
    ada: UserRow
    tom: UserRow
    script: MadeKey

    def stands(self, key: MadeKey) -> bool:
        return isinstance(self.keyring.look(Offered((key.text,)), ADDRESS, self.clock.wall()), Principal)


@pytest.fixture
async def house(path: Path, clock: WoundClock) -> AsyncIterator[House]:
    async with holding(path, clock) as holders:
        keyring, audit = Keyring(holders), FakeAudit()
        keyring.use(Config().access)
        holders.ledger.changed.append(lambda what, id: keyring.changed())
        mia, ada = [await holders.users.create(name, "admin", by="operator", password=HASH) for name in ("Mia", "Ada")]
        tom = await holders.users.create("Tom", "member", by="operator", password=HASH)
        script = await holders.keys.create("mia's script", by="operator", user_id=mia.id, scopes=("admin", "infer"))
        office = an_office(holders, audit, clock)
        yield House(holders, office, audit, keyring, clock, mia, ada, tom, script)


@dataclass
class Papers:
    """One of everything that somebody can give out."""

    invite: NewToken
    link: NewToken
    key: MadeKey
    entry: str  # id
    house: House

    @property
    def good(self) -> dict[str, bool]:
        holders = self.house.holders
        return {
            "invite": holders.invites.good(self.invite.text) is not None,
            "link": holders.resets.user_of(self.link.text) is not None,
            "key": self.house.stands(self.key),
            "entry": self.house.keyring.at(ADDRESS, self.house.clock.wall()).who is not None,
        }


ALL_GOOD = dict.fromkeys(("invite", "link", "key", "entry"), True)
ALL_OVER = dict.fromkeys(ALL_GOOD, False)


async def gave(house: House, giver: str, by: str = "somebody", *, of: str = "") -> Papers:
    given: dict[str, Any] = {"by": by, "giver": giver}
    _, invite = await house.holders.invites.create("admin", label=f"for a friend {of}", **given)
    link = await house.holders.resets.create(house.tom.id, **given)
    key = await house.holders.keys.create(f"a house key {of}", scopes=("infer", "admin"), **given)
    entry = (await house.holders.addresses.add(ADDRESS, f"the shed {of}", **given)).id
    return Papers(invite, link, key, entry, house)


Loses = Callable[[House], Awaitable[object]]
LOSES: dict[str, Loses] = {
    "revoked": lambda house: house.holders.keys.revoke(house.script.id),
    "less scopes": lambda house: house.holders.keys.change(house.script.id, scopes=["infer", "manage"]),
    "expired": lambda house: expire(house),
    "owner demoted": lambda house: house.holders.users.set_role(house.mia.id, "member"),
    "owner disabled": lambda house: house.holders.users.disable(house.mia.id),
    "owner deleted": lambda house: house.holders.users.delete(house.mia.id),
}
PERSONS = ("owner demoted", "owner disabled", "owner deleted")


async def expire(house: House) -> None:
    await house.holders.keys.change(house.script.id, expires_at=house.clock.wall() + 60)
    await house.clock.wind(59)
    assert house.holders.invites, "nothing ends before its time"
    await house.clock.wind(1)


@pytest.mark.parametrize("way", LOSES)
async def test_what_a_key_gave_out_ends_with_it(house: House, way: str) -> None:
    papers = await gave(house, f"key:{house.script.id}", "mia's script")
    assert papers.good == ALL_GOOD
    await LOSES[way](house)
    assert papers.good == ALL_OVER


@pytest.mark.parametrize("way", PERSONS)
async def test_what_an_admin_gave_out_ends_with_their_right_to(house: House, way: str) -> None:
    papers = await gave(house, f"person:{house.mia.id}", "Mia")
    await LOSES[way](house)
    assert papers.good == ALL_OVER


@pytest.mark.parametrize("way", LOSES)
async def test_it_ends_on_disk_in_the_order_that_took_the_right(house: House, path: Path, way: str) -> None:
    papers = await gave(house, f"key:{house.script.id}")
    await LOSES[way](house)
    question = f"SELECT count(*) FROM keys WHERE id = '{papers.key.id}' AND revoked_at IS NOT NULL"
    await house.clock.wind_until(lambda: rows(path, question) == [(1,)], by=1)
    assert rows(path, "SELECT count(*) FROM invites WHERE revoked_at IS NULL") == [(0,)]
    assert rows(path, "SELECT count(*) FROM resets") == rows(path, "SELECT count(*) FROM allowed") == [(0,)]


async def test_an_order_that_cannot_end_it_takes_no_right_away(house: House, path: Path) -> None:
    papers = await gave(house, f"key:{house.script.id}")
    connection = connect(path)
    connection.execute("CREATE TRIGGER stuck BEFORE DELETE ON allowed BEGIN SELECT RAISE(ABORT, 'stuck'); END")
    with pytest.raises(SeadragonError, match="Nothing was changed: .*stuck"):
        await house.holders.keys.revoke(house.script.id)
    assert papers.good == ALL_GOOD
    assert house.stands(house.script)
    assert rows(path, "SELECT count(*) FROM keys WHERE revoked_at IS NOT NULL") == [(0,)]
    connection.execute("DROP TRIGGER stuck")
    connection.close()
    await house.holders.keys.revoke(house.script.id)
    assert papers.good == ALL_OVER


@pytest.mark.parametrize("way", LOSES)
async def test_what_was_given_out_with_what_was_given_out_ends_too(house: House, way: str) -> None:
    first = await house.holders.keys.create("first", by="x", giver=f"key:{house.script.id}", scopes=("admin",))
    second = await house.holders.keys.create("second", by="x", giver=f"key:{first.id}", scopes=("admin",))
    papers = await gave(house, f"key:{second.id}")
    await LOSES[way](house)
    assert papers.good == ALL_OVER
    assert not house.stands(first)
    assert not house.stands(second)


@pytest.mark.parametrize("way", LOSES)
async def test_people_who_joined_stay_and_so_do_the_keys_of_people(house: House, way: str) -> None:
    script = f"key:{house.script.id}"
    _, invite = await house.holders.invites.create("member", label="cousins", uses=2, by="x", giver=script)
    ben = await house.holders.invites.redeem(invite.text, "Ben", HASH)
    toms = await house.holders.keys.create("tom's editor", by="x", giver=script, user_id=house.tom.id)
    await LOSES[way](house)
    assert house.holders.invites.good(invite.text) is None
    assert house.holders.users[ben.id] == ben
    assert house.stands(toms)


@pytest.mark.parametrize("way", LOSES)
async def test_whoever_is_called_the_same_loses_nothing(house: House, way: str) -> None:
    papers = await gave(house, f"person:{house.ada.id}", by="mia's script")
    await LOSES[way](house)
    assert papers.good == ALL_GOOD


async def test_a_deny_stays_whoever_gave_it(house: House) -> None:
    await house.holders.addresses.add(ADDRESS, "not him", by="x", verdict="deny", giver=f"key:{house.script.id}")
    await house.holders.keys.revoke(house.script.id)
    assert house.keyring.at(ADDRESS, house.clock.wall()).denied


@pytest.mark.parametrize("way", [way for way in LOSES if way != "expired"])
async def test_it_goes_to_a_named_admin_instead(house: House, way: str) -> None:
    papers = await gave(house, f"key:{house.script.id}")
    kept: dict[str, Loses] = {
        "revoked": lambda house: house.holders.keys.revoke(house.script.id, keep="ada"),
        "less scopes": lambda house: house.holders.keys.change(house.script.id, scopes=["infer"], keep="Ada"),
        "owner demoted": lambda house: house.holders.users.set_role(house.mia.id, "child", keep=house.ada.id),
        "owner disabled": lambda house: house.holders.users.disable(house.mia.id, keep="ADA"),
        "owner deleted": lambda house: house.holders.users.delete(house.mia.id, keep="Ada"),
    }
    await kept[way](house)
    assert papers.good == ALL_GOOD
    await house.holders.users.create("Eve", "admin", by="operator", password=HASH)
    await house.holders.users.set_role(house.ada.id, "member")
    assert papers.good == ALL_OVER, "it stands on the right of who took it over"


@pytest.mark.parametrize("keep", ["Tom", "nobody", "Mia"])
async def test_it_goes_to_nobody_who_could_not_have_given_it(house: House, keep: str) -> None:
    papers = await gave(house, f"person:{house.mia.id}")
    with pytest.raises(OrderRefused, match=f"{keep} is none"):
        await house.holders.users.disable(house.mia.id, keep=keep)
    assert papers.good == ALL_GOOD
    assert not house.holders.users[house.mia.id].disabled


async def test_a_pause_suspends_it_and_a_resume_restores_it(house: House) -> None:
    papers = await gave(house, f"key:{house.script.id}")
    await house.holders.keys.pause(house.script.id)
    assert papers.good == ALL_OVER
    with pytest.raises(OrderRefused):
        await house.holders.invites.redeem(papers.invite.text, "Ben", HASH)
    with pytest.raises(OrderRefused):
        await house.holders.resets.redeem(papers.link.text, HASH)
    denied = house.keyring.look(Offered((papers.key.text,)), ADDRESS, house.clock.wall())
    assert isinstance(denied, Denied)
    assert denied.why is Flaw.PAUSED
    told = [(await house.office.shown.listed(what))[-1]["state"] for what in ("keys", "invites", "allow")]
    assert told == ["paused"] * 3
    await house.holders.keys.resume(house.script.id)
    assert papers.good == ALL_GOOD
    assert (await house.holders.invites.redeem(papers.invite.text, "Ben", HASH)).role == "admin"


async def test_while_access_yaml_takes_the_right_from_everybody_it_is_suspended(path: Path, clock: WoundClock) -> None:
    narrow = Config.model_validate({"access": {"roles": {"key": {"may": ["infer"]}}}}).access
    access = Config().access
    async with holding(path, clock, access=lambda: access) as holders:
        root = await holders.keys.create("root", by="operator", scopes=("admin",))
        _, invite = await holders.invites.create("admin", label="x", by="root", giver=f"key:{root.id}")
        access = narrow
        assert holders.invites.good(invite.text) is None
        access = Config().access
        assert holders.invites.good(invite.text) is not None


async def test_what_lapsed_while_nobody_looked_ends_at_the_next_start(path: Path, clock: WoundClock) -> None:
    async with holding(path, clock) as holders:
        script = await holders.keys.create("script", by="operator", scopes=("admin",), expires_at=clock.wall() + 60)
        _, invite = await holders.invites.create("admin", label="x", by="script", giver=f"key:{script.id}")
    await clock.wind(120)
    async with holding(path, clock) as holders:
        assert holders.invites.good(invite.text) is None
        await until(lambda: rows(path, "SELECT count(*) FROM invites WHERE revoked_at IS NULL") == [(0,)])
        await holders.keys.change(script.id, expires_at=None)
        assert holders.invites.good(invite.text) is None, "what has ended does not come back"


async def test_who_lost_the_right_meanwhile_gives_out_nothing_more(house: House) -> None:
    """Orders that were let in while the right was good, and get their turn after the one that takes it away."""
    script = f"key:{house.script.id}"
    taking = asyncio.create_task(house.holders.keys.revoke(house.script.id))
    await asyncio.sleep(0)
    giving = [
        house.holders.invites.create("admin", label="late", by="x", giver=script),
        house.holders.resets.create(house.tom.id, by="x", giver=script),
        house.holders.keys.create("late", by="x", giver=script),
        house.holders.keys.create("toms", by="x", giver=script, user_id=house.tom.id),
        house.holders.addresses.add(ADDRESS, "late", by="x", giver=script),
    ]
    outcomes = await asyncio.gather(*giving, return_exceptions=True)
    await taking
    assert [type(each) for each in outcomes] == [OrderRefused] * 5


async def test_the_audit_names_each_with_who_did_it(house: House) -> None:
    await gave(house, f"key:{house.script.id}", "mia's script")
    answer = await house.office.order("keys.revoke", By("Ada", f"person:{house.ada.id}"), id=house.script.id)
    assert len(answer["also_ended"]) == 4
    noted = {what: (actor, facts) for what, actor, facts in house.audit.told}
    assert set(noted) == {"keys.revoke", "keys.ended", "invites.ended", "links.ended", "allow.ended"}
    assert all(actor == "Ada" for actor, _ in noted.values())
    assert noted["invites.ended"][1] == {"given_by": "mia's script"}


async def test_the_audit_names_what_was_handed_over_and_what_lapsed(house: House) -> None:
    await gave(house, f"key:{house.script.id}")
    answer = await house.office.order("users.disable", OPERATOR, user="Mia", keep="Ada")
    assert len(answer["handed_over"]) == 4
    assert ("keys.handed", "operator", {"to": "Ada"}) in house.audit.told
    late = await house.holders.keys.create(
        "late", by="x", giver=f"person:{house.ada.id}", scopes=("admin",), expires_at=house.clock.wall() + 60
    )
    await house.holders.invites.create("member", label="x", by="late", giver=f"key:{late.id}")
    ended = ("invites.ended", "seadragon", {"given_by": "late"})
    await house.clock.wind_until(lambda: ended in house.audit.told, by=60)
