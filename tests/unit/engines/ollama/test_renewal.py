"""When a renewed Ollama takes over: told by facts and moments alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engines.ollama.renewal import (
    AWAY,
    IDLE,
    SETTLED,
    Act,
    Disk,
    Found,
    Notice,
    Renewal,
    Takeover,
    Trial,
    Try,
    Wish,
    going_back,
)

SAME = Found()
NEW = Found("another", "/opt/ollama", "new")
NEWER = Found("another", "/opt/ollama", "newer")
GONE = Found("gone", "/opt/ollama")
GOOD, BAD = Trial("0.33.0"), Trial(fault="it left with exit code 1")


@dataclass
class House:
    """One Ollama, looked at every two seconds."""

    renewal: Renewal = field(default_factory=Renewal)
    now: float = 1000.0
    found: Found = SAME
    trial: Trial = GOOD
    busy: bool = False
    wish: Wish = "when_idle"
    acts: list[Act] = field(default_factory=list)

    def pass_(self, seconds: float) -> list[Act]:
        """What came of so many seconds."""
        before = len(self.acts)
        for _ in range(int(seconds / 2)):
            self.now += 2
            disk = Disk(self.found, "0.32.0", "take the old one.")
            act = self.renewal.look(disk, busy=self.busy, wish=self.wish, now=self.now)
            if act is not None:
                self.acts.append(act)
            if isinstance(act, Try):
                self.renewal.tried(self.found, self.trial)
        return self.acts[before:]

    def said(self) -> list[str]:
        return [act.text for act in self.acts if isinstance(act, Notice)]

    def restarts(self) -> int:
        return sum(isinstance(act, Takeover) for act in self.acts)


def test_nothing_comes_of_a_disk_on_which_nothing_changes() -> None:
    assert House().pass_(3600) == []


def test_another_program_is_tried_told_and_takes_over() -> None:
    house = House(found=NEW)
    tried, told, restart = house.pass_(SETTLED + 8)
    assert tried == Try("/opt/ollama")
    assert isinstance(told, Notice)
    assert "/opt/ollama on the disk is Ollama 0.33.0 now, and 0.32.0 runs." in told.text
    assert isinstance(restart, Takeover)
    house.found = SAME
    assert house.pass_(3600) == []


def test_what_an_installer_is_still_writing_is_left_alone() -> None:
    house = House()
    for number in range(100):
        house.found = Found("another", "/opt/ollama", number)
        assert house.pass_(SETTLED - 2) == []
    house.pass_(SETTLED + 8)
    assert house.restarts() == 1


def test_nobody_is_interrupted_and_a_minute_is_left_to_whoever_reads() -> None:
    house = House(found=NEW, busy=True)
    house.pass_(7200)
    assert (house.restarts(), len(house.said())) == (0, 1)
    house.busy = False
    house.pass_(IDLE - 4)
    assert house.restarts() == 0
    house.pass_(8)
    assert house.restarts() == 1


def test_one_that_cannot_be_used_is_told_with_the_way_back_and_never_started() -> None:
    house = House(found=NEW, trial=BAD)
    house.pass_(7200)
    assert house.restarts() == 0
    [words] = house.said()
    assert (
        "cannot be used (it left with exit code 1), so Ollama 0.32.0 goes on. Mend it, or go back: take the old"
        in words
    )
    house.found, house.trial = NEWER, GOOD
    house.pass_(SETTLED + 8)
    assert house.restarts() == 1


def test_never_is_told_and_a_change_of_the_setting_is_taken_over() -> None:
    house = House(found=NEW, wish="never")
    house.pass_(7200)
    assert house.restarts() == 0
    [words] = house.said()
    assert words.endswith("It takes over with: seadragon restart ollama")
    house.wish = "when_idle"
    house.pass_(4)
    assert house.restarts() == 1


def test_one_that_is_away_for_a_moment_is_not_worth_a_word_and_one_that_stays_away_is_told_once() -> None:
    house = House(found=GONE)
    house.pass_(AWAY - 2)
    house.found = SAME
    assert house.pass_(60) == []
    house.found = GONE
    house.pass_(7200)
    [words] = house.said()
    assert words.startswith("/opt/ollama is gone from the disk. Ollama 0.32.0 goes on without it")


def test_a_restart_of_which_nothing_came_is_tried_again_after_a_while_only() -> None:
    house = House(found=NEW)
    house.pass_(600)
    assert 1 < house.restarts() <= 600 / IDLE


def test_what_was_tried_counts_for_that_very_program_alone() -> None:
    renewal = Renewal()
    for moment in (0.0, 20.0):
        act = renewal.look(Disk(NEW), busy=False, wish="when_idle", now=moment)
    assert act == Try("/opt/ollama")
    renewal.look(Disk(NEWER), busy=False, wish="when_idle", now=22.0)  # it changed while it was tried
    renewal.tried(NEW, GOOD)
    assert renewal.look(Disk(NEWER), busy=False, wish="when_idle", now=60.0) == Try("/opt/ollama")


@given(st.lists(st.tuples(st.sampled_from([SAME, NEW, NEWER, GONE]), st.booleans(), st.sampled_from([GOOD, BAD]))))
def test_whatever_happens_nobody_is_interrupted_and_nothing_untried_or_broken_takes_over(
    story: list[tuple[Found, bool, Trial]],
) -> None:
    house, since = House(), 1000.0
    for found, busy, trial in story:
        if found != house.found:
            since = house.now
        house.found, house.busy, house.trial = found, busy, trial
        for act in house.pass_(12):
            if isinstance(act, Takeover):
                assert not busy
                assert found.state == "another"
                assert house.now - since >= SETTLED
                tried = [each for each in house.acts if isinstance(each, Try)]
                assert tried


@pytest.mark.parametrize(
    ("there", "words"), [(True, "name it in server.yaml, ollama.binary"), (False, "ollama/releases/tag/v0.32.0")]
)
def test_the_way_back_names_the_old_one(there: bool, words: str) -> None:
    told = going_back("0.32.0", "/opt/old/ollama", there=there)
    assert words in told
    assert ("/opt/old/ollama" in told) is there
