from __future__ import annotations

from contextlib import ExitStack

import pytest

from controller.answering.forwards import SHARE, Forwards


def test_each_caller_has_a_share_and_an_end_gives_a_place_back() -> None:
    forwards = Forwards()
    with ExitStack() as stack:
        assert all(stack.enter_context(forwards.place("ann")) for _ in range(SHARE))
        with forwards.place("ann") as there:
            assert not there
        with forwards.place("bob") as there:
            assert there
            assert len(forwards) == SHARE + 1
        with forwards.place("ann") as there:
            assert not there, "who was refused gives nothing back"
    assert not len(forwards)
    with forwards.place("ann") as there:
        assert there


def test_what_fails_gives_its_place_back() -> None:
    forwards = Forwards()
    with pytest.raises(ValueError, match="odd"), forwards.place("ann"):
        raise ValueError("odd")
    assert not len(forwards)
