"""What a document that was reset still owes its client."""

from __future__ import annotations

import pytest

from controller.auth.access import Principal
from controller.config.listening import FirstFiller
from controller.config.schema import Config, Server
from controller.proxy.aftermath import KEPT, Aftermath, key_of
from controller.proxy.rules import rules_of
from controller.refusal import Reason, Refused

NO_ROOM = Refused(503, Reason.NO_ROOM, "There is no memory left.", retry_after=60)
KEY = b"k"


def test_it_is_told_for_a_minute_with_its_true_status_and_without_an_invitation_to_retry() -> None:
    after = Aftermath()
    after.owe(KEY, NO_ROOM, 100)
    assert after.owed(KEY, 100 + KEPT) == Refused(503, Reason.NO_ROOM, "There is no memory left.")
    assert after.owed(KEY, 101 + KEPT) is None
    assert after.owed(b"other", 101) is None


def test_it_is_forgotten_and_never_more_than_some_are_kept() -> None:
    after = Aftermath()
    assert not after.any(0)
    for number in range(10_000):
        after.owe(b"%d" % number, NO_ROOM, 0)
    assert after.remembered == 256
    assert after.any(KEPT)
    assert not after.any(KEPT + 1)
    assert not after.remembered


@pytest.mark.parametrize("reason", [Reason.CUT, Reason.ENDED, Reason.GONE, Reason.UNREAD])
def test_an_end_that_says_nothing_of_the_request_is_not_kept(reason: Reason) -> None:
    after = Aftermath()
    after.owe(KEY, Refused(503, reason, "Ask again."), 0)
    assert after.owed(KEY, 1) is None


def test_only_the_same_caller_with_the_same_body_on_the_same_route_is_told() -> None:
    anna, ben = Principal("a", kind="key", id="1"), Principal("a", kind="key", id="2")
    keys = {
        key_of(who, route, query, body)
        for who in (anna, ben, Principal("1", kind="address"))
        for route, query in (("/api/chat", b""), ("/api/cha", b"t"), ("/api/generate", b""))
        for body in (b"x", b"y")
    }
    assert len(keys) == 18
    assert key_of(anna, "/api/chat", b"", b"x") == key_of(anna, "/api/chat", b"", b"x")


def test_a_document_is_waited_for_longer_where_nothing_on_the_way_gives_up() -> None:
    rules = rules_of(Config())
    waits = [rules.grace(kind, proxied=False) for kind in ("direct", "proxy", "tunnel")]
    assert waits == [60, 30, 60]
    assert rules.grace("direct", proxied=True) == 30, "a proxy that nobody named"
    short = rules_of(Config(server=Server(first_filler=FirstFiller(direct=5))))
    assert (short.grace("direct", proxied=False), short.grace("direct", proxied=True)) == (5, 5)
