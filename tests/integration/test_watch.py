"""A save takes effect, or is told and changes nothing. Real files, the system's own notice of changes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from controller.clock import SystemClock
from controller.config.change import Change
from controller.config.last_good import load_last_good
from controller.config.load import load
from controller.config.problem import ConfigInvalid
from controller.config.schema import Config
from controller.config.start import LastGood, StartPlan, how_to_start
from controller.config.watch import Watch
from controller.errors import NotApplied
from controller.events import Event, Journal

PATIENCE = 20.0  # seconds; how long a loaded machine may take for what takes milliseconds


@dataclass
class House:
    """A folder of YAML, a watch on it, and what the watch did."""

    folder: Path
    data: Path
    journal: Journal
    watch: Watch
    applied: list[tuple[Config, Config, Change]] = field(default_factory=list)
    failing: bool = False

    async def apply(self, old: Config, new: Config, change: Change) -> None:
        if self.failing:
            raise OSError("the port is taken")
        self.applied.append((old, new, change))

    async def until(self, true: Callable[[], object]) -> None:
        """Look again at each event of the journal, until it is so."""
        async with asyncio.timeout(PATIENCE):
            with self.journal.subscribe() as events:
                while not true():
                    await events.get()

    def save(self, text: str, name: str = "server.yaml") -> None:
        """As careful editors do: a new file, renamed over the old one."""
        beside = self.folder / f".{name}.new"
        beside.write_text(text)
        beside.replace(self.folder / name)

    def errors(self) -> list[Event]:
        return [event for event in self.journal.last(500) if event.level == "error"]


@asynccontextmanager
async def living(
    folder: Path, data: Path, *, start: StartPlan | None = None, poll: float = 5.0
) -> AsyncIterator[House]:
    journal = Journal(SystemClock())
    houses: list[House] = []

    async def apply(old: Config, new: Config, change: Change) -> None:
        await houses[0].apply(old, new, change)

    watch = Watch(
        folder,
        start or how_to_start(load(folder, {}), None, attended=False),
        data=data,
        apply=apply,
        journal=journal,
        clock=SystemClock(),
        environment={},
        poll=poll,
    )
    houses.append(House(folder, data, journal, watch))
    running = asyncio.create_task(watch.run())
    try:
        yield houses[0]
        assert not running.done() or running.result() is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the three files, as set-up leaves it."""
    made = tmp_path / "config"
    made.mkdir()
    for name in ("server.yaml", "models.yaml", "access.yaml"):
        (made / name).write_text("# as shipped\n")
    (made / "server.yaml").write_text("hold: 5s\n")
    return made


@pytest.fixture
async def house(folder: Path, tmp_path: Path) -> AsyncIterator[House]:
    async with living(folder, tmp_path) as made:
        yield made


async def test_a_save_takes_effect_and_says_what_changed(house: House) -> None:
    house.save("hold: 6s\n")
    await house.until(lambda: house.watch.running.server.hold == 6)
    (old, new, change) = house.applied[0]
    assert (old.server.hold, new.server.hold, change.at_once) == (5, 6, ("server.hold",))
    assert house.journal.last(1)[0].text == "Reloaded: server.hold 5 s → 6 s takes effect at once."


async def test_a_save_in_place_takes_effect(house: House) -> None:
    (house.folder / "models.yaml").write_text("parallel: 4\n")
    await house.until(lambda: house.watch.running.models.parallel == 4)


async def test_a_save_that_changes_only_a_comment_applies_nothing(house: House) -> None:
    house.save("hold: 5s  # seconds\n")
    assert await house.watch.reload_now() == []
    house.save("hold: 7s\n")
    await house.until(lambda: house.watch.running.server.hold == 7)
    assert len(house.applied) == 1


def instead(file: Path, target: str | None) -> None:
    """Put a link, or without a target a folder, in the place of a file."""
    file.unlink()
    if target is None:
        file.mkdir()
    else:
        file.symlink_to(target)


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "broken in the middle of an edit": lambda file: file.write_text("hold: [5s\n"),
    "a value nobody allows": lambda file: file.write_text("hold: soon\n"),
    "truncated": lambda file: os.truncate(file, 4),
    "emptied": lambda file: os.truncate(file, 0),
    "deleted": lambda file: file.unlink(),
    "zeroes after a power cut": lambda file: file.write_bytes(b"\0" * 9),
    "a link to nowhere": lambda file: instead(file, "nowhere.yaml"),
    "a link to itself": lambda file: instead(file, file.name),
    "a folder in its place": lambda file: instead(file, None),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_a_broken_file_is_told_within_a_second_or_so_and_changes_nothing(house: House, breakage: str) -> None:
    running = house.watch.running
    BREAKAGES[breakage](house.folder / "server.yaml")
    await house.until(lambda: house.watch.problems)
    assert house.watch.running is running
    assert not house.applied
    (event,) = house.errors()
    assert event.facts["problems"] == list(house.watch.problems)
    assert f"{house.folder}/server.yaml:" in event.text
    kept = load_last_good(house.data, house.folder, {})
    assert kept is not None
    assert kept.loaded.config == running


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_a_broken_file_that_is_put_right_is_what_runs_again(house: House, breakage: str) -> None:
    file = house.folder / "server.yaml"
    BREAKAGES[breakage](file)
    await house.until(lambda: house.watch.problems)
    if file.is_dir():
        file.rmdir()
    house.save("hold: 5s\n")
    await house.until(lambda: not house.watch.problems)
    assert house.journal.last(1)[0].text == "The YAML is good again, and is what runs."
    assert not house.applied


async def test_the_same_mistake_is_said_once_however_often_it_is_read(house: House) -> None:
    house.save("hold: soon\n")
    await house.until(lambda: house.watch.problems)
    for _ in range(3):
        with pytest.raises(ConfigInvalid):
            await house.watch.reload_now()
    assert len(house.errors()) == 1


async def test_a_file_cut_off_at_any_byte_loses_whole_lines_or_changes_nothing(house: House) -> None:
    """Half a word may be a good word: `hold: 60s` cut off after the 6, or a listener's port after its first digit."""
    whole = "listeners:\n- address: 127.0.0.1:8420\nlog: {level: debug}\nhold: 65s\n"
    for length in range(0, len(whole), 3):
        house.save(whole)
        await house.watch.reload_now()
        running = house.watch.running
        house.save(whole[:length])
        if whole[:length].endswith("\n"):
            await house.watch.reload_now()
        else:
            with pytest.raises(ConfigInvalid):
                await house.watch.reload_now()
            assert house.watch.running is running


async def test_a_swapped_link_takes_effect(folder: Path, tmp_path: Path) -> None:
    for hold in (6, 7):
        (tmp_path / f"{hold}.yaml").write_text(f"hold: {hold}s\n")
    (folder / "server.yaml").unlink()
    (folder / "server.yaml").symlink_to(tmp_path / "6.yaml")
    async with living(folder, tmp_path) as house:
        assert house.watch.running.server.hold == 6
        (folder / "next").symlink_to(tmp_path / "7.yaml")
        (folder / "next").replace(folder / "server.yaml")
        await house.until(lambda: house.watch.running.server.hold == 7)
        (tmp_path / "7.yaml").write_text("hold: 8s\n")  # what the link leads to now is watched as well
        await house.until(lambda: house.watch.running.server.hold == 8)


async def test_a_folder_that_is_a_link_may_be_swapped(tmp_path: Path) -> None:
    for hold in (6, 7):
        (tmp_path / f"release-{hold}").mkdir()
        (tmp_path / f"release-{hold}" / "server.yaml").write_text(f"hold: {hold}s\n")
    (tmp_path / "config").symlink_to("release-6")
    async with living(tmp_path / "config", tmp_path / "data") as house:
        (tmp_path / "next").symlink_to("release-7")
        (tmp_path / "next").replace(tmp_path / "config")
        await house.until(lambda: house.watch.running.server.hold == 7)
        house.save("hold: 8s\n")
        await house.until(lambda: house.watch.running.server.hold == 8)


async def test_a_folder_that_is_replaced_is_followed(folder: Path, tmp_path: Path) -> None:
    async with living(folder, tmp_path, poll=0.05) as house:
        os.rename(folder, tmp_path / "away")
        await house.until(lambda: house.watch.problems)
        os.mkdir(folder)
        for name in ("models.yaml", "access.yaml"):
            house.save("# as shipped\n", name)
        house.save("hold: 9s\n")
        await house.until(lambda: house.watch.running.server.hold == 9)


async def refusing(*_: object, **__: object) -> AsyncIterator[object]:
    raise OSError("no inotify watches left")
    yield None


async def deaf(*_: object, **__: object) -> AsyncIterator[object]:
    await asyncio.Event().wait()
    yield None


@pytest.mark.parametrize("system", [refusing, deaf])
async def test_a_save_is_noticed_when_the_system_tells_of_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: Callable[..., AsyncIterator[object]]
) -> None:
    monkeypatch.setattr("controller.config.watch.awatch", system)
    async with living(folder, tmp_path, poll=0.05) as house:
        house.save("hold: 6s\n")
        await house.until(lambda: house.watch.running.server.hold == 6)
        house.save("hold: 7s\n")
        await house.until(lambda: house.watch.running.server.hold == 7)


async def test_what_is_missing_outside_of_the_yaml_heals_without_another_save(folder: Path, tmp_path: Path) -> None:
    async with living(folder, tmp_path, poll=0.05) as house:
        house.save(f"children: {{x: {{command: [sleep, '9'], folder: {tmp_path}/disk}}}}\n")
        await house.until(lambda: house.watch.problems)
        (tmp_path / "disk").mkdir()
        await house.until(lambda: "x" in house.watch.running.server.children)
        assert not house.watch.problems


async def test_a_secret_that_changes_is_a_change(folder: Path, tmp_path: Path) -> None:
    secret = folder / "token"
    secret.touch(mode=0o600)
    secret.write_text("first-secret\n")
    (folder / "server.yaml").write_text("ollama: {environment: {TOKEN: {file: token}}}\n")
    async with living(folder, tmp_path) as house:
        assert house.watch.running.server.ollama.environment == {"TOKEN": "first-secret"}
        secret.write_text("second-secret\n")
        await house.until(lambda: house.watch.running.server.ollama.environment == {"TOKEN": "second-secret"})
        assert house.applied[0][2].drains == {"ollama": ("server.ollama.environment",)}
        said = "".join(event.text for event in house.journal.last(500))
        assert "-secret" not in said


async def test_when_a_change_cannot_be_put_to_work_the_old_configuration_runs_on_and_it_is_said(house: House) -> None:
    house.failing = True
    house.save("hold: 6s\n")
    await house.until(lambda: house.watch.problems)
    assert house.watch.running.server.hold == 5
    assert "could not be put to work: the port is taken" in house.errors()[0].text
    with pytest.raises(NotApplied, match="the port is taken"):
        await house.watch.reload_now()
    house.failing = False
    await house.watch.reload_now()
    assert not house.watch.problems
    assert house.watch.running.server.hold == 6


async def test_a_warning_is_said_once_when_it_is_new(house: House) -> None:
    house.save("ollama: {url: 'http://h:1'}\n")
    await house.until(lambda: bool(house.applied))
    house.save("ollama: {url: 'http://h:1'}\nhold: 3s\n")
    await house.until(lambda: house.watch.running.server.hold == 3)
    warnings = [event.text for event in house.journal.last(500) if event.level == "warning"]
    assert warnings == ["server.ollama.url has no effect with mode: spawn; it is for adopt and external."]


@pytest.mark.parametrize("kept", [True, False])
async def test_after_a_start_without_the_yaml_the_first_good_save_is_applied(
    folder: Path, tmp_path: Path, kept: bool
) -> None:
    """Also when it equals what runs: safe mode has to be left, and an older copy is no longer older."""
    good = load(folder, {})
    (folder / "server.yaml").write_text("hold: soon\n")
    with pytest.raises(ConfigInvalid) as caught:
        load(folder, {})
    start = how_to_start(caught.value.problems, LastGood(good, 0.0) if kept else None, attended=False)
    async with living(folder, tmp_path, start=start) as house:
        assert house.watch.problems
        house.save("hold: 5s\n" if kept else "hold: 60s\n")
        await house.until(lambda: not house.watch.problems)
        ((old, new, change),) = house.applied
        assert old == new
        assert not change


async def test_ten_thousand_saves_end_in_the_last_one_and_leak_nothing(house: House) -> None:
    house.save("hold: 4s\n")
    await house.until(lambda: house.watch.running.server.hold == 4)
    applied, threads, files, tasks, memory = len(house.applied), *footprint()
    for number in range(10_000):
        house.save(f"hold: {1 + number % 2}s\n")
        if number % 100 == 0:
            await asyncio.sleep(0)
    house.save("hold: 3s\n")
    await house.until(lambda: house.watch.running.server.hold == 3)
    assert len(house.applied) - applied < 500
    assert not house.errors()
    assert {field for _, _, change in house.applied for field in change.at_once} == {"server.hold"}
    assert all(not change.drains and not change.restarts for _, _, change in house.applied)
    after = footprint()
    assert after[0] <= threads + 2  # of the pool that reads files
    assert after[1] <= files + 2  # of a reading that is going on
    assert after[2] == tasks
    assert after[3] - memory <= 5 * 2**20


def footprint() -> tuple[int, int, int, int]:
    """Threads, open files, tasks, and resident bytes."""
    process = psutil.Process()
    return process.num_threads(), process.num_fds(), len(asyncio.all_tasks()), process.memory_info().rss
