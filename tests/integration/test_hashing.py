"""Passwords through real bcrypt, and the file of the keys that sign sessions."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.auth import signing
from controller.auth.hashing import FLOOR, RESERVED, THREADS, WAITING, Busy, Checked, Hashing
from controller.auth.sessions import read, sign
from controller.clock import SystemClock
from controller.errors import SeadragonError
from tests.kit.ranks import rank_sum

CHEAP = 4


@pytest.fixture
def make() -> Iterator[Callable[..., Hashing]]:
    made: list[Hashing] = []

    def make(cost: int = CHEAP, floor: float = 0.0) -> Hashing:
        made.append(Hashing(SystemClock(), cost=cost, floor=floor))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_the_right_password_is_right_and_no_other(make: Callable[..., Hashing]) -> None:
    hashing = make()
    kept = await hashing.hash("Zürich im Mai")
    assert await hashing.check("Zürich im Mai", kept) == Checked(True)
    assert await hashing.check("Zu\u0308rich im Mai", kept) == Checked(True)
    for wrong in ("zürich im Mai", "", "Zürich im Mai\0", "\ud800", "x" * 73):
        assert await hashing.check(wrong, kept) == Checked(False)


async def test_what_is_longer_than_bcrypt_sees_never_passes_for_its_beginning(make: Callable[..., Hashing]) -> None:
    hashing = make()
    kept = await hashing.hash("ab" * 36)
    assert (await hashing.check("ab" * 36, kept)).right
    assert not (await hashing.check("ab" * 36 + "c", kept)).right


async def test_for_nobody_every_password_is_wrong(make: Callable[..., Hashing]) -> None:
    assert await make().check("whatever it is", "") == Checked(False)
    assert await make().check("whatever it is", "no hash at all") == Checked(False)


async def test_a_hash_of_an_older_cost_is_made_anew(make: Callable[..., Hashing]) -> None:
    old = await make(CHEAP).hash("correct horse")
    checked = await make(CHEAP + 1).check("correct horse", old)
    assert checked.right
    assert checked.fresh.startswith(f"$2b$0{CHEAP + 1}$")
    assert await make(CHEAP + 1).check("correct horse", checked.fresh) == Checked(True)
    assert await make(CHEAP + 1).check("wrong horse", old) == Checked(False)


async def test_the_shipped_cost_is_twelve(make: Callable[..., Hashing]) -> None:
    hashing = Hashing(SystemClock())
    try:
        assert (await hashing.hash("correct horse")).startswith("$2b$12$")
    finally:
        hashing.close()


async def test_an_answer_takes_its_time_whoever_asks(make: Callable[..., Hashing]) -> None:
    hashing = make(floor=FLOOR)
    kept = await hashing.hash("correct horse")
    for password, known in (("correct horse", kept), ("wrong horse", kept), ("wrong horse", ""), ("x" * 99, kept)):
        before = time.monotonic()
        await hashing.check(password, known)
        assert time.monotonic() - before >= FLOOR


async def test_more_than_a_few_at_once_are_told_to_wait_and_strangers_first(make: Callable[..., Hashing]) -> None:
    hashing = make(cost=8)
    kept = await hashing.hash("correct horse")
    strangers = [asyncio.ensure_future(hashing.check("wrong", kept)) for _ in range(THREADS + WAITING)]
    await asyncio.sleep(0)  # they are in the pool now
    with pytest.raises(Busy):
        await hashing.check("wrong", kept)
    owners = [asyncio.ensure_future(hashing.check("correct horse", kept, known=True)) for _ in range(RESERVED)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await hashing.check("correct horse", kept, known=True)
    assert not any(each.right for each in await asyncio.gather(*strangers))
    assert all(each.right for each in await asyncio.gather(*owners))
    assert (await hashing.check("correct horse", kept)).right


@pytest.mark.proof
async def test_known_and_unknown_names_take_equally_long(make: Callable[..., Hashing]) -> None:
    hashing = make(cost=12, floor=FLOOR)
    kept = await hashing.hash("correct horse battery")
    took: dict[str, list[float]] = {kept: [], "": []}
    for _ in range(200):
        for which in took:
            before = time.perf_counter()
            await hashing.check("wrong horse battery", which)
            took[which].append(time.perf_counter() - before)
    known, nobody = took.values()
    assert abs(statistics.mean(known) - statistics.mean(nobody)) < 0.005
    assert rank_sum(known, nobody) > 0.01


# --- the keys that sign ---


def kept_at(data: Path) -> Path:
    return data / signing.FOLDER / signing.NAME


def test_the_first_start_makes_a_key_that_nobody_else_can_read_and_the_next_finds_it(tmp_path: Path) -> None:
    made = signing.load(tmp_path)
    assert kept_at(tmp_path).stat().st_mode & 0o777 == 0o600
    assert kept_at(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    assert signing.load(tmp_path) == made
    assert len(made.secrets[made.current]) == 32
    assert [path.name for path in kept_at(tmp_path).parent.iterdir()] == [signing.NAME]


def test_a_rotation_signs_nobody_out_and_a_second_one_everybody(tmp_path: Path) -> None:
    token = sign("s", "u", 1000, 9000, signing.load(tmp_path))
    assert read(token, signing.rotate(tmp_path), 2000) is not None
    assert len(signing.load(tmp_path).secrets) == 2
    assert read(token, signing.rotate(tmp_path), 2000) is None
    assert read(token, signing.load(tmp_path), 2000) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    signing.load(tmp_path)
    kept_at(tmp_path).chmod(mode)
    with pytest.raises(SeadragonError, match="readable by nobody else"):
        signing.load(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    signing.load(tmp_path)
    os.chown(kept_at(tmp_path), 1234, 1234)
    with pytest.raises(SeadragonError, match="must belong to the user"):
        signing.load(tmp_path)


def test_a_link_to_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    signing.load(tmp_path)
    kept_at(tmp_path).rename(tmp_path / "elsewhere")
    kept_at(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SeadragonError):
        signing.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"current": "a", "keys": {}}',
        '{"current": "a", "keys": {"a": "c2hvcnQ="}}',
        '{"current": "a", "keys": {"a": "%%%"}}',
        json.dumps({"current": "a", "keys": {"a": "A" * 44}}),
        json.dumps({"current": "a", "keys": []}),
    ],
)
def test_a_damaged_or_a_weak_key_is_refused(tmp_path: Path, text: str) -> None:
    signing.load(tmp_path)
    kept_at(tmp_path).write_text(text)
    with pytest.raises(SeadragonError, match="of no use"):
        signing.load(tmp_path)
