"""A refusal survives its store: on a real database and a real file, each of which may be lost."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.auth.access import Principal
from controller.auth.barred import read
from controller.auth.credentials import Offered
from controller.auth.holders import Holders
from controller.auth.keyring import Keyring
from controller.config.entry import Access, Allowed
from controller.errors import SeadragonError
from controller.events import Journal
from controller.storage import barred as barred_file
from controller.storage.barred import BarredFile
from controller.storage.database import Database
from controller.storage.file import BESIDE, NAME, connect
from tests.fakes.clock import WoundClock
from tests.kit.holding import holding
from tests.kit.stored import mode, rows, told

HASH = "$2b$04$notreallyahash"
IN, OUT = "192.168.1.20", "192.168.1.66"
HOME = Access(allow=(Allowed(label="home", addresses=("192.168.1.0/24",)),))


@dataclass
class House:
    """Where the home is let in, and one machine of it kept out."""

    folder: Path
    clock: WoundClock
    journal: Journal

    @property
    def path(self) -> Path:
        return self.folder / NAME

    @property
    def file(self) -> Path:
        return self.folder / barred_file.NAME

    @contextlib.asynccontextmanager
    async def open(self, database: Database | None = None) -> AsyncIterator[tuple[Holders, Keyring]]:
        """A start of the controller."""
        async with holding(self.path, self.clock, self.journal, database, access=lambda: HOME) as holders:
            keyring = Keyring(holders)
            keyring.use(HOME)
            holders.ledger.changed.append(lambda what, id: keyring.changed())
            yield holders, keyring

    def lets(self, keyring: Keyring) -> tuple[bool, bool]:
        """Whether who is let in is, and who is kept out."""
        seen = [keyring.at(address, self.clock.wall()) for address in (IN, OUT)]
        return seen[0].who is not None, seen[1].who is not None

    def lose(self) -> None:
        for suffix in ("", *BESIDE):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def damage(self) -> None:
        self.lose()
        self.path.write_bytes(b"no database " * 1000)
        self.path.chmod(0o600)


@pytest.fixture
async def house(tmp_path: Path) -> House:
    clock = WoundClock()
    made = House(tmp_path / "data", clock, Journal(clock))
    async with made.open() as (holders, _):
        await holders.addresses.add(OUT, "not him", by="operator", verdict="deny")
    return made


def unreadable(house: House) -> Database:
    """One that is there, and cannot be opened."""
    house.path.chmod(0o644)  # others could read it: it is refused
    return Database(house.path, house.clock, house.journal)


async def test_the_file_is_ours_alone_and_whole(house: House) -> None:
    assert mode(house.file) == 0o600
    assert [each.cidr for each in read(house.file.read_bytes()).denied.values()] == [OUT]
    assert [each.name for each in house.folder.iterdir() if each.name.startswith(".barred")] == []


@pytest.mark.parametrize("how", ["unreadable", "damaged", "gone"])
async def test_who_is_kept_out_is_so_without_the_database(house: House, how: str) -> None:
    if how == "gone":
        house.lose()
    if how == "damaged":
        house.damage()
    async with house.open(unreadable(house) if how == "unreadable" else None) as (holders, keyring):
        assert house.lets(keyring) == (True, False)
        assert holders.addresses_off == ""


@pytest.mark.parametrize(("file", "back"), [("missing", False), ("broken", False), ("missing", True)])
async def test_with_neither_of_them_no_address_lets_anybody_in_until_the_operator_says_so(
    house: House, file: str, back: bool
) -> None:
    house.file.unlink() if file == "missing" else house.file.write_bytes(b"{")
    async with house.open(unreadable(house)) as (holders, keyring):
        assert house.lets(keyring) == (False, False)
        assert keyring.addresses_off.startswith("Neither the database nor barred.json can be read")
        assert "seadragon allow reopen" in told(house.journal)[-1]
        assert keyring.stands(Principal("anonymous", kind="anonymous"), "", 0.0) != Principal(
            "anonymous", kind="anonymous"
        )
        if not back:
            await holders.ledger.reopen()
            assert (keyring.addresses_off, house.lets(keyring)) == ("", (True, True))
            return
    house.path.chmod(0o600)
    async with house.open() as (_, keyring):
        assert (keyring.addresses_off, house.lets(keyring)) == ("", (True, False)), "the database knows"


@pytest.mark.parametrize("file", ["missing", "broken"])
async def test_a_database_that_was_set_aside_does_not_open_the_door_and_neither_does_a_restart(
    house: House, file: str
) -> None:
    house.damage()
    house.file.unlink() if file == "missing" else house.file.write_bytes(b"{")
    for _ in range(2):
        async with house.open() as (holders, keyring):
            assert house.lets(keyring) == (False, False)
            assert "The database was damaged, and barred.json cannot be read" in holders.addresses_off
    async with house.open() as (holders, keyring):
        await holders.ledger.reopen()
        assert house.lets(keyring) == (True, True)
    async with house.open() as (holders, keyring):
        assert house.lets(keyring) == (True, True)


async def test_a_first_start_needs_no_leave(tmp_path: Path) -> None:
    clock = WoundClock()
    fresh = House(tmp_path / "new", clock, Journal(clock))
    async with fresh.open() as (_, keyring):
        assert fresh.lets(keyring) == (True, True)
    assert fresh.file.exists()


async def test_a_file_that_others_could_have_written_is_not_believed(house: House) -> None:
    house.file.chmod(0o644)
    async with house.open() as (_, keyring):
        assert house.lets(keyring) == (True, False)
    assert mode(house.file) == 0o600


async def test_what_was_taken_back_after_a_copy_stays_so_when_the_copy_is_put_back(house: House) -> None:
    async with house.open() as (holders, _):
        key = await holders.keys.create("leaked", by="operator", scopes=("admin",))
        given = await holders.keys.create("given", by="leaked", giver=f"key:{key.id}")
        mia = await holders.users.create("Mia", "member", by="operator", password=HASH)
        tom = await holders.users.create("Tom", "member", by="operator", password=HASH)
        await holders.sessions.start(mia.id, "Firefox", "192.0.2.1")
        invite, token = await holders.invites.create("admin", label="x", by="operator")
    for suffix in ("", *BESIDE):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(f"{house.path}{suffix}", f"{house.path}.copy{suffix}")
    async with house.open() as (holders, _):
        await holders.keys.revoke(key.id)
        await holders.users.disable(mia.id)
        await holders.users.delete(tom.id)
        await holders.invites.revoke(invite.id)
        await holders.addresses.add("203.0.113.7", "nor her", by="operator", verdict="deny")
    house.lose()
    shutil.copy(f"{house.path}.copy", house.path)
    async with house.open() as (holders, keyring):
        for text in (key.text, given.text):
            assert not isinstance(keyring.look(Offered((text,)), IN, house.clock.wall()), Principal)
        assert holders.users[mia.id].disabled
        assert holders.users[tom.id].disabled, "who was deleted is back, and shut out"
        assert not holders.sessions.of(mia.id)
        assert holders.invites.good(token.text) is None
        assert keyring.at("203.0.113.7", house.clock.wall()).denied
        assert "older than the last refusals" in " ".join(told(house.journal))
        await holders.users.enable(tom.id)
    assert rows(house.path, "SELECT count(*) FROM keys WHERE revoked_at IS NULL") == [(0,)]
    async with house.open() as (holders, _):
        assert not holders.users[tom.id].disabled, "the operator has said so"
        assert holders.users[mia.id].disabled


async def test_an_end_of_a_refusal_is_in_the_file_too(house: House) -> None:
    async with house.open() as (holders, _):
        mia = await holders.users.create("Mia", "member", by="operator")
        await holders.users.disable(mia.id)
        assert read(house.file.read_bytes()).people == {mia.id}
        await holders.users.enable(mia.id)
        for id in [*holders.addresses]:
            await holders.addresses.remove(id)
    assert read(house.file.read_bytes()).people == frozenset()
    async with house.open() as (_, keyring):
        assert house.lets(keyring) == (True, True)


async def test_the_file_is_written_before_the_database_and_taken_back_with_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.open() as (holders, _):
        key = await holders.keys.create("editor", by="operator")
        stages: list[tuple[bool, list[tuple[object, ...]]]] = []
        write = BarredFile.write

        def watched(self: BarredFile, what: object) -> None:
            write(self, what)  # type: ignore[arg-type]  # as it came
            kept = rows(house.path, "SELECT revoked_at IS NOT NULL FROM keys")
            stages.append((key.id in read(house.file.read_bytes()).keys, kept))

        monkeypatch.setattr(BarredFile, "write", watched)
        connection = connect(house.path)
        connection.execute("CREATE TRIGGER stuck BEFORE UPDATE ON keys BEGIN SELECT RAISE(ABORT, 'stuck'); END")
        with pytest.raises(SeadragonError):
            await holders.keys.revoke(key.id)
        assert key.id not in read(house.file.read_bytes()).keys
        connection.execute("DROP TRIGGER stuck")
        connection.close()
        stages.clear()
        await holders.keys.revoke(key.id)
        assert stages == [(True, [(0,)])]


async def test_a_disk_that_takes_no_file_keeps_nobody_from_taking_a_right_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: BarredFile, what: object) -> None:
        raise SeadragonError("barred.json cannot be written: No space left on device.")

    async with house.open() as (holders, _):
        key = await holders.keys.create("editor", by="operator")
        write = BarredFile.write
        monkeypatch.setattr(BarredFile, "write", full)
        assert (await holders.keys.revoke(key.id)).revoked_at is not None
        assert "No space left" in holders.barring.trouble
        monkeypatch.setattr(BarredFile, "write", write)
        await house.clock.wind(20)
        while holders.barring.trouble:
            await house.clock.wind(20)
    assert key.id in read(house.file.read_bytes()).keys


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"x"), lambda file: os.truncate(file, 9)])
async def test_a_file_that_is_damaged_is_told_and_written_anew_from_the_database(
    house: House, spoil: Callable[[Path], object]
) -> None:
    spoil(house.file)
    async with house.open() as (_, keyring):
        assert house.lets(keyring) == (True, False)
    assert "is damaged" in " ".join(told(house.journal))
    assert len(read(house.file.read_bytes()).denied) == 1
