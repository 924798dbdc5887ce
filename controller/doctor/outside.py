"""Asking our own public name, from the outside and without a key, as a scanner of the internet would."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import httpx

from controller.doctor.findings import PublicAnswer

ROUTES = (("GET", "/api/tags"), ("GET", "/v1/models"), ("POST", "/api/generate"))
LIMIT = 5.0  # seconds for each question


def ask(names: list[str]) -> list[PublicAnswer]:
    """Put every question to every name, at once. Nobody else is spoken to: no proxy is used, no redirect followed."""
    tried = [(f"https://{name}", method, path) for name in names for method, path in ROUTES]
    if not tried:
        return []
    with ThreadPoolExecutor(len(tried)) as pool:
        return list(pool.map(lambda each: ask_one(*each), tried))


def ask_one(base: str, method: str, path: str, *, verify: bool = True) -> PublicAnswer:
    """One question; `verify`: hold the certificate against the system's authorities."""
    try:
        with httpx.Client(timeout=LIMIT, trust_env=False, follow_redirects=False, verify=verify) as client:
            with client.stream(method, base + path, json={} if method == "POST" else None) as answer:
                return PublicAnswer(
                    base, f"{method} {path}", answer.status_code, skew=_skew(answer.headers.get("date", ""))
                )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return PublicAnswer(base, f"{method} {path}", fault=str(error) or type(error).__name__)


def _skew(date: str) -> float:
    """Seconds by which our clock is ahead of the other side's; 0.0 when that does not say."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return 0.0
