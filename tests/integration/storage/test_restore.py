"""The drill: what was committed is there again, whatever had become of the database since."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli import main
from controller.errors import SeadragonError
from controller.machine import lock
from controller.paths import CLONE
from controller.storage.backup import FOLDER, back_up
from controller.storage.file import NAME, connect, damage, make_ours
from controller.storage.migrate import migrate, revision_of, revisions
from controller.storage.restore import restore
from tests.kit.holding import holding
from tests.kit.stored import command, mode, rows

# ruff: noqa: ASYNC240  # what a test does to the disk may well block
EVERY_TABLE = ("invites", "users", "sessions", "keys", "allowed", "resets")


def call(path: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(path.parent)])


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in it."""
    return {table: sorted(rows(path, f"SELECT * FROM {table}"), key=repr) for table in EVERY_TABLE}


async def a_full_house(path: Path) -> None:
    """Rows in every table, one of them new, changed, used up or ended."""
    async with holding(path) as holders:
        invite, token = await holders.invites.create("member", label="family", uses=9, by="operator")
        for name in ("Mia", "Ada", "Zoë"):
            user = await holders.invites.redeem(token.text, name, "a-hash")
            key = await holders.keys.create(f"{name}'s editor", by=name, user_id=user.id, models=["qwen3*"])
            await holders.sessions.start(user.id, "Firefox", "192.0.2.1")
        await holders.keys.revoke(key.id)
        await holders.resets.create(user.id, by="operator")
        await holders.addresses.add("192.0.2.7", "shed", by="operator")


@pytest.mark.parametrize("disaster", ["gone", "damaged", "crashed", "newer rows", "none"])
async def test_the_drill_loses_no_committed_row(path: Path, disaster: str) -> None:
    await a_full_house(path)
    before = content(path)
    assert all(before.values())
    made = call(path, "backup")
    assert made.exit_code == 0, made.output
    (copy,) = (path.parent / FOLDER).iterdir()
    if disaster == "gone":
        path.unlink()
    elif disaster == "damaged":
        path.write_bytes(b"\xff" * 8192)
    elif disaster == "crashed":
        _crash_while_writing(path)
    elif disaster == "newer rows":
        async with holding(path) as holders:
            await holders.keys.create("another", by="operator")
    result = call(path, "restore", str(copy))
    assert result.exit_code == 0, result.output
    assert content(path) == before
    async with holding(path) as holders:
        assert {user.name for user in holders.users.values()} == {"Mia", "Ada", "Zoë"}
        await holders.keys.create("after", by="operator")
    assert damage(path) is None
    kept = sorted(path.parent.glob(f"{NAME}.replaced-*"))
    assert bool(kept) == (disaster != "gone")
    assert all(f"kept as {file}" in result.output.replace("\n", "") for file in kept[:1])
    assert {mode(file) for file in (*path.parent.glob("*.db*"), copy)} == {0o600}
    assert {mode(path.parent), mode(copy.parent)} == {0o700}


WRITES = """
    import asyncio, sys
    from pathlib import Path
    from tests.kit.holding import holding
    async def main():
        async with holding(Path(sys.argv[1])) as holders:
            for number in range(10**6):
                await holders.keys.create(f"written {number}", by="operator")
                print("written", flush=True)
    asyncio.run(main())
"""


def _crash_while_writing(path: Path) -> None:
    writer = subprocess.Popen(command(WRITES, str(path)), stdout=subprocess.PIPE, cwd=CLONE)
    assert writer.stdout is not None
    with writer.stdout:
        for _ in range(3):
            assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait(60)
    assert Path(f"{path}-wal").exists()


async def test_what_was_replaced_holds_all_it_held_also_what_a_crash_had_left_in_its_log(path: Path) -> None:
    await a_full_house(path)
    back_up(path, path.with_name("copy.db"))
    _crash_while_writing(path)
    kept = restore(path.with_name("copy.db"), path, 0.0)
    assert kept is not None
    assert len(rows(kept, "SELECT id FROM keys WHERE name LIKE 'written%'")) >= 3
    assert not rows(path, "SELECT id FROM keys WHERE name LIKE 'written%'")


async def test_a_copy_made_while_keys_are_made_has_each_that_was_answered_before(path: Path) -> None:
    async with holding(path) as holders:
        making = asyncio.create_task(asyncio.to_thread(back_up, path, path.with_name("copy.db")))
        answered = [(await holders.keys.create("early", by="operator")).id]
        await making
        back_up(path, path.with_name("later.db"))
        await holders.keys.create("late", by="operator")
    assert rows(path.with_name("later.db"), "SELECT id FROM keys") == [(id,) for id in answered]
    assert damage(path.with_name("copy.db")) is None


@pytest.mark.parametrize("wrong", ["missing", "no database", "spoilt", "another's", "newer", "in use", "stray"])
def test_what_is_no_good_copy_changes_nothing(path: Path, tmp_path: Path, wrong: str) -> None:
    make_ours(path)
    migrate(path, lambda: 0.0)
    copy = tmp_path / "copy.db"
    words = {
        "missing": "no such file",
        "no database": "not a database that can be read",
        "spoilt": "damaged|cannot be read",
        "another's": "not a database of Seadragon's",
        "newer": "of a newer Seadragon",
        "in use": "is in use, or was left by a crash",
        "stray": "rows of sessions belong to nobody",
    }
    if wrong != "missing":
        back_up(path, copy)
    changes = {
        "another's": "DROP TABLE alembic_version",
        "newer": "UPDATE alembic_version SET version_num = 'r9999'",
        "stray": "INSERT INTO sessions VALUES ('s', 'nobody', '', 0, '', 0, 0, 0, '')",
    }
    if wrong in changes:
        with contextlib.closing(connect(copy, ["foreign_keys=OFF"])) as connection:
            connection.execute(changes[wrong])
    if wrong == "no database":
        copy.write_text("dear diary " * 500)
    elif wrong == "spoilt":
        with copy.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 2000)
    elif wrong == "in use":
        Path(f"{copy}-wal").touch()
    before, names = path.read_bytes(), sorted(file.name for file in path.parent.iterdir())
    with pytest.raises(SeadragonError, match=words[wrong]):
        restore(copy, path, 0.0)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == names


def test_a_copy_of_an_older_seadragon_is_brought_up_to_date_at_the_next_start(path: Path, tmp_path: Path) -> None:
    from controller.storage import migrate as migrate_module

    make_ours(tmp_path / "old.db")
    migrate_module.upgrade(tmp_path / "old.db", "r0001", migrate_module.MIGRATIONS)
    make_ours(path)
    assert restore(tmp_path / "old.db", path, 0.0) is not None
    assert revision_of(path) == "r0001"
    migrate(path, lambda: 0.0)
    assert revision_of(path) == revisions()[-1]


def test_a_copy_that_cannot_be_written_to_is_good_enough(path: Path, tmp_path: Path) -> None:
    make_ours(path)
    migrate(path, lambda: 0.0)
    stick = tmp_path / "stick"
    stick.mkdir()
    back_up(path, stick / "copy.db")
    (stick / "copy.db").chmod(0o444)
    stick.chmod(0o555)
    restore(stick / "copy.db", path, 0.0)
    stick.chmod(0o755)
    assert os.listdir(stick) == ["copy.db"]
    assert mode(path) == 0o600


def test_while_a_controller_runs_nothing_is_put_back_and_it_says_how(path: Path) -> None:
    make_ours(path)
    migrate(path, lambda: 0.0)
    back_up(path, path.with_name("copy.db"))
    before = path.read_bytes()
    holder = [sys.executable, "-c", _HOLD, str(path.parent)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CLONE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        result = call(path, "restore", str(path.with_name("copy.db")))
        assert result.exit_code == 1
        assert "seadragon down" in result.output
        assert path.read_bytes() == before
        other.communicate(b"", timeout=60)
    with lock.held(path.parent, time.time()):
        pass
    assert call(path, "restore", str(path.with_name("copy.db"))).exit_code == 0


_HOLD = """
import sys
from pathlib import Path
from controller.machine import lock
with lock.held(Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_backup_writes_where_it_is_told_touches_no_mode_and_replaces_nothing(path: Path, tmp_path: Path) -> None:
    assert "no database in" in call(path, "backup").output
    make_ours(path)
    migrate(path, lambda: 0.0)
    stick = tmp_path / "stick"
    stick.mkdir()
    stick.chmod(0o755)
    result = call(path, "backup", str(stick / "house.db"))
    assert (result.exit_code, mode(stick), mode(stick / "house.db")) == (0, 0o755, 0o600)
    assert str(stick / "house.db") in result.output.replace("\n", "")
    before = (stick / "house.db").read_bytes()
    again = call(path, "backup", str(stick / "house.db"))
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert (stick / "house.db").read_bytes() == before


def test_on_a_new_machine_a_copy_is_all_it_takes(path: Path, tmp_path: Path) -> None:
    old = tmp_path / "old" / NAME
    make_ours(old)
    migrate(old, lambda: 0.0)
    back_up(old, tmp_path / "copy.db")
    shutil.rmtree(old.parent)
    result = call(path, "restore", str(tmp_path / "copy.db"))
    assert result.exit_code == 0, result.output
    assert "kept as" not in result.output
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert revision_of(path) == revisions()[-1]
