"""Where a URL leads."""

from __future__ import annotations

import pytest

from controller.supervision.ports import is_here


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://localhost:11434", True),
        ("http://[::1]:1", True),
        ("http://192.168.1.5:11434", False),
        ("http://mac.local:11434", False),
        ("", False),
    ],
)
def test_where_a_url_leads(url: str, here: bool) -> None:
    assert is_here(url) == here
