"""KeptAnswer answers: fresh for ten seconds, never across a change, stale when there is nothing better."""

from __future__ import annotations

from controller.proxy.lists import AGE, KeptAnswer, Key, Lists
from controller.proxy.routes import Listed

KEY: Key = ("/api/tags", b"", False)


def kept(lists: Lists, at: float = 0.0, body: bytes = b"{}", listed: Listed = Listed.TAGS) -> KeptAnswer:
    return KeptAnswer([], body, at, lists.epoch(listed))


def test_an_answer_is_fresh_for_ten_seconds() -> None:
    lists = Lists()
    answer = kept(lists, at=100.0)
    lists.keep(KEY, answer)
    assert lists.fresh(KEY, Listed.TAGS, 100.0 + AGE) is answer
    assert lists.fresh(KEY, Listed.TAGS, 100.1 + AGE) is None
    assert lists.stale(KEY) is answer


def test_a_change_makes_it_stale_at_once() -> None:
    lists = Lists()
    lists.keep(KEY, kept(lists))
    lists.changed()
    assert lists.fresh(KEY, Listed.TAGS, 0.0) is None
    assert lists.stale(KEY) is not None


def test_what_was_fetched_before_a_change_is_not_true_after_it() -> None:
    lists = Lists()
    fetched = kept(lists)
    lists.changed()
    lists.keep(KEY, fetched)
    assert lists.fresh(KEY, Listed.TAGS, 0.0) is None


def test_a_load_makes_only_ps_stale() -> None:
    lists = Lists()
    ps: Key = ("/api/ps", b"", False)
    lists.keep(KEY, kept(lists))
    lists.keep(ps, kept(lists, listed=Listed.PS))
    lists.moved()
    assert lists.fresh(KEY, Listed.TAGS, 0.0) is not None
    assert lists.fresh(ps, Listed.PS, 0.0) is None


def test_memory_is_bounded() -> None:
    lists = Lists()
    for number in range(100):
        lists.keep(("/api/show", b"%d" % number, False), kept(lists, body=b"x" * 2**20))
    first = ("/api/show", b"0", False)
    last = ("/api/show", b"99", False)
    assert lists.stale(first) is None
    assert lists.stale(last) is not None
    assert lists._size <= 16 * 2**20


def test_a_huge_answer_is_not_kept() -> None:
    lists = Lists()
    lists.keep(KEY, kept(lists, body=b"x" * (2**20 + 1)))
    assert lists.stale(KEY) is None
