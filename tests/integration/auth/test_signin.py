"""The ways in, when they are crowded, guessed at, or nothing can be kept: over a real database and real bcrypt."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.auth.hashing import RESERVED, THREADS, WAITING, Checked, Hashing
from controller.auth.rows import SessionRow
from controller.auth.secrets import make_token
from controller.auth.signin import NO_CODE, NO_LINK, Browser, No, Person, SignIn
from controller.clock import SystemClock
from tests.fakes.clock import WoundClock
from tests.kit.front_door import CHEAP, PASSWORD, FrontDoor, front_door

NEW = "octopuses have three hearts"
HERE = Browser("a browser", "203.0.113.7")
SLOW = 10  # bcrypt's cost where the pool is to be full for a moment


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[FrontDoor]:
    """Its clock stands still: however slow the machine is, each try comes right after the one before."""
    async with front_door(tmp_path, clock=WoundClock()) as opened:
        yield opened


def leap(door: FrontDoor) -> None:
    """A second goes by."""
    assert isinstance(door.signin._clock, WoundClock)
    door.signin._clock.leap(1.0)


async def signed_in(door: FrontDoor, name: str) -> Person:
    session = await door.signin.enter(name, PASSWORD, HERE)
    assert isinstance(session, SessionRow)
    person = door.signin.person(door.signin.token(session), HERE.peer)
    assert person is not None
    return person


async def an_invite(door: FrontDoor, uses: int = 1) -> str:
    _, token = await door.holders.invites.create("member", uses=uses, lasts=3600, label="summer", by="tests")
    return token.text


@asynccontextmanager
async def crowded(signin: SignIn) -> AsyncIterator[None]:
    """As many passwords are being checked as may be, those of people who have been here before too."""
    cheap, signin.hashing = signin.hashing, Hashing(SystemClock(), cost=SLOW, floor=0.0)
    crowd = [asyncio.ensure_future(signin.hashing.hash("any")) for _ in range(THREADS + WAITING + RESERVED)]
    await asyncio.sleep(0)  # they are in the pool now
    yield
    await asyncio.gather(*crowd)
    signin.hashing.close()
    signin.hashing = cheap


async def test_in_a_crowd_everybody_is_asked_for_a_moment_and_no_token_is_spent(door: FrontDoor) -> None:
    mia, signin = await door.person("mia"), door.signin
    invite, code = await an_invite(door), (await door.holders.codes.create()).text
    link = (await door.holders.resets.create(mia, by="tests")).text
    person = await signed_in(door, "mia")
    async with crowded(signin):
        told = [
            await signin.enter("mia", PASSWORD, HERE),
            await signin.join(invite, "Tom", NEW, HERE),
            await signin.reset(link, NEW, Browser("a browser", "203.0.113.8")),
            await signin.take_code(code, "Ada", NEW, Browser("a browser", "203.0.113.9")),
            await signin.prove(person, PASSWORD, "203.0.113.10"),
            await signin.change_password(person, PASSWORD, NEW, "203.0.113.11"),
        ]
    assert [(no.status, no.wait) for no in told if isinstance(no, No)] == [(503, 2)] * len(told)
    away = [Browser("a browser", f"198.51.100.{number}") for number in range(3)]
    assert isinstance(await signin.join(invite, "Tom", NEW, away[0]), SessionRow)
    assert isinstance(await signin.reset(link, NEW, away[1]), SessionRow)
    assert isinstance(await signin.take_code(code, "Ada", NEW, away[2]), SessionRow)


class Counting(Hashing):
    """Knows how often it was asked for a hash."""

    hashed = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)


WAYS: dict[str, Callable[[SignIn, Browser], Awaitable[SessionRow | No]]] = {
    "an invite": lambda signin, browser: signin.join("sdi_guess", "Eve", NEW, browser),
    "a link": lambda signin, browser: signin.reset("sdr_guess", NEW, browser),
    "a code": lambda signin, browser: signin.take_code("guess", "Eve", NEW, browser),
}


@pytest.mark.parametrize("way", WAYS)
async def test_who_guesses_once_must_wait_for_the_next_try_and_nobody_else_must(door: FrontDoor, way: str) -> None:
    elsewhere = Browser("a browser", "198.51.100.7")
    told = [await WAYS[way](door.signin, browser) for browser in (HERE, HERE, elsewhere)]
    assert [(no.status, no.wait) for no in told if isinstance(no, No)] == [(403, 0), (429, 1), (403, 0)]
    assert [outcome for *_, outcome in door.noted] == ["refused", "throttled", "refused"]


@pytest.mark.parametrize("way", ["a link", "a code"])
@pytest.mark.parametrize(
    "password", [NEW, "x" * 73, "short"], ids=["a good one", "one too long for bcrypt", "a bad one"]
)
async def test_a_token_that_is_none_costs_no_hash_and_gets_one_answer_whatever_the_password(
    door: FrontDoor, way: str, password: str
) -> None:
    await door.holders.resets.create(await door.person("mia"), by="tests")
    await door.holders.codes.create()
    counting = Counting(SystemClock(), cost=CHEAP, floor=0.0)
    cheap, door.signin.hashing = door.signin.hashing, counting
    bogus = {kind: make_token(os.urandom, kind).text for kind in ("reset", "admin")}
    no = await (
        door.signin.reset(bogus["reset"], password, HERE)
        if way == "a link"
        else door.signin.take_code(bogus["admin"], "Eve", password, HERE)
    )
    assert no == No(403, NO_LINK if way == "a link" else NO_CODE, "token")
    assert counting.hashed == 0
    counting.close()
    door.signin.hashing = cheap


Comes = Callable[[str], Awaitable[SessionRow | No]]


async def with_an_invite(door: FrontDoor) -> Comes:
    invite = await an_invite(door, 9)
    return lambda name: door.signin.join(invite, name, NEW, HERE)


async def with_a_link(door: FrontDoor) -> Comes:
    link = (await door.holders.resets.create(await door.person("zoe"), by="tests")).text
    return lambda name: door.signin.reset(link, "short", HERE)


async def with_a_code(door: FrontDoor) -> Comes:
    code = (await door.holders.codes.create()).text
    return lambda name: door.signin.take_code(code, "\u3164", NEW, HERE)


@pytest.mark.parametrize("holding", [with_an_invite, with_a_link, with_a_code])
async def test_who_holds_a_good_token_is_slowed_like_who_signs_in(
    door: FrontDoor, holding: Callable[[FrontDoor], Awaitable[Comes]]
) -> None:
    """Else an invite tells who has an account, as fast as names can be sent, and has passwords hashed."""
    await door.person("mia")
    comes = await holding(door)
    told = [await comes(name) for name in ("mia", "mia", "mia", "Mіа")]
    assert [no.status for no in told if isinstance(no, No)][1:] == [429, 429, 429]
    counted = 0
    for _ in range(600):
        leap(door)
        no = await comes("mia")
        counted += isinstance(no, No) and no.status != 429
    assert counted <= 35, "as many as of a password: one in 25 s, once it has gone on for long"


async def test_who_joins_is_forgiven_and_the_next_of_the_family_joins_at_once(door: FrontDoor) -> None:
    invite = await an_invite(door, 9)
    for name in ("Ada", "Ben", "Cleo", "Dan"):
        assert isinstance(await door.signin.join(invite, name, NEW, HERE), SessionRow)


class Held(Hashing):
    """Comes to its verdict, and keeps it for itself until it is let go."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), cost=CHEAP, floor=0.0)
        self.looked, self.go = asyncio.Event(), asyncio.Event()

    async def check(self, password: str, kept: str, *, known: bool = False) -> Checked:
        verdict = await super().check(password, kept, known=known)
        self.looked.set()
        await self.go.wait()
        return verdict


IN_FLIGHT: dict[str, Callable[[SignIn, Person], Awaitable[object]]] = {
    "sign-in": lambda signin, person: signin.enter("mia", PASSWORD, HERE),
    "the password once more": lambda signin, person: signin.prove(person, PASSWORD, HERE.peer),
    "another change": lambda signin, person: signin.change_password(person, PASSWORD, "a thief's own words", HERE.peer),
}


@pytest.mark.parametrize("what", IN_FLIGHT)
async def test_a_password_change_ends_what_had_checked_the_old_one_and_not_yet_begun(
    door: FrontDoor, what: str
) -> None:
    mia = await door.person("mia")
    mine, thiefs = await signed_in(door, "mia"), await signed_in(door, "mia")
    held, cheap = Held(), door.signin.hashing
    door.signin.hashing = held
    flying = asyncio.ensure_future(IN_FLIGHT[what](door.signin, thiefs))
    await held.looked.wait()
    new = await cheap.hash(NEW)
    await door.holders.users.set_password(mia, new, keep=mine.session.id)
    held.go.set()
    no = await flying
    assert isinstance(no, No)
    assert no.status == 403
    assert [each.id for each in door.holders.sessions.of(mia)] == [mine.session.id]
    assert door.holders.users[mia].password == new
    held.close()
    door.signin.hashing = cheap


async def test_a_better_hash_of_the_same_password_ends_no_sign_in(door: FrontDoor) -> None:
    mia = await door.person("mia")
    held, cheap = Held(), door.signin.hashing
    door.signin.hashing = held
    flying = asyncio.ensure_future(door.signin.enter("mia", PASSWORD, HERE))
    await held.looked.wait()
    await door.holders.users.rehash(mia, await cheap.hash(PASSWORD), instead=door.holders.users[mia].password)
    held.go.set()
    assert isinstance(await flying, SessionRow)
    held.close()
    door.signin.hashing = cheap


async def test_who_is_signed_in_is_slowed_too_when_the_password_is_asked_again(door: FrontDoor) -> None:
    await door.person("mia")
    person = await signed_in(door, "mia")
    for expected in (403, 429):
        no = await door.signin.prove(person, "guess", HERE.peer)
        assert isinstance(no, No)
        assert no.status == expected


async def test_a_code_wants_a_name_and_a_password_that_will_do_and_is_not_spent_on_others(door: FrontDoor) -> None:
    code = (await door.holders.codes.create()).text
    for name, password, field in (("", NEW, "name"), ("Ada", "short", "password")):
        no = await door.signin.take_code(code, name, password, HERE)
        leap(door)
        assert isinstance(no, No)
        assert (no.status, no.field) == (422, field)
    assert isinstance(await door.signin.take_code(code, "Ada", NEW, HERE), SessionRow)
    ada = door.holders.users.named("ada")
    assert ada is not None
    assert ada.role == "admin"


async def test_of_two_who_take_one_name_at_the_same_moment_one_is_told_to_choose_another(door: FrontDoor) -> None:
    invite = await an_invite(door, uses=2)
    first = asyncio.ensure_future(door.signin.join(invite, "Mia", NEW, HERE))
    await asyncio.sleep(0)
    leap(door)
    both = await asyncio.gather(first, door.signin.join(invite, "MIA", NEW, HERE))
    refused = [each for each in both if isinstance(each, No)]
    assert [(no.status, no.field) for no in refused] == [(409, "name")]
    leap(door)
    assert isinstance(await door.signin.join(invite, "Tom", NEW, HERE), SessionRow), "that cost no use of the invite"


async def test_while_nothing_can_be_kept_nobody_comes_in_and_it_is_said(tmp_path: Path) -> None:
    async with front_door(tmp_path) as door:
        invite = await an_invite(door)
    door.signin.hashing = Hashing(SystemClock(), cost=CHEAP, floor=0.0)
    try:
        no = await door.signin.join(invite, "Mia", NEW, HERE)
    finally:
        door.signin.hashing.close()
    assert isinstance(no, No)
    assert no.status == 503
    assert "leaving" in no.words
