"""Whose a key is, and until when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.access import Principal
from controller.auth.credentials import Offered
from controller.auth.holders import Holders
from controller.auth.keyring import Denied, Flaw, Keyring, KeyringRows
from controller.auth.policy import Right
from controller.auth.rows import AllowRow
from controller.config.entry import Access
from tests.fakes.rows import Rows, key

HERE = "203.0.113.7"


def ask(keyring: Keyring, text: str, address: str = HERE, now: float = 10.0) -> Principal | Flaw | None:
    seen = keyring.look(Offered((text,)), address, now)
    return seen.why if isinstance(seen, Denied) else seen


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"revoked_at": 1.0}, Flaw.REVOKED),
        ({"paused": True}, Flaw.PAUSED),
        ({"expires_at": 10.0}, Flaw.EXPIRED),
        ({"created_at": 1e6, "expires_at": 1e6 + 60}, Flaw.EARLY),
        ({"cidrs": ("192.168.1.0/24", "fd00::/48")}, Flaw.ELSEWHERE),
        ({"user_id": "nobody"}, Flaw.DISABLED),
    ],
)
def test_a_key_that_has_lost_its_right_says_why_to_its_holder_alone(fields: dict[str, Any], why: Flaw) -> None:
    text, row = key("tool", **fields)
    assert ask(Keyring(Rows(row)), text) is why
    guess, _ = key("guess")
    wrong = text[:12] + guess[12:]
    assert ask(Keyring(Rows(row)), wrong) in (Flaw.MISTYPED, Flaw.UNKNOWN)


def test_a_key_without_an_end_works_whatever_its_date() -> None:
    text, row = key("tool", created_at=1e9)
    assert isinstance(ask(Keyring(Rows(row)), text), Principal)


def test_an_address_let_in_for_a_while_by_a_clock_that_was_ahead_is_let_in_from_then_on() -> None:
    rows = Rows()
    rows.addresses["a"] = entry("a", "10.1.1.1", created_at=1e6, expires_at=1e6 + 3600)
    rows.addresses["b"] = entry("b", "10.1.1.2", created_at=1e6)
    rows.addresses["c"] = entry("c", "10.1.1.3", created_at=1e6, expires_at=1e6 + 3600, verdict="deny")
    keyring = Keyring(rows)
    for now, inside in ((10.0, False), (1e6 - 61, False), (1e6 - 60, True), (1e6 + 3599, True), (1e6 + 3600, False)):
        assert bool(keyring.at("10.1.1.1", now).who) is inside, now
    assert keyring.at("10.1.1.2", 10.0).who
    assert keyring.at("10.1.1.3", 10.0).denied  # who is kept out is so at once


def test_a_key_is_a_principal_of_its_own() -> None:
    text, row = key("tool", lane=2.5, default_model="red", running=3, waiting=4, per_minute=7, models=("red*",))
    who = ask(Keyring(Rows(row)), text)
    assert isinstance(who, Principal)
    assert (who.label, who.lane, who.default, who.running, who.waiting) == ("tool", 2.5, "red", 3, 4)
    assert (who.kind, who.id, who.role, who.per_minute) == ("key", row.id, "key", 7)
    assert who.rights == {Right.INFER, Right.LIST}
    assert not who.manage


def test_a_key_for_some_addresses_needs_one_that_is_proven() -> None:
    text, row = key("tool", cidrs=("203.0.113.0/28", "2001:db8::/48"))
    keyring = Keyring(Rows(row))
    assert isinstance(ask(keyring, text), Principal)
    assert isinstance(ask(keyring, text, "2001:db8::1"), Principal)
    assert ask(keyring, text, "203.0.113.99") is Flaw.ELSEWHERE
    assert ask(keyring, text, "") is Flaw.ELSEWHERE


def test_what_changes_counts_from_the_next_look() -> None:
    text, row = key("tool")
    rows = Rows(row)
    keyring = Keyring(rows)
    who = ask(keyring, text)
    assert isinstance(who, Principal)
    assert keyring.stands(who, HERE, 10.0) == who
    rows.put(replace(row, revoked_at=9.0))
    assert ask(keyring, text) is Flaw.REVOKED
    assert keyring.stands(who, HERE, 10.0) == Denied(Flaw.REVOKED, "tool")
    rows.put(replace(row, scopes=("manage",)))
    keyring.changed()
    again = ask(keyring, text)
    assert isinstance(again, Principal)
    assert again.rights == {Right.MANAGE, Right.LIST}
    assert keyring.stands(who, HERE, 10.0) == again, "who they are now, not who they were"
    rows.keys.clear()
    assert ask(keyring, text) is Flaw.UNKNOWN
    assert keyring.stands(who, HERE, 10.0) == Denied(Flaw.REVOKED, "tool")


def test_the_configuration_narrows_every_key() -> None:
    text, row = key("tool", scopes=("infer", "embed", "manage", "dance"))
    keyring = Keyring(Rows(row))
    keyring.use(Access.model_validate({"roles": {"key": {"may": ["embed", "list"]}}}))
    who = ask(keyring, text)
    assert isinstance(who, Principal)
    assert who.rights == {Right.EMBED, Right.LIST}


def test_a_persons_key_may_not_what_the_person_may_not() -> None:
    text, row = key("mia's", user_id="mia", scopes=("infer", "manage", "admin"))
    rows = Rows(row)
    rows.person("mia", role="admin")
    keyring = Keyring(rows)
    who = ask(keyring, text)
    assert isinstance(who, Principal)
    assert who.may(Right.ADMIN)
    rows.person("mia", role="member", models=("red",))
    keyring.changed()
    who = ask(keyring, text)
    assert isinstance(who, Principal)
    assert who.rights == {Right.INFER, Right.LIST}
    assert who.sees("red:latest")
    assert not who.sees("blue")
    rows.person("mia", disabled=True)
    assert ask(keyring, text) is Flaw.DISABLED


_LIMITS = st.none() | st.integers(1, 50)
_OF_ANY = {"running": _LIMITS, "waiting": _LIMITS, "per_minute": _LIMITS}


@given(
    own=st.fixed_dictionaries({**_OF_ANY, "lane": st.floats(0, 9)}),
    owners=st.fixed_dictionaries({**_OF_ANY, "lane": st.none() | st.floats(0, 9)}),
    usual=_LIMITS,
)
def test_a_persons_limits_hold_for_their_keys_too(
    own: dict[str, Any], owners: dict[str, Any], usual: int | None
) -> None:
    text, row = key("mia's", user_id="mia", **own)
    rows = Rows(row)
    rows.person("mia", **owners)
    keyring = Keyring(rows)
    keyring.use(Access.model_validate({"rates": {"key": usual}}))
    who = ask(keyring, text)
    assert isinstance(who, Principal)
    for limit in ("running", "waiting"):
        given = [each for each in (own[limit], owners[limit]) if each is not None]
        assert getattr(who, limit) == (min(given) if given else None)
    each = [rate for rate in (own["per_minute"] or usual, owners["per_minute"]) if rate is not None]
    assert (who.per_minute or usual) == (min(each) if each else None)
    assert who.lane == max(own["lane"], owners["lane"] or 0.0)


def test_a_limit_of_a_person_counts_for_their_keys_at_once_and_for_nobody_elses() -> None:
    text, row = key("mia's", user_id="mia", running=8)
    house, second = key("the house's", running=8)
    rows = Rows(row, second)
    rows.person("mia")
    keyring = Keyring(rows)
    for limit, held in ((None, 8), (1, 1), (20, 8)):
        rows.person("mia", running=limit)
        keyring.changed()
        mias, houses = ask(keyring, text), ask(keyring, house)
        assert isinstance(mias, Principal)
        assert isinstance(houses, Principal)
        assert (mias.running, houses.running) == (held, 8)


def entry(id: str, cidr: str, **fields: Any) -> AllowRow:
    return replace(AllowRow(id, id, cidr, "allow", 1.0, ("infer",), (), 0.0, "test"), **fields)


@pytest.mark.parametrize(
    ("may", "holds"),
    [
        (None, {Right.INFER, Right.MANAGE, Right.LIST}),
        (["infer", "list"], {Right.INFER, Right.LIST}),
        (["manage"], {Right.MANAGE}),
        ([], set()),
    ],
)
def test_the_configuration_narrows_every_entry_of_orders_managing_too(may: list[str] | None, holds: set[Right]) -> None:
    rows = Rows()
    rows.addresses = {"a": entry("a", "192.0.2.0/24", scopes=("infer", "manage"))}
    keyring = Keyring(rows)
    keyring.use(Access.model_validate({"roles": {"address": {"may": may}}}))
    who = keyring.at("192.0.2.1", 10.0).who
    assert who is not None
    assert (set(who.rights), who.manage) == (holds, Right.MANAGE in holds)


def test_entries_of_orders_come_after_the_yamls_and_deny_beats_them_all() -> None:
    rows = Rows()
    rows.addresses = {
        "a": entry("a", "127.0.0.0/8", created_at=2.0),
        "b": entry("b", "192.0.2.0/24", created_at=1.0, expires_at=50.0),
        "c": entry("c", "192.0.2.9", created_at=0.5, verdict="deny", expires_at=30.0),
    }
    keyring = Keyring(rows)

    def at(address: str, now: float = 10.0) -> str:
        verdict = keyring.at(address, now)
        return "denied" if verdict.denied else verdict.who.label if verdict.who else ""

    assert at("127.0.0.1") == "this computer"
    assert at("127.0.0.2") == "a"
    assert at("192.0.2.1") == "b"
    assert at("192.0.2.9") == "denied"
    assert at("192.0.2.9", 30.0) == "b"
    assert at("192.0.2.9", 50.0) == at("192.0.2.1", 50.0) == ""


def test_an_address_stands_for_as_long_as_its_entry_and_each_use_of_that_is_noted() -> None:
    rows = Rows()
    rows.addresses = {"a": entry("a", "192.0.2.0/24", expires_at=50.0)}
    keyring = Keyring(rows)
    who = keyring.at("192.0.2.1", 10.0).who
    assert who is not None
    keyring.used(who, "192.0.2.1")
    assert rows.uses == [("address", "a", "192.0.2.1")]
    assert keyring.stands(who, "192.0.2.1", 49.0) == who
    assert keyring.stands(who, "192.0.2.1", 50.0) == Denied(Flaw.ELSEWHERE)
    assert keyring.at("", 10.0).who is None, "a peer without an address is nobody"


def test_whoever_shows_nothing_stands_by_the_table_alone_and_is_not_counted() -> None:
    rows = Rows()
    nobody = Principal("anonymous", kind="anonymous", role="anonymous")
    keyring = Keyring(rows)
    keyring.used(nobody, HERE)
    assert rows.uses == []
    assert keyring.stands(nobody, HERE, 10.0) == nobody


def test_few_entries_count_for_the_tunnel() -> None:
    friend = {
        "label": "friend",
        "addresses": ["203.0.113.7", "2a06:98c0:3600::103", "127.0.0.1"],
        "through_tunnel": True,
    }
    keyring = Keyring(Rows())
    keyring.use(Access.model_validate({"allow": [friend, {"label": "home", "addresses": ["192.0.2.1"]}]}))

    def at(address: str) -> bool:
        return keyring.at(address, 0.0, tunnel=True).who is not None

    assert at("203.0.113.7")
    assert not at("192.0.2.1")
    assert not at("2a06:98c0:3600::103")  # any Worker of anybody's
    assert not at("127.0.0.1")
    assert keyring.at("192.0.2.1", 0.0).who is not None


def test_before_the_rows_could_be_read_no_credential_is_called_wrong_and_none_is_good() -> None:
    text, row = key("tool")
    rows = Rows()
    rows.unread = "The database is locked."
    keyring = Keyring(rows, lambda cookie, now: None)
    assert keyring.look(Offered((text,)), "192.0.2.1", 0.0) == Denied(Flaw.UNREAD)
    assert keyring.look(Offered((text[:-1],)), "192.0.2.1", 0.0) == Denied(Flaw.MISTYPED), "that needs no rows"
    assert keyring.person(b"__Host-sd=token", 0.0) == Denied(Flaw.UNREAD)
    assert keyring.person(b"theme=dark", 0.0) is None
    rows.put(row)
    rows.unread = ""
    assert isinstance(keyring.look(Offered((text,)), "192.0.2.1", 0.0), Principal)


def test_a_session_is_its_person_until_it_ends() -> None:
    rows = Rows()
    rows.person("mia", role="child", lane=5.0, models=("red",))
    keyring = Keyring(rows, lambda cookie, now: cookie.decode() or None)
    who = keyring.person(b"mia", 0.0)
    assert isinstance(who, Principal)
    assert (who.label, who.kind, who.role, who.lane, who.session) == ("mia", "person", "child", 5.0, "mia")
    assert who.rights == {Right.CHAT, Right.LIST}
    assert keyring.person(b"", 0.0) is None
    assert keyring.person(b"eve", 0.0) is None
    assert keyring.person(b"mia", 1e12) is None
    assert keyring.stands(who, "", 0.0, cookie=b"mia") == who
    assert keyring.stands(who, "", 0.0, cookie=b"eve") == Denied(Flaw.REVOKED, "mia")
    rows.users["mia"] = replace(rows.users["mia"], role="member")
    assert keyring.stands(who, "", 0.0, cookie=b"mia") == Denied(Flaw.REVOKED, "mia")  # a demotion ends what is open
    rows.users["mia"] = replace(rows.users["mia"], role="child", disabled=True)
    assert keyring.person(b"mia", 0.0) is None
    del rows.sessions["mia"]
    assert keyring.stands(who, "", 0.0) is not None


def test_a_name_means_the_same_model_in_every_spelling() -> None:
    who = Principal("x", models=("red", "qwen3:*", "house/*"))
    for name in (
        "red",
        "RED",
        "red:latest",
        "library/red",
        "registry.ollama.ai/library/red:latest",
        "qwen3:32b",
        "house/a:b",
    ):
        assert who.sees(name), name
    for name in ("red:7b", "blue", "redder", "qwen3x:1b", "other/red", ""):
        assert not who.sees(name), name
    assert Principal("y").sees("anything")


def test_a_keyring_takes_the_holders_of_rights_as_they_are() -> None:
    """That they fit is for mypy to say; here, that nothing is missing when somebody is let in."""
    asked: type[KeyringRows] = Holders
    assert all(hasattr(asked, name) for name in ("used", "addresses_off", "unread"))
