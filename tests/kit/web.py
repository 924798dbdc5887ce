"""HTTP on this machine: httpx without TLS and without the machine's proxies, and patient with a busy machine.

By itself httpx reads all certificates of the world for each client that it makes, which takes 30 ms of a processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

PATIENCE = 30.0  # seconds for each step of a request that says nothing of its own


def client(**options: Any) -> httpx.Client:
    """For several requests; close it."""
    return httpx.Client(**{"trust_env": False, "verify": False, "timeout": PATIENCE, **options})


def async_client(**options: Any) -> httpx.AsyncClient:
    """As `client`, for a loop."""
    return httpx.AsyncClient(**{"trust_env": False, "verify": False, "timeout": PATIENCE, **options})


def request(method: str, url: str, *, timeout: float = PATIENCE, **content: Any) -> httpx.Response:
    """One request, on a connection of its own."""
    with client(timeout=timeout) as one:
        return one.request(method, url, **content)


def get(url: str, **content: Any) -> httpx.Response:
    return request("GET", url, **content)


def post(url: str, **content: Any) -> httpx.Response:
    return request("POST", url, **content)


@contextmanager
def stream(method: str, url: str, *, timeout: float = PATIENCE, **content: Any) -> Iterator[httpx.Response]:
    """One request, whose answer is read as it comes."""
    with client(timeout=timeout) as one, one.stream(method, url, **content) as answer:
        yield answer
