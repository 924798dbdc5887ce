"""The door's parts together, over a real database and real files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from controller.auth import signing
from controller.auth.sessions import sign
from controller.clock import SystemClock
from controller.config.schema import Config
from controller.desk import OPERATOR
from controller.doorroom import DoorRoom
from controller.errors import SeadragonError
from controller.events import Journal
from tests.kit.stored import rows
from tests.kit.until import until


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[DoorRoom]:
    clock = SystemClock()
    made = DoorRoom(tmp_path, clock, Journal(clock), Config)
    running = asyncio.create_task(made.run())
    await made.holders.ledger.known.wait()
    assert made.holders.ledger.why == ""
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_new_signing_key_leaves_people_signed_in_and_a_second_one_does_not(
    door: DoorRoom, tmp_path: Path
) -> None:
    user = await door.holders.users.create("mia", "member", by="tests")
    session = await door.holders.sessions.start(user.id, "a browser", "", lasts=3600)
    before = door.signin.keys
    token = door.signin.token(session)
    assert await door.office.order("users.rotate_keys", OPERATOR) == {"rotated": True}
    assert door.signin.keys.current != before.current
    assert door.signin.keys == signing.load(tmp_path), "the next controller knows them, too"
    assert door.signin.person(token, "") is not None
    renewed = door.signin.token(session)
    await door.office.order("users.rotate_keys", OPERATOR)
    assert door.signin.person(token, "") is None
    assert door.signin.person(renewed, "") is not None
    stolen = sign(session.id, user.id, session.started_at, session.expires_at, before)
    assert door.signin.person(stolen, "") is None, "an old key signs for nobody"


async def test_a_copy_by_hand_is_made_also_of_a_database_that_was_just_deleted(door: DoorRoom, tmp_path: Path) -> None:
    await door.holders.users.create("mia", "member", by="tests")
    (tmp_path / "seadragon.db").unlink()
    made = await door.back_up()
    assert made.parent == tmp_path / "backups"
    assert rows(made, "SELECT name FROM users") == [("mia",)]
    assert (tmp_path / "seadragon.db").exists()
    with pytest.raises(SeadragonError, match="is there already"):
        await door.back_up(made)


async def test_the_keys_of_sessions_are_written_anew_when_they_were_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.doorroom.LOOK", 0.01)
    clock = SystemClock()
    made = DoorRoom(tmp_path, clock, Journal(clock), Config)
    running = asyncio.create_task(made.run())
    await made.holders.ledger.known.wait()
    shutil.rmtree(tmp_path / "secrets")
    await until(lambda: (tmp_path / "secrets" / signing.NAME).exists())
    assert signing.load(tmp_path) == made.signin.keys
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_rotations_at_once_end_with_what_is_on_the_disk(door: DoorRoom, tmp_path: Path) -> None:
    await asyncio.gather(*(door.office.order("users.rotate_keys", OPERATOR) for _ in range(4)))
    assert door.signin.keys == signing.load(tmp_path)


async def test_a_rotation_is_in_the_audit_and_one_that_failed_too(door: DoorRoom, tmp_path: Path) -> None:
    await door.office.order("users.rotate_keys", OPERATOR)
    (tmp_path / "secrets" / signing.NAME).chmod(0o644)
    with pytest.raises(Exception, match="readable by nobody else"):
        await door.office.order("users.rotate_keys", OPERATOR)
    rows = await door.audit.rows(what="users.rotate_keys")
    assert [(row["actor"], row["target"], row["outcome"]) for row in reversed(rows)] == [
        ("operator", "keys of sessions", "done"),
        ("operator", "", "failed"),
    ]
