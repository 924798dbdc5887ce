"""Requests that were made, for tests of what is kept of them."""

from __future__ import annotations

from typing import Any

from controller.usage import Use


def a_use(**changes: Any) -> Use:
    """One answered in full, unless said otherwise."""
    ordinary: dict[str, Any] = {
        "at": 1_700_000_000.0,
        "request": "r-1",
        "caller": "anna",
        "key": "",
        "user": "",
        "model": "tiny",
        "dialect": "ollama",
        "lane": 1.0,
        "waited": 0.5,
        "loading": 0.0,
        "first_byte": 0.75,
        "prompt": 12,
        "answer": 34,
        "estimated": False,
        "seconds": 2.0,
        "status": 200,
        "outcome": "",
        "bytes_in": 100,
        "bytes_out": 2000,
    }
    return Use(**{**ordinary, **changes})
