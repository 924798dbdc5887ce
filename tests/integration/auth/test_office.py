"""Orders about people and keys, carried out and counted, over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.auth.holders import Holders
from controller.auth.office import Office
from controller.config.schema import Config
from controller.desk import OPERATOR
from controller.errors import OrderRefused, SeadragonError
from controller.storage.file import NAME
from tests.fakes.clock import WoundClock
from tests.fakes.desk import FakeAudit
from tests.kit.holding import an_office, holding


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock()


@pytest.fixture
async def holders(tmp_path: Path, clock: WoundClock) -> AsyncIterator[Holders]:
    async with holding(tmp_path / "data" / NAME, clock) as holders:
        yield holders


@pytest.fixture
def office(holders: Holders, clock: WoundClock) -> Office:
    return an_office(holders, FakeAudit(), clock)


async def test_a_key_is_changed_and_only_what_is_active_is_counted(office: Office) -> None:
    made = await office.order("keys.create", OPERATOR, name="n8n")
    changed = await office.order("keys.change", OPERATOR, id=made["id"], name="n8n at work", per_minute=5)
    assert (changed["name"], changed["per_minute"], "key" in changed) == ("n8n at work", 5, False)
    assert office.shown.keys_active == 1
    same = await office.order("keys.change", OPERATOR, id=made["id"], lane=2.5, default_model=None)
    assert (same["name"], same["per_minute"], same["lane"], same["default_model"]) == ("n8n at work", 5, 2.5, "")
    ends = await office.order("keys.change", OPERATOR, id=made["id"], per_minute=None, lasts=60)
    assert (ends["per_minute"], ends["expires_at"] is None) == (None, False)
    assert (await office.order("keys.change", OPERATOR, id=made["id"], lasts=None))["expires_at"] is None
    await office.order("keys.pause", OPERATOR, id=made["id"])
    assert office.shown.keys_active == 0


async def test_somebody_shut_out_is_let_in_again_and_signed_out_everywhere(office: Office, holders: Holders) -> None:
    mia = await office.order("users.add", OPERATOR, name="Mia")
    await holders.sessions.start(mia["id"], "a browser", "", lasts=3600)
    assert (office.shown.users_active, office.shown.sessions_live) == (1, 1)
    assert await office.order("users.end_sessions", OPERATOR, user="mia") == {
        "id": mia["id"],
        "name": "Mia",
        "ended": 1,
    }
    assert office.shown.sessions_live == 0
    assert (await office.order("users.disable", OPERATOR, user="Mia"))["state"] == "disabled"
    assert office.shown.users_active == 0
    assert (await office.order("users.enable", OPERATOR, user="mia"))["state"] == "no password"
    assert office.shown.users_active == 1


async def test_the_allow_list_shows_what_holds(tmp_path: Path) -> None:
    desk = {"label": "desk", "addresses": ["192.168.1.20"], "manage": True, "models": ["qwen*"]}
    home = {"label": "home", "addresses": ["192.168.1.0/24"]}

    def configured(may: list[str] | None) -> Config:
        return Config.model_validate({"access": {"allow": [desk, home], "roles": {"address": {"may": may}}}})

    config, clock = configured(None), WoundClock()
    async with holding(tmp_path / "data" / NAME, clock) as holders:
        office = an_office(holders, FakeAudit(), clock, lambda: config)
        scopes, models = ["infer", "manage"], ["tiny"]
        made = await office.order("allow.add", OPERATOR, cidr="192.0.2.7", label="fridge", scopes=scopes, models=models)
        assert (made["scopes"], made["models"]) == (scopes, models)
        usual = ["infer", "embed", "audio", "list"]
        told = [(each["label"], each["scopes"], each["models"]) for each in await office.shown.listed("allow")]
        assert told == [("desk", [*usual, "manage"], ["qwen*"]), ("home", usual, []), ("fridge", scopes, models)]
        config = configured(["infer", "list"])
        told = [(each["label"], each["scopes"], each["models"]) for each in await office.shown.listed("allow")]
        assert told == [
            ("desk", ["infer", "list", "manage"], ["qwen*"]),
            ("home", ["infer", "list"], []),
            ("fridge", ["infer"], models),
        ]


async def test_what_is_no_order_and_who_is_nobody_are_told(office: Office) -> None:
    with pytest.raises(SeadragonError, match=r"no such order\. There is: models\.load, "):
        await office.order("keys.eat", OPERATOR)
    with pytest.raises(SeadragonError, match=r"not how `keys\.revoke` is ordered"):
        await office.order("keys.revoke", OPERATOR, id="x", colour="red")
    with pytest.raises(OrderRefused, match="nobody called 'eve'"):
        await office.order("users.disable", OPERATOR, user="eve")
