"""The audit in a real database: only ever added to, and whatever is done to it by hand shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.auth.chain import FORGOTTEN
from controller.auth.sparing import EACH, STRETCH
from controller.config.machine import AuditSettings
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage.audit import GATHER, LONGEST, SWEEP, Audit
from controller.storage.database import Database
from controller.storage.file import connect
from tests.fakes.clock import WoundClock
from tests.kit.stored import at_work, rows, told
from tests.kit.until import until

DAY = 86400.0
KEY = "sd_canary01_" + "a" * 49


@pytest.fixture
def audit(clock: WoundClock, journal: Journal) -> Audit:
    return Audit(clock, journal, AuditSettings)


def by_hand(path: Path, order: str) -> None:
    connection = connect(path)
    connection.execute(order)
    connection.close()


async def test_a_deed_is_kept_with_who_where_what_and_how_it_ended(
    audit: Audit, clock: WoundClock, open_database: Callable[[], Database]
) -> None:
    async with at_work(audit, open_database()):
        audit.note("key.create", actor="operator", target="key k1 …ab12", facts={"lane": 2.0, "scopes": ("infer",)})
        audit.note("login", actor="mia", outcome="refused", peer="203.0.113.7", request="r-1")
        newest, first = await audit.rows()
    assert (first["number"], first["at"], first["actor"], first["what"]) == (1, clock.wall(), "operator", "key.create")
    assert first["facts"] == {"lane": 2.0, "scopes": ["infer"]}
    assert (newest["outcome"], newest["peer"], newest["request"]) == ("refused", "203.0.113.7", "r-1")


async def test_notes_are_in_the_database_within_a_second_and_at_the_end_at_once(
    audit: Audit, clock: WoundClock, open_database: Callable[[], Database], path: Path
) -> None:
    async with at_work(audit, open_database()):
        await clock.wind(0)
        audit.note("login", actor="mia")
        await clock.wind(GATHER)
        await until(lambda: rows(path, "SELECT count(*) FROM audit") == [(1,)])
        audit.note("logout", actor="mia")
    assert rows(path, "SELECT number, what FROM audit ORDER BY number") == [(1, "login"), (2, "logout")]


async def test_the_chain_goes_on_over_a_restart(
    clock: WoundClock, journal: Journal, open_database: Callable[[], Database]
) -> None:
    for run in range(3):
        audit = Audit(clock, journal, AuditSettings)
        async with at_work(audit, open_database()):
            for number in range(150):
                audit.note("login", actor=f"{run}.{number}")
            verdict = await audit.verify()
            assert (verdict.rows, verdict.last, verdict.broken) == (150 * (run + 1), 150 * (run + 1), None)
            assert verdict.hash == (await audit.rows(count=1))[0]["hash"]


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        ("UPDATE audit SET actor = 'mallory' WHERE number = 120", 120),
        ("UPDATE audit SET facts = '{}' WHERE number = 7", 7),
        ("DELETE FROM audit WHERE number = 120", 121),
        ("DELETE FROM audit WHERE number <= 3", 4),
        ("DELETE FROM audit WHERE number > 200", 201),
        ("UPDATE audit SET number = number + 1000 WHERE number = 205", 1205),
    ],
)
async def test_what_is_done_by_hand_shows(
    audit: Audit, open_database: Callable[[], Database], path: Path, order: str, broken: int
) -> None:
    async with at_work(audit, open_database()):
        for number in range(205):
            audit.note("login", actor=f"{number}", facts={"n": number})
        assert (await audit.verify()).broken is None
        by_hand(path, order)
        assert (await audit.verify()).broken == broken


async def test_rows_that_vanish_behind_its_back_are_told_and_noted(
    audit: Audit, journal: Journal, open_database: Callable[[], Database], path: Path
) -> None:
    async with at_work(audit, open_database()):
        for number in range(3):
            audit.note("login", actor=f"{number}")
        await audit.rows()
        by_hand(path, "DELETE FROM audit WHERE number = 3")
        audit.note("login", actor="after")
        assert [each["what"] for each in await audit.rows()] == ["login", "audit.altered", "login", "login"]
    assert any("changed from outside" in line for line in told(journal))


async def test_old_rows_go_and_the_chain_says_how_far(
    clock: WoundClock, journal: Journal, open_database: Callable[[], Database], path: Path
) -> None:
    audit = Audit(clock, journal, lambda: AuditSettings(keep=10 * DAY))
    async with at_work(audit, open_database()):
        for number in range(5):
            audit.note("login", actor=f"{number}")
            await audit.rows()
            clock.leap(4 * DAY)

        async def swept() -> bool:
            await clock.wind(SWEEP)
            return rows(path, "SELECT min(number) FROM audit") == [(4,)]

        await until(swept)
        assert [each["what"] for each in await audit.rows()] == [FORGOTTEN, "login", "login"]
        verdict = await audit.verify()
        assert (verdict.rows, verdict.last, verdict.broken) == (3, 6, None)
        by_hand(path, "DELETE FROM audit WHERE number = 4")
        assert (await audit.verify()).broken == 5


async def test_no_secret_and_nothing_a_terminal_obeys_is_kept(
    audit: Audit, open_database: Callable[[], Database], path: Path
) -> None:
    async with at_work(audit, open_database()):
        audit.note(
            "login\x1b[2J",
            actor=f"mia {KEY}",
            target="line\nfeed",
            peer="\u202e203.0.113.7",
            request=f"Bearer {KEY[3:]}",
            facts={"password": "hunter2-hunter2", "deep": {"list": [f"sdi_{'b' * 28}", "\x9b31m"]}, "long": "x" * 9999},
        )
        audit.note("x" * 9999, actor="")
        (_, row) = await audit.rows()
    hidden = (KEY, KEY[3:], "hunter2", "b" * 28, "\x1b", "\n", "\u202e", "\x9b")
    assert not [text for text in hidden if text in str(row)]
    assert row["what"] == "login\\x1b[2J"
    assert len(row["facts"]["long"]) <= LONGEST
    for file in path.parent.glob("seadragon.db*"):
        assert KEY.encode() not in file.read_bytes()
        assert b"hunter2" not in file.read_bytes()


async def test_a_scanner_is_told_of_and_fills_nothing(
    audit: Audit, clock: WoundClock, open_database: Callable[[], Database]
) -> None:
    async with at_work(audit, open_database()):
        for _ in range(1000):
            audit.refused("door.refused", peer="203.0.113.7", reason="not_allowed")
        assert len(await audit.rows()) == EACH
        clock.leap(STRETCH)
        audit.refused("door.refused", peer="203.0.113.8", reason="not_allowed")
        newest, counted, *_ = await audit.rows()
    assert (newest["peer"], newest["facts"]) == ("203.0.113.8", {"reason": "not_allowed"})
    assert (counted["what"], counted["peer"], counted["facts"]) == (
        "door.refused_more",
        "203.0.113.7",
        {"count": 1000 - EACH},
    )


async def test_rows_are_found_by_who_what_and_when_and_page_by_page(
    audit: Audit, clock: WoundClock, open_database: Callable[[], Database]
) -> None:
    async with at_work(audit, open_database()):
        audit.note("key.create", actor="anna")
        audit.note("keyhole", actor="ben")
        clock.leap(60)
        audit.note("key.revoke", actor="anna")
        assert [each["what"] for each in await audit.rows(what="key.")] == ["key.revoke", "key.create"]
        assert [each["number"] for each in await audit.rows(actor="anna")] == [3, 1]
        assert [each["number"] for each in await audit.rows(clock.wall() - 30)] == [3]
        assert [each["number"] for each in await audit.rows(count=1)] == [3]
        assert [each["number"] for each in await audit.rows(before=3, count=1)] == [2]


async def test_without_a_database_notes_wait_and_questions_are_answered_in_words(
    clock: WoundClock, journal: Journal, open_database: Callable[[], Database]
) -> None:
    audit = Audit(clock, journal, AuditSettings, opening=0.01)
    audit.note("login", actor="early")
    with pytest.raises(SeadragonError, match="seadragon logs"):
        await audit.rows()
    with pytest.raises(SeadragonError, match="seadragon logs"):
        await audit.verify()
    async with at_work(audit, open_database()):
        assert [each["actor"] for each in await audit.rows()] == ["early"]


async def test_notes_of_many_tasks_make_one_chain(audit: Audit, open_database: Callable[[], Database]) -> None:
    async def busy(name: int) -> None:
        for _ in range(20):
            audit.note("login", actor=f"{name}")
            await audit.rows(count=1)

    async with at_work(audit, open_database()):
        await asyncio.gather(*map(busy, range(5)))
        verdict = await audit.verify()
    assert (verdict.rows, verdict.broken) == (100, None)
