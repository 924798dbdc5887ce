"""How long a "no" takes tells nobody whether the name, or the key, exists: over real sockets, as it is shipped."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from statistics import mean

import httpx
import pytest

from controller.auth.hashing import Hashing
from controller.auth.keyring import Keyring
from controller.auth.rows import KeyRow
from controller.auth.secrets import MadeKey, make_key
from controller.clock import SystemClock
from controller.config.entry import Access
from tests.fakes.rows import Rows
from tests.integration.plane import config, gateway
from tests.kit.front_door import PASSWORD, FrontDoor, front_door
from tests.kit.ranks import rank_sum

TRIES = 200  # of each
APART = 0.005  # seconds between the means
CHANCE = 0.01  # p
AGAIN = 3  # rounds: by chance alone one in a hundred looks like a difference; three in a row do not
PROGRAM = {"Accept": "application/json", "X-Seadragon": "1"}

Ask = Callable[[str], Awaitable[httpx.Response]]


async def differ(ask: Ask, there: list[str], absent: list[str], status: int) -> str:
    """How the answers for what is there and for what is not are told apart by a clock; "" when they are not."""
    took: tuple[list[float], list[float]] = ([], [])
    for pair in zip(there, absent, strict=True):
        for guess, taken in zip(pair, took, strict=True):
            begun = time.perf_counter()
            answer = await ask(guess)
            taken.append(time.perf_counter() - begun)
            assert answer.status_code == status, answer.text
    apart, chance = abs(mean(took[0]) - mean(took[1])), rank_sum(*took)
    if apart < APART and chance >= CHANCE:
        return ""
    return f"means {apart * 1000:.2f} ms apart, p = {chance:.4f}"


async def same_every_time(ask: Ask, there: list[str], absent: list[str], status: int) -> None:
    told = ""
    for _ in range(AGAIN):
        told = await differ(ask, there, absent, status)
        if not told:
            return
    raise AssertionError(told)


def numbered(door: FrontDoor) -> Callable[[], None]:
    """Each request comes from a /64 of its own from now on, so that none has to wait for the one before."""
    numbers = count(1)

    def elsewhere() -> None:
        door.scope = {"client": (f"2001:db8:{next(numbers):x}::1", 5)}

    return elsewhere


@pytest.mark.proof
@pytest.mark.timeout(1200)
async def test_a_wrong_password_takes_as_long_whether_or_not_there_is_such_a_person(tmp_path: Path) -> None:
    async with front_door(tmp_path) as door:
        door.signin.hashing.close()
        door.signin.hashing = Hashing(SystemClock())  # as it is shipped
        kept = await door.signin.hashing.hash(PASSWORD)
        for number in range(TRIES):
            await door.holders.users.create(f"person {number}", "member", by="tests", password=kept)
        elsewhere = numbered(door)
        async with door.browser() as client:

            async def ask(name: str) -> httpx.Response:
                elsewhere()
                return await client.post("/login", json={"name": name, "password": "wrong horse"}, headers=PROGRAM)

            there = [f"person {number}" for number in range(TRIES)]
            try:
                await same_every_time(ask, there, [f"nobody {number}" for number in range(TRIES)], 403)
            finally:
                door.signin.hashing.close()


def like(other: bytes) -> MadeKey:
    """A key whose id is made of these bytes, and whose secret is anybody's guess."""
    return make_key(lambda amount: other if amount == len(other) else os.urandom(amount))


@pytest.mark.proof
async def test_a_wrong_key_takes_as_long_whether_or_not_there_is_one_of_its_id() -> None:
    ids = [os.urandom(8) for _ in range(TRIES)]
    held = [like(id) for id in ids]
    rows = [KeyRow(key.id, key.hash, key.last4, "tool", None, 2.0, ("infer",), (), (), 0.0, "tests") for key in held]
    access = Access.model_validate({"allow": [], "rates": {"wrong": 1_000_000}})
    async with (
        gateway(None, using=config(access=access), keyring=Keyring(Rows(*rows))) as plane,
        plane.client() as client,
    ):

        async def ask(text: str) -> httpx.Response:
            return await client.get("/api/version", headers={"X-API-Key": text})

        guesses = [like(id) for id in ids]
        assert [guess.id for guess in guesses] == [key.id for key in held]
        await ask(guesses[0].text)  # what the first request pays for once
        absent = [make_key(os.urandom).text for _ in ids]
        await same_every_time(ask, [guess.text for guess in guesses], absent, 401)
