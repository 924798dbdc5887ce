"""Which requests the audit hears of."""

from __future__ import annotations

import pytest

from controller.proxy.noted import DEEDS, TURNED_AWAY, Noting
from controller.proxy.tally import AccessRecord
from controller.refusal import Reason
from tests.fakes.desk import FakeAudit


class Refusals(FakeAudit):
    """… and those that are told sparingly."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[tuple[str, str, str]] = []

    def refused(
        self, what: str, *, peer: str, actor: str = "", target: str = "", reason: str = "", request: str = ""
    ) -> None:
        self.refusals.append((what, peer, target))


def ended(route: str, method: str, status: int, reason: Reason = Reason.NONE, model: str = "") -> AccessRecord:
    return AccessRecord(
        1.0, "r-1", "anna", "203.0.113.7", "direct", method, route, model, status, reason.value, None, 1.0, 0, 0, 1
    )


@pytest.mark.parametrize(
    ("route", "method", "deed"),
    [
        ("/api/pull", "POST", "models.pull"),
        ("/api/delete", "DELETE", "models.delete"),
        ("/api/blobs/{digest}", "POST", "models.blob"),
        ("/api/v1/models/switch", "POST", None),
        ("/api/v1/queue/pause", "POST", None),
        ("/api/blobs/{digest}", "HEAD", None),
        ("/api/chat", "POST", None),
        ("/api/v1/keys", "POST", None),
    ],
)
def test_what_changes_the_models_is_a_deed_and_looking_or_an_order_of_ours_is_none(
    route: str, method: str, deed: str | None
) -> None:
    assert DEEDS.get((route, method)) == deed


def test_a_deed_is_told_with_how_it_ended() -> None:
    audit = Refusals()
    Noting(audit)(ended("/api/pull", "POST", 200, model="tiny"))
    Noting(audit)(ended("/api/delete", "DELETE", 404))
    assert audit.notes == [("models.pull", "tiny", "done"), ("models.delete", "/api/delete", "failed")]


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        (Reason.STRANGER, "door.refused"),
        (Reason.MANAGE, "door.refused"),
        (Reason.PROXIED, "door.spoofed"),
        (Reason.ENDED, "door.wrong_key"),
    ],
)
def test_who_is_turned_away_is_told_sparingly_and_never_by_the_path_they_wrote(reason: Reason, what: str) -> None:
    audit = Refusals()
    assert reason in TURNED_AWAY
    Noting(audit)(ended("unlisted", "GET", 403, reason))
    assert (audit.refusals, audit.notes) == ([(what, "203.0.113.7", "GET unlisted")], [])
