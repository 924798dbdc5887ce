"""Orders that a page sends as a form: proved to come from a page of ours, and carried out.

The right to give orders is ambient (an address), so two things must hold, as OWASP's CSRF sheet has it: the browser
says that no other site is behind it, and the form brings a token that only our page knows.
"""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import parse_qs

from itsdangerous import BadSignature, Signer
from starlette.requests import Request

from controller.auth.gate import Gate, Sent
from controller.auth.rows import counts
from controller.errors import OrderRefused
from controller.orders.row import Order
from controller.orders.table import BUTTONS

LARGEST = 16 * 2**10  # bytes of a form
GOOD_FOR = 12 * 3600.0  # seconds
_DIGITS = 18  # of a request's number
_GATE = Gate((), ())
STALE = "This page is too old to give orders, or comes from somewhere else. Go to the first page, and press again."


def pressed(name: str, value: str) -> tuple[Order, dict[str, object]] | None:
    """The order that a button of the first page gives, and its fields; None for what is no button. Raises OrderRefused
    for a value that cannot be.
    """
    if name not in BUTTONS:
        return None
    row, way = BUTTONS[name]
    whole = any(field.name == way.asks and field.kind == "whole" for field in row.fields)
    fields = {} if not way.asks else {way.asks: _number(value) if whole else value}
    return row, {**fields, **dict(way.given)}


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS):
        raise OrderRefused("That is not the number of a request. Go to the first page, and press again.", "unknown")
    return int(value)


class FormTokens:
    """Made for a page and a person, good for half a day and until the controller restarts."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, label: str, now: float) -> str:
        """For a page that is shown to `label` now (seconds since the epoch)."""
        return self._signer(label).sign(f"{now:.0f}").decode()

    def holds(self, token: str, label: str, now: float) -> bool:
        """Whether it was made for `label`, not too long ago."""
        try:
            made = float(self._signer(label).unsign(token))
        except BadSignature:
            return False
        return counts(made, made + GOOD_FOR, now)

    def _signer(self, label: str) -> Signer:
        return Signer(self._key, salt=label, key_derivation="hmac", digest_method=hashlib.sha256)


def from_elsewhere(request: Request) -> bool:
    """Whether the page of another site is behind it, as far as the browser says."""
    names = ("host", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
    return _GATE.foreign(Sent(request.method, *(_bytes(request.headers.get(name)) for name in names)))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


async def body_of(request: Request) -> bytes | None:
    """What was sent; None when it is longer than any form of ours."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            return None
    return bytes(body)


async def read(request: Request) -> dict[str, str] | None:
    """The fields of a form; None when it is none, or longer than any of ours."""
    body = await body_of(request)
    if body is None:
        return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}
