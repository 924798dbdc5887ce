"""Which revisions are still to come."""

from __future__ import annotations

import pytest

from controller.errors import SeadragonError
from controller.storage.migrate import steps

KNOWN = ["r0001", "r0002", "r0003"]


def test_an_empty_file_goes_through_all_of_them() -> None:
    assert steps(None, KNOWN) == KNOWN


@pytest.mark.parametrize(("current", "ahead"), [("r0001", ["r0002", "r0003"]), ("r0002", ["r0003"]), ("r0003", [])])
def test_an_older_one_goes_through_the_rest(current: str, ahead: list[str]) -> None:
    assert steps(current, KNOWN) == ahead


def test_a_newer_one_is_refused_with_what_to_do() -> None:
    with pytest.raises(SeadragonError, match=r"newer Seadragon \(r0004; this one knows r0003\).*Update Seadragon"):
        steps("r0004", KNOWN)
