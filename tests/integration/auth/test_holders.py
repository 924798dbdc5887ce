"""Every right that can be given and taken, with the real database under it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from controller.auth.access import Principal
from controller.auth.held.invites import NO_INVITE
from controller.auth.held.ledger import GATHER, LOOK
from controller.auth.held.memory import What
from controller.auth.held.papers import CODE_LASTS, NO_CODE, NO_RESET
from controller.auth.holders import Holders
from controller.auth.people import SignedIn
from controller.auth.rows import SessionRow, UserRow
from controller.auth.secrets import hash_secret, make_token, parse_key
from controller.config.entry import Access
from controller.errors import OrderRefused, SeadragonError
from controller.events import Journal
from controller.storage import migrate as migrating
from controller.storage import shelf
from controller.storage.database import LONGEST, Database
from controller.storage.file import NAME, connect, make_ours
from controller.storage.migrate import migrate
from tests.fakes.clock import WoundClock
from tests.kit.disk import filled, small_disk
from tests.kit.holding import holding
from tests.kit.stored import rows, told

DAY, YEAR = 86400.0, 365 * 86400.0
HASH = "$2b$12$a-hash-as-bcrypt-writes-it"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all tables: making it anew takes longer than most tests."""
    path = tmp_path_factory.mktemp("made") / NAME
    make_ours(path)
    migrate(path, lambda: 0.0)
    return path


@pytest.fixture
def path(tmp_path: Path, made: Path) -> Path:
    path = tmp_path / "data" / NAME
    path.parent.mkdir(mode=0o700)
    shutil.copy(made, path)
    return path


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock()


@pytest.fixture
async def holders(path: Path, clock: WoundClock) -> AsyncIterator[Holders]:
    async with holding(path, clock) as found:
        yield found


@pytest.fixture
def heard(holders: Holders) -> list[tuple[What, str]]:
    """What `changed` was told, in order."""
    heard: list[tuple[What, str]] = []
    holders.ledger.changed.append(lambda what, id: heard.append((what, id)))
    return heard


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The disk takes nothing, for as long as the block lasts."""
    with contextlib.closing(connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def everything(holders: Holders) -> list[dict[str, object]]:
    """All rows, to be compared with those of others."""
    shelves = (holders.keys, holders.users, holders.sessions, holders.invites, holders.addresses, holders.links)
    return [{id: asdict(row) for id, row in shelf.items()} for shelf in shelves]


async def a_user(holders: Holders, name: str = "Mia") -> UserRow:
    return await holders.users.create(name, "member", by="test", password=HASH)


# --- keys ---


async def test_a_key_is_shown_once_and_kept_as_its_hash(path: Path, holders: Holders) -> None:
    made = await holders.keys.create(
        "editor", by="operator", models=["qwen3*"], cidrs=["192.168.1.0/24"], per_minute=60
    )
    parsed = parse_key(made.text)
    assert parsed is not None
    row = holders.keys[parsed[0]]
    assert row.hash == hash_secret(parsed[1])
    assert (row.name, row.by, row.models, row.cidrs, row.per_minute) == (
        "editor",
        "operator",
        ("qwen3*",),
        ("192.168.1.0/24",),
        60,
    )
    assert rows(path, "SELECT hash, last4 FROM keys") == [(made.hash, made.text[-10:-6])]
    secret = parsed[1].encode()
    assert not [file for file in path.parent.iterdir() if secret in file.read_bytes()]


async def test_a_key_is_paused_resumed_and_revoked_on_disk_before_anybody_is_told(path: Path, holders: Holders) -> None:
    id = (await holders.keys.create("editor", by="operator")).id
    seen: list[tuple[object, ...]] = []

    def look(what: What, id: str) -> None:
        key = holders.keys[id]
        (on_disk,) = rows(path, "SELECT paused, revoked_at IS NOT NULL FROM keys")
        assert on_disk == (key.paused, key.revoked_at is not None)
        seen.append(on_disk)

    holders.ledger.changed.append(look)
    await holders.keys.pause(id)
    await holders.keys.resume(id)
    await holders.keys.revoke(id)
    assert seen == [(1, 0), (0, 0), (0, 1)]


async def test_a_revoked_key_stays_revoked(holders: Holders, clock: WoundClock) -> None:
    id = (await holders.keys.create("editor", by="operator")).id
    first = await holders.keys.revoke(id)
    clock.leap(60)
    assert await holders.keys.revoke(id) == first
    for order in (holders.keys.resume, holders.keys.pause):
        with pytest.raises(OrderRefused, match="revoked, for good") as refused:
            await order(id)
        assert refused.value.kind == "conflict"
    with pytest.raises(OrderRefused, match="revoked, for good"):
        await holders.keys.change(id, expires_at=None)


async def test_a_key_can_be_changed_in_what_it_may_and_in_nothing_else(holders: Holders, clock: WoundClock) -> None:
    id = (await holders.keys.create("editor", by="operator")).id
    changed = await holders.keys.change(id, name="pipeline", lane=3, running=1, expires_at=clock.wall() + 60)
    assert (changed.name, changed.lane, changed.running) == ("pipeline", 3.0, 1)
    assert holders.keys[id] == changed
    for forbidden in ("hash", "user_id", "revoked_at", "label"):
        with pytest.raises(OrderRefused, match=f"cannot be changed: {forbidden}"):
            await holders.keys.change(id, **{forbidden: "x"})  # type: ignore[arg-type]  # as a careless caller would
    assert holders.keys[id] == changed


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", ""),
        ("name", "two\nlines"),
        ("lane", -1.0),
        ("lane", float("nan")),
        ("scopes", []),
        ("scopes", ["anyone"]),
        ("scopes", ["infer", "chat"]),
        ("models", ["no spaces here"]),
        ("cidrs", ["0.0.0.0/0"]),
        ("running", 0),
        ("expires_at", 1.0),
        ("expires_at", float("inf")),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words_and_changes_nothing(
    path: Path, holders: Holders, field: str, wrong: object
) -> None:
    id = (await holders.keys.create("editor", by="operator")).id
    before = holders.keys[id], rows(path, "SELECT * FROM keys")
    with pytest.raises(OrderRefused) as refused:
        await holders.keys.change(id, **{field: wrong})  # type: ignore[arg-type]  # any of them
    assert str(refused.value).endswith(".")
    assert (holders.keys[id], rows(path, "SELECT * FROM keys")) == before


async def test_what_is_unknown_is_refused_as_unknown(holders: Holders) -> None:
    orders: tuple[Awaitable[object], ...] = (
        holders.keys.pause("nobody"),
        holders.users.disable("nobody"),
        holders.sessions.start("nobody", "", ""),
        holders.sessions.prove("nobody"),
        holders.invites.revoke("nobody"),
        holders.addresses.remove("nobody"),
        holders.keys.create("editor", by="operator", user_id="nobody"),
        holders.resets.create("nobody", by="operator"),
    )
    for order in orders:
        with pytest.raises(OrderRefused) as refused:
            await order
        assert refused.value.kind == "unknown"


async def test_a_last_use_is_at_hand_and_written_a_minute_later(path: Path, clock: WoundClock) -> None:
    database = Database(path, clock, Journal(clock))
    async with holding(path, clock, database=database) as holders:
        id = (await holders.keys.create("editor", by="operator")).id
        session = await holders.sessions.start((await a_user(holders)).id, "Firefox", "192.0.2.1")
        entry = await holders.addresses.add("192.0.2.7", "shed", by="operator")
        commits: list[object] = []
        event.listen(database.engine.sync_engine, "commit", commits.append)
        for _ in range(3):
            clock.leap(1)
            holders.used(Principal("editor", kind="key", id=id), "192.0.2.9")
            holders.used(Principal("Mia", kind="person", id=session.user_id, session=session.id), "192.0.2.8")
            holders.used(Principal("shed", kind="address", id=entry.id), "192.0.2.7")
            holders.used(Principal("nobody", kind="key", id="nobody"), "192.0.2.9")
        used = clock.wall()
        assert holders.sessions.used_at(session.id) == used
        assert commits == []
        await clock.wind_until(lambda: holders.keys[id].used_at == used, by=GATHER)
        assert len(commits) == 1
        assert rows(path, "SELECT used_at, used_from FROM keys") == [(used, "192.0.2.9")]
        assert rows(path, "SELECT used_at, used_from FROM sessions") == [(used, "192.0.2.8")]
        assert rows(path, "SELECT used_at, hits FROM allowed") == [(used, 3)]
        assert (holders.sessions[session.id].used_at, holders.addresses[entry.id].hits) == (used, 3)
        assert holders.sessions.of(session.user_id) == [holders.sessions[session.id]]
        await clock.wind(2 * GATHER)
        assert len(commits) == 1


async def test_a_use_noted_while_another_is_being_written_is_not_lost(
    path: Path, holders: Holders, clock: WoundClock
) -> None:
    id = (await holders.keys.create("editor", by="operator")).id
    holders.keys.used(id, "192.0.2.1")
    writing = asyncio.create_task(holders.ledger.write_uses())
    await asyncio.sleep(0)
    clock.leap(5)
    holders.keys.used(id, "192.0.2.2")
    await writing
    assert rows(path, "SELECT used_from FROM keys") == [("192.0.2.1",)]
    await holders.ledger.write_uses()
    assert rows(path, "SELECT used_from, used_at FROM keys") == [("192.0.2.2", clock.wall())]


# --- people and sessions ---


async def test_a_name_belongs_to_one_however_it_is_spelled(holders: Holders) -> None:
    user = await a_user(holders, "Zoë")
    for same in ("zoë", "  ZOË ", "Zoe\u0308", "ＺＯË"):
        assert holders.users.named(same) == user
        with pytest.raises(OrderRefused, match="called Zoë already") as refused:
            await a_user(holders, same)
        assert refused.value.kind == "conflict"
    renamed = await holders.users.rename(user.id, "ZOË")
    assert holders.users.named("zoë") == renamed
    assert (await holders.users.rename(user.id, "Ada")).folded == "ada"
    assert holders.users.named("zoë") is None
    await a_user(holders, "zoë")


@pytest.mark.parametrize("end", ["disable", "delete", "password", "demotion", "all"])
async def test_sessions_end_with_what_they_stood_on(
    path: Path, holders: Holders, heard: list[tuple[What, str]], end: str
) -> None:
    user, other = await a_user(holders), await a_user(holders, "Ada")
    theirs = [await holders.sessions.start(user.id, "Firefox", "192.0.2.1") for _ in range(3)]
    kept = await holders.sessions.start(other.id, "Safari", "192.0.2.2")
    heard.clear()
    orders: dict[str, Callable[[], Awaitable[object]]] = {
        "disable": lambda: holders.users.disable(user.id),
        "delete": lambda: holders.users.delete(user.id),
        "password": lambda: holders.users.set_password(user.id, HASH + "2"),
        "demotion": lambda: holders.users.set_role(user.id, "child"),
        "all": lambda: holders.sessions.end_all(user.id),
    }
    await orders[end]()
    assert dict(holders.sessions) == {kept.id: kept}
    assert holders.sessions.of(user.id) == []
    assert rows(path, "SELECT id FROM sessions") == [(kept.id,)]
    assert {("session", session.id) for session in theirs} <= set(heard)


async def test_a_promotion_ends_no_session(holders: Holders) -> None:
    user = await a_user(holders)
    session = await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
    assert (await holders.users.set_role(user.id, "admin")).role == "admin"
    assert holders.sessions.of(user.id) == [session]


async def test_a_new_password_may_leave_the_session_that_set_it(holders: Holders, clock: WoundClock) -> None:
    user = await a_user(holders)
    mine, _ = [await holders.sessions.start(user.id, "Firefox", "192.0.2.1") for _ in range(2)]
    clock.leap(1)
    changed = await holders.users.set_password(user.id, HASH + "2", keep=mine.id)
    assert (changed.password, changed.password_at) == (HASH + "2", clock.wall())
    assert holders.sessions.of(user.id) == [mine]
    with pytest.raises(OrderRefused, match="must be given"):
        await holders.users.set_password(user.id, "")


async def test_who_is_disabled_cannot_sign_in_and_their_keys_are_told_of(
    holders: Holders, heard: list[tuple[What, str]]
) -> None:
    user = await a_user(holders)
    key = await holders.keys.create("editor", by="Mia", user_id=user.id)
    for order in (holders.users.disable, holders.users.enable):
        heard.clear()
        await order(user.id)
        assert {("key", key.id), ("user", user.id)} <= set(heard)
    await holders.users.disable(user.id)
    with pytest.raises(OrderRefused, match="cannot sign in"):
        await holders.sessions.start(user.id, "Firefox", "192.0.2.1")


async def test_who_is_deleted_leaves_nothing_that_opens_anything(path: Path, holders: Holders) -> None:
    user = await a_user(holders)
    await holders.keys.create("editor", by="Mia", user_id=user.id)
    await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
    token = await holders.resets.create(user.id, by="operator")
    await holders.users.delete(user.id)
    assert everything(holders) == [{}] * 6
    for table in ("users", "keys", "sessions", "resets"):
        assert rows(path, f"SELECT count(*) FROM {table}") == [(0,)]
    with pytest.raises(OrderRefused, match=NO_RESET):
        await holders.resets.redeem(token.text, HASH)


async def test_the_last_admin_cannot_go(holders: Holders) -> None:
    first = await holders.users.create("Mia", "admin", by="test", password=HASH)
    second = await holders.users.create("Ada", "admin", by="test", password=HASH)
    await holders.users.disable(second.id)
    orders: tuple[Awaitable[object], ...] = (
        holders.users.set_role(first.id, "member"),
        holders.users.disable(first.id),
        holders.users.delete(first.id),
    )
    for order in orders:
        with pytest.raises(OrderRefused, match="Mia is the last admin"):
            await order
    await holders.users.enable(second.id)
    await holders.users.set_role(first.id, "member")
    assert [user.name for user in holders.users.values() if user.role == "admin"] == ["Ada"]


async def test_of_two_admins_who_demote_each_other_at_once_one_stays(holders: Holders) -> None:
    ids = [(await holders.users.create(name, "admin", by="test", password=HASH)).id for name in ("Mia", "Ada")]
    outcomes = await asyncio.gather(*(holders.users.set_role(id, "child") for id in ids), return_exceptions=True)
    assert sorted(isinstance(outcome, OrderRefused) for outcome in outcomes) == [False, True]
    assert [user.role for user in holders.users.values()].count("admin") == 1


async def test_a_session_is_proven_anew_and_ends_once(holders: Holders, clock: WoundClock) -> None:
    user = await a_user(holders)
    session = await holders.sessions.start(user.id, "Fire\x1bfox" + "x" * 500, "192.0.2.1", lasts=DAY)
    assert session.expires_at == clock.wall() + DAY
    assert session.device.startswith("Fire\\x1bfox")
    assert len(session.device) == 200
    clock.leap(3600)
    assert (await holders.sessions.prove(session.id)).proven_at == clock.wall()
    await holders.sessions.end(session.id)
    await holders.sessions.end(session.id)
    assert holders.sessions.used_at(session.id) == 0.0
    with pytest.raises(OrderRefused, match="Sign in again"):
        await holders.sessions.prove(session.id)


# --- invites, links, codes ---


async def test_fifty_who_redeem_one_invite_at_once_are_one_person_twenty_times_over(
    tmp_path: Path, clock: WoundClock
) -> None:
    """From two holders on one file, so that the database alone can decide."""
    path = tmp_path / NAME
    async with holding(path, clock) as maker:
        tokens = [(await maker.invites.create("member", label=f"round {n}", by="test"))[1] for n in range(20)]
    async with holding(path, clock) as one, holding(path, clock) as other:
        for number, token in enumerate(tokens):
            tries = [(one, other)[n % 2].invites.redeem(token.text, f"person {number} {n}", HASH) for n in range(50)]
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(outcome, UserRow) for outcome in outcomes) == 1
            assert {str(outcome) for outcome in outcomes if isinstance(outcome, Exception)} == {NO_INVITE}
    assert rows(path, "SELECT count(*) FROM users") == [(20,)]
    assert rows(path, "SELECT DISTINCT used, uses FROM invites") == [(1, 1)]


async def test_an_invite_for_three_lets_three_in_and_their_record_keeps_it(holders: Holders) -> None:
    invite, token = await holders.invites.create("child", uses=3, label="cousins", by="Mia")
    assert holders.invites.good(token.text) == invite
    outcomes = await asyncio.gather(
        *(holders.invites.redeem(token.text, f"cousin {n}", HASH) for n in range(10)), return_exceptions=True
    )
    users = [outcome for outcome in outcomes if isinstance(outcome, UserRow)]
    assert {(user.role, user.invite_id, user.by) for user in users} == {("child", invite.id, "invite: cousins")}
    assert len(users) == 3
    assert holders.invites[invite.id] == replace(invite, used=3)
    assert holders.invites.good(token.text) is None


async def test_a_taken_name_costs_no_use_of_the_invite(path: Path, holders: Holders) -> None:
    await a_user(holders, "Mia")
    invite, token = await holders.invites.create("member", label="you", by="test")
    with pytest.raises(OrderRefused, match="called Mia already"):
        await holders.invites.redeem(token.text, "mia", HASH)
    with pytest.raises(OrderRefused, match="must be given"):
        await holders.invites.redeem(token.text, "ada", "")
    assert rows(path, "SELECT used FROM invites") == [(0,)]
    assert (await holders.invites.redeem(token.text, "ada", HASH)).invite_id == invite.id


async def test_wrong_used_up_expired_and_revoked_invites_get_one_answer(holders: Holders, clock: WoundClock) -> None:
    await a_user(holders, "Mia")
    _, used = await holders.invites.create("member", label="used", by="test")
    await holders.invites.redeem(used.text, "Ada", HASH)
    _, expired = await holders.invites.create("member", label="expired", by="test", lasts=60)
    clock.leap(60)
    taken_back, revoked = await holders.invites.create("member", label="revoked", by="test")
    await holders.invites.revoke(taken_back.id)
    reset = await holders.resets.create(holders.users.named("Ada").id, by="test")  # type: ignore[union-attr]  # just made
    never = make_token(lambda count: bytes(count), "invite")
    for text in (used.text, expired.text, revoked.text, reset.text, never.text, "", "x"):
        assert holders.invites.good(text) is None
        with pytest.raises(OrderRefused) as refused:
            await holders.invites.redeem(text, "Mia", HASH)  # a taken name: an answer about it would tell of others
        assert str(refused.value) == NO_INVITE
    assert len(holders.users) == 2


@pytest.mark.parametrize(("uses", "lasts"), [(0, 60.0), (1001, 60.0), (1, 0.0), (1, 400 * DAY), (1, float("nan"))])
async def test_an_invite_for_nobody_or_for_ever_is_not_made(holders: Holders, uses: int, lasts: float) -> None:
    with pytest.raises(OrderRefused):
        await holders.invites.create("member", uses=uses, lasts=lasts, label="x", by="test")


async def test_a_reset_link_works_once_and_signs_out_everywhere(holders: Holders, clock: WoundClock) -> None:
    user = await a_user(holders)
    await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
    void = await holders.resets.create(user.id, by="operator")
    token = await holders.resets.create(user.id, by="operator")
    assert holders.resets.user_of(token.text) == user
    outcomes = await asyncio.gather(
        *(holders.resets.redeem(text, HASH + "2") for text in (void.text, token.text, token.text, "")),
        return_exceptions=True,
    )
    assert [isinstance(outcome, UserRow) for outcome in outcomes] == [False, True, False, False]
    assert {str(outcome) for outcome in outcomes if isinstance(outcome, Exception)} == {NO_RESET}
    assert holders.users[user.id].password == HASH + "2"
    assert holders.sessions.of(user.id) == []
    assert holders.resets.user_of(token.text) is None


async def test_a_password_that_was_set_otherwise_voids_the_reset_link(holders: Holders) -> None:
    user = await a_user(holders)
    token = await holders.resets.create(user.id, by="operator")
    await holders.users.set_password(user.id, HASH + "2")
    with pytest.raises(OrderRefused, match=NO_RESET):
        await holders.resets.redeem(token.text, HASH + "3")


async def test_the_admin_code_makes_one_admin_within_a_quarter_of_an_hour(holders: Holders, clock: WoundClock) -> None:
    void, code = await holders.codes.create(), await holders.codes.create()
    with pytest.raises(OrderRefused, match=NO_CODE):
        await holders.codes.redeem(void.text, "Mia", HASH)
    made = await holders.codes.redeem(code.text, "Mia", HASH)
    assert (made.role, made.password, made.by) == ("admin", HASH, "admin code")
    late = await holders.codes.create()
    clock.leap(CODE_LASTS)
    for text in (code.text, late.text, ""):
        with pytest.raises(OrderRefused, match=NO_CODE):
            await holders.codes.redeem(text, "Ada", HASH)
    assert len(holders.users) == 1


async def test_the_admin_code_lets_who_is_known_already_back_in(holders: Holders) -> None:
    user = await holders.users.create("Mia", "member", by="test", password=HASH)
    session = await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
    await holders.users.disable(user.id)
    made = await holders.codes.redeem((await holders.codes.create()).text, "MIA", HASH + "2")
    assert (made.id, made.role, made.disabled, made.password) == (user.id, "admin", False, HASH + "2")
    assert session.id not in holders.sessions


async def test_no_hash_is_in_what_a_row_says_of_itself(holders: Holders) -> None:
    user = await a_user(holders)
    await holders.keys.create("editor", by="operator")
    await holders.invites.create("member", label="x", by="test")
    await holders.resets.create(user.id, by="operator")
    for row in (user, *holders.keys.values(), *holders.invites.values(), *holders.links.values()):
        said = repr(row)
        assert HASH not in said
        assert repr(getattr(row, "hash", b"-")) not in said


async def test_no_token_is_anywhere_on_the_disk(path: Path, holders: Holders) -> None:
    user = await a_user(holders)
    tokens = [
        (await holders.invites.create("member", label="x", by="test"))[1],
        await holders.resets.create(user.id, by="operator"),
        await holders.codes.create(),
    ]
    for file in path.parent.iterdir():
        content = file.read_bytes()
        assert not [token for token in tokens if token.text[4:20].encode() in content]


# --- addresses ---


async def test_an_address_is_let_in_kept_out_and_forgotten(path: Path, holders: Holders, clock: WoundClock) -> None:
    entry = await holders.addresses.add(
        "::ffff:192.0.2.7", "shed", by="operator", lane=2, expires_at=clock.wall() + DAY
    )
    assert (entry.cidr, entry.verdict, entry.lane) == ("192.0.2.7", "allow", 2.0)
    with pytest.raises(OrderRefused, match="already") as refused:
        await holders.addresses.add("192.0.2.7", "again", by="operator")
    assert refused.value.kind == "conflict"
    denied = await holders.addresses.add("192.0.2.7", "not him", by="operator", verdict="deny")
    assert set(holders.addresses) == {entry.id, denied.id}
    clock.leap(DAY)
    await holders.addresses.add("192.0.2.7", "again", by="operator")  # the one before has expired
    await holders.addresses.remove(entry.id)
    assert entry.id not in holders.addresses
    assert len(rows(path, "SELECT * FROM allowed")) == 2


@pytest.mark.parametrize(
    "cidr", ["0.0.0.0/0", "::/0", "10.0.0.0/8", "2a06:98c0:3600::103", "example.org", "192.0.2.7/24"]
)
async def test_what_anybody_can_come_from_is_not_let_in(holders: Holders, cidr: str) -> None:
    with pytest.raises(OrderRefused):
        await holders.addresses.add(cidr, "everybody", by="operator")
    assert not holders.addresses


# --- expiry ---


async def test_rights_end_by_themselves_and_whoever_must_act_is_told(
    path: Path, holders: Holders, clock: WoundClock, heard: list[tuple[What, str]]
) -> None:
    soon = clock.wall() + 100
    user = await a_user(holders)
    key = await holders.keys.create("editor", by="operator", expires_at=soon)
    session = await holders.sessions.start(user.id, "Firefox", "192.0.2.1", lasts=100)
    longer = await holders.sessions.start(user.id, "Safari", "192.0.2.1", lasts=1000)
    entry = await holders.addresses.add("192.0.2.7", "shed", by="operator", expires_at=soon)
    postponed = await holders.keys.create("pipeline", by="operator", expires_at=soon)
    await holders.keys.change(postponed.id, expires_at=soon + 1000)
    heard.clear()
    await clock.wind(100 - LOOK)
    assert heard == []
    await clock.wind(2 * LOOK)
    await clock.wind_until(lambda: rows(path, "SELECT id FROM sessions") == [(longer.id,)], by=1)
    assert set(heard) == {("key", key.id), ("session", session.id), ("allow", entry.id)}
    assert holders.sessions.of(user.id) == [longer]
    assert key.id in holders.keys  # for its name in what it used


async def test_what_was_made_while_the_clock_was_ahead_opens_nothing_before_its_time(
    path: Path, holders: Holders, clock: WoundClock
) -> None:
    user = await a_user(holders)
    clock.step_wall(YEAR)
    _, invite = await holders.invites.create("member", lasts=3600, label="grandma", by="operator")
    link = await holders.resets.create(user.id, by="operator")
    code = await holders.codes.create()
    session = await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
    clock.step_wall(-YEAR)
    people = SignedIn(holders, lambda cookie, now: session.id)

    def opened() -> tuple[object, ...]:
        seen = holders.invites.good(invite.text), holders.resets.user_of(link.text), holders.codes.good(code.text)
        return *seen, people.look(b"", Access(), clock.wall())

    assert not any(opened())
    for redeemed in (
        holders.invites.redeem(invite.text, "Ann", HASH),
        holders.resets.redeem(link.text, HASH),
        holders.codes.redeem(code.text, "Ada", HASH),
    ):
        with pytest.raises(OrderRefused):
            await redeemed
    async with Database(path, clock, Journal(clock)) as database, database.writing() as connection:
        found = holders.invites[next(iter(holders.invites))]
        assert not await shelf.take_use(connection, found.hash, clock.wall())
    clock.step_wall(YEAR)
    assert all(opened())


# --- what a restart finds ---


async def test_a_restart_finds_everything_as_it_was(path: Path, clock: WoundClock) -> None:
    async with holding(path, clock) as holders:
        _, token = await holders.invites.create("child", label="cousins", uses=2, by="Mia")
        user = await holders.invites.redeem(token.text, "Zoë", HASH)
        await holders.users.change(user.id, lane=4.0, models=["qwen3*", "gemma*"], waiting=3)
        key = await holders.keys.create("editor", by="Mia", user_id=user.id, cidrs=["fd00::/64"], default_model="qwen3")
        await holders.keys.pause(key.id)
        session = await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
        await holders.addresses.add("192.0.2.0/24", "street", by="Mia", models=["tiny*"], expires_at=clock.wall() + DAY)
        await holders.resets.create(user.id, by="Mia")
        await holders.codes.create()
        holders.sessions.used(session.id, "192.0.2.5")
    before = everything(holders)  # which its leaving has brought up to date
    assert [len(shelf) for shelf in before] == [1, 1, 1, 1, 1, 2]
    assert holders.sessions[session.id].used_from == "192.0.2.5"
    async with holding(path, clock) as holders:
        assert everything(holders) == before
        assert holders.users.named("zoë") == holders.users[user.id]
        assert holders.ledger.why == ""
    clock.step_wall(91 * DAY)
    async with holding(path, clock) as holders:
        assert [len(shelf) for shelf in everything(holders)] == [1, 1, 0, 1, 1, 0]


async def test_who_came_before_the_rows_is_told_of_each(path: Path, clock: WoundClock) -> None:
    async with holding(path, clock) as holders:
        key = await holders.keys.create("editor", by="operator")
    journal = Journal(clock)
    again, heard = Holders(clock, journal), set[tuple[What, str]]()
    again.ledger.changed.append(lambda what, id: heard.add((what, id)))
    task = asyncio.create_task(again.ledger.run(Database(path, clock, journal)))
    await again.ledger.known.wait()
    assert heard == {("key", key.id)}
    task.cancel()
    await asyncio.wait([task])


# --- a database that is away ---


async def test_before_it_is_open_and_after_it_was_closed_every_order_is_refused_in_words(
    path: Path, clock: WoundClock
) -> None:
    early = Holders(clock, Journal(clock))
    assert not early.ledger.known.is_set()
    with pytest.raises(SeadragonError, match="just opening its database. Try again"):
        await early.keys.create("editor", by="operator")
    async with holding(path, clock) as holders:
        pass
    with pytest.raises(SeadragonError, match="leaving"):
        await holders.keys.create("editor", by="operator")
    assert not holders.keys


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """As by a program that wants the file for itself alone."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def _open_to_others(path: Path) -> Iterator[None]:
    path.chmod(0o644)
    yield
    path.chmod(0o600)


@contextlib.contextmanager
def _without_a_table(path: Path) -> Iterator[None]:
    for change in ("ALTER TABLE allowed RENAME TO away", "ALTER TABLE away RENAME TO allowed"):
        with contextlib.closing(connect(path)) as connection:
            connection.execute(change)
        if "TO away" in change:
            yield


@contextlib.contextmanager
def _with_a_row_of_nonsense(path: Path) -> Iterator[None]:
    for value in ("no JSON", '["infer"]'):
        with contextlib.closing(connect(path)) as connection:
            connection.execute("UPDATE keys SET scopes = ?", (value,))
        if value == "no JSON":
            yield


async def _opened_in_the_end(holders: Holders, clock: WoundClock) -> None:
    while holders.unread:
        await clock.wind(LONGEST)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("why", [_locked, _open_to_others, _without_a_table, _with_a_row_of_nonsense])
async def test_while_the_database_cannot_be_read_nobody_knows_who_has_a_right_and_it_is_tried_until_it_can(
    path: Path, clock: WoundClock, monkeypatch: pytest.MonkeyPatch, why: Callable[[Path], Any]
) -> None:
    for module in ("engine", "file"):
        monkeypatch.setattr(f"controller.storage.{module}.BUSY", 0.05)
    async with holding(path, clock) as holders:
        key = await holders.keys.create("editor", by="operator")
        await holders.addresses.add("192.0.2.66", "not him", by="operator", verdict="deny")
    journal = Journal(clock)
    with contextlib.ExitStack() as trouble:
        trouble.enter_context(why(path))
        async with holding(path, clock, journal) as holders:
            await clock.wind_until(lambda: holders.unread, by=LONGEST)
            for _ in range(3):  # tries, and told once
                await clock.wind(LONGEST)
            assert "Nobody knows now who has a key or an account" in holders.unread
            assert told(journal) == [holders.unread]
            assert not holders.keys
            assert [row.cidr for row in holders.addresses.values()] == ["192.0.2.66"]
            with pytest.raises(SeadragonError, match="it is looked up again and again"):
                await holders.codes.create()
            trouble.close()
            await _opened_in_the_end(holders, clock)
            assert set(holders.keys) == {key.id}
            assert [row.verdict for row in holders.addresses.values()] == ["deny"]
            assert told(journal)[1:] == ["The database can be read now: keys and accounts count again."]
            assert await holders.codes.create()


async def test_who_is_kept_out_is_so_at_every_moment_of_an_opening(path: Path, clock: WoundClock) -> None:
    async with holding(path, clock) as holders:
        await holders.addresses.add("192.0.2.66", "not him", by="operator", verdict="deny")
    path.chmod(0o644)  # noqa: ASYNC240  # what a test does to the disk may well block
    async with holding(path, clock) as holders:
        path.chmod(0o600)  # noqa: ASYNC240
        winding = asyncio.create_task(_opened_in_the_end(holders, clock))
        while not winding.done():
            assert holders.addresses or not holders.ledger.known.is_set(), "or nobody is answered"
            await asyncio.sleep(0)


async def test_on_a_full_disk_nobody_knows_who_has_a_right_until_there_is_room(
    tmp_path: Path, made: Path, clock: WoundClock
) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "data" / NAME
        path.parent.mkdir(mode=0o700)
        shutil.copy(made, path)
        async with holding(path, clock) as holders:
            key = await holders.keys.create("editor", by="operator")
        with filled(disk):
            async with holding(path, clock) as holders:
                assert holders.unread
                (disk / "filler").unlink()
                await _opened_in_the_end(holders, clock)
                assert set(holders.keys) == {key.id}


async def test_a_disk_that_was_full_at_the_first_start_locks_nobody_out(
    tmp_path: Path, clock: WoundClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt leaves an empty file, which is no database that cannot be read."""
    monkeypatch.setattr(migrating, "_make", _full)
    async with holding(tmp_path / "data" / "seadragon.db", clock) as holders:
        await clock.wind_until(lambda: holders.unread, by=LONGEST)
        assert holders.addresses_off == ""
        monkeypatch.undo()
        await _opened_in_the_end(holders, clock)
        assert holders.addresses_off == ""


def _full(path: Path) -> str:
    raise SeadragonError("The database cannot be made: database or disk is full.")


async def test_half_of_the_rows_are_none_of_them(path: Path, clock: WoundClock) -> None:
    """What was read before the error could be the allowed without the denied."""
    async with holding(path, clock) as holders:
        await holders.keys.create("editor", by="operator")
    with contextlib.closing(connect(path)) as connection:
        connection.execute("DROP TABLE allowed")
    journal = Journal(clock)
    async with holding(path, clock, journal) as holders:
        assert everything(holders) == [{}] * 6
        with pytest.raises(SeadragonError, match="no such table: allowed"):
            await holders.keys.create("editor", by="operator")


async def test_what_the_disk_does_not_take_changes_nothing_and_nobody_is_told(
    path: Path, clock: WoundClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.storage.engine.BUSY", 0.05)
    async with holding(path, clock) as holders:
        id = (await holders.keys.create("editor", by="operator")).id
        before, heard = everything(holders), list[object]()
        holders.ledger.changed.append(lambda what, id: heard.append(id))
        with locked(path):
            orders: tuple[Awaitable[object], ...] = (holders.keys.revoke(id), a_user(holders), holders.codes.create())
            for order in orders:
                with pytest.raises(SeadragonError, match="Nothing was changed: the database says database is locked"):
                    await order
        assert everything(holders) == before
        assert heard == []
        await holders.keys.revoke(id)
        assert heard == [id]


async def test_last_uses_that_cannot_be_written_are_told_once_and_written_later(
    path: Path, clock: WoundClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.storage.engine.BUSY", 0.05)
    journal = Journal(clock)
    async with holding(path, clock, journal) as holders:
        id = (await holders.keys.create("editor", by="operator")).id
        holders.keys.used(id, "192.0.2.1")
        with locked(path):
            await holders.ledger.write_uses()
            await holders.ledger.write_uses()
        await holders.ledger.write_uses()
        assert [line.split(":")[0] for line in told(journal)] == [
            "When keys and sessions were last used cannot be written",
            "When keys and sessions were last used is written again.",
        ]
        assert rows(path, "SELECT used_from FROM keys") == [("192.0.2.1",)]


async def test_an_order_whose_caller_has_gone_is_carried_to_its_end(path: Path, clock: WoundClock) -> None:
    """At whatever moment: memory and disk never differ."""
    async with holding(path, clock) as holders:
        for turns in range(1, 40, 3):
            id = (await holders.keys.create("editor", by="operator")).id
            order = asyncio.create_task(holders.keys.revoke(id))
            for _ in range(turns):
                await asyncio.sleep(0)
            order.cancel()
            await asyncio.wait([order])
            (on_disk,) = rows(path, f"SELECT revoked_at FROM keys WHERE id = '{id}'")
            assert on_disk == (holders.keys[id].revoked_at,) == (clock.wall(),)


async def test_two_parts_may_have_one_database_open(path: Path, clock: WoundClock) -> None:
    journal = Journal(clock)
    database = Database(path, clock, journal)
    async with holding(path, clock, journal, database) as one:
        async with holding(path, clock, journal, database) as other:
            await other.keys.create("editor", by="operator")
        await one.keys.create("pipeline", by="operator")
    with pytest.raises(AssertionError, match="not open"):
        _ = database.engine
    assert rows(path, "SELECT count(*) FROM keys") == [(2,)]


@pytest.mark.proof
async def test_ten_thousand_keys_and_a_hundred_thousand_sessions_are_read_in_seconds(
    path: Path, clock: WoundClock
) -> None:
    """Prints what they cost, for the README."""
    async with holding(path, clock) as holders:
        await a_user(holders)
        await holders.keys.create("editor", by="operator")
        session: SessionRow = await holders.sessions.start(next(iter(holders.users)), "Firefox on macOS", "192.0.2.1")
    with contextlib.closing(connect(path)) as connection:
        connection.execute("BEGIN")
        for table, count in (("keys", 10_000), ("sessions", 100_000)):
            names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()]
            others = ", ".join(name for name in names if name != "id")
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                f"INSERT INTO {table} (id, {others}) SELECT 'made-' || i, {others} FROM n, (SELECT * FROM {table})",
                (count - 1,),
            )
        connection.execute("COMMIT")
    before, started = _resident(), time.process_time()
    async with holding(path, clock) as holders:
        took, grown = time.process_time() - started, _resident() - before
        assert (len(holders.keys), len(holders.sessions)) == (10_000, 100_000)
        assert len(holders.sessions.of(session.user_id)) == 100_000
    print(f"\n10,000 keys and 100,000 sessions: {took:.1f} s of processor, {grown / 2**20:.0f} MiB")
    assert took < 10
    assert grown < 200 * 2**20


def _resident() -> int:
    """Bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
