"""What a request to the pages for people brings: fields of a form, or of JSON for programs; and who is behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from controller.auth import cookies
from controller.auth.access import Principal
from controller.auth.signin import Browser, No, Person, SignIn
from controller.auth.visitor import neighbourhood
from controller.pages import forms
from controller.pages.devices import device_words

OWN_HEADER: Final = "x-seadragon"
"""A program sends it along, whatever it says: no form and no page of another site can."""
OLD: Final = "This page was open for too long, or what was sent comes from somewhere else. Please try again here."
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came through the door: what it is, beside its path."""

    request: Request
    person: Person | None

    @property
    def peer(self) -> str:
        """The address it came from, as the listener knows it."""
        told = self.request.scope.get("seadragon.peer")
        if isinstance(told, str):
            return told
        return self.request.client.host if self.request.client else ""

    @property
    def caller(self) -> str:
        """Whose share it takes: a person's, or that of who asks from one address."""
        who = self.request.scope.get("seadragon.who")
        if isinstance(who, Principal) and who.kind == "person":
            return who.identity
        return neighbourhood(self.peer)

    @property
    def browser(self) -> Browser:
        return Browser(device_words(self.request.headers.get("user-agent", "")), self.peer)

    @property
    def plain(self) -> bool:
        """Whether a cookie may travel without https here."""
        return bool(self.request.scope.get("seadragon.plain_cookies")) and self.request.url.scheme == "http"

    @property
    def keeps_cookies(self) -> bool:
        """Whether a browser would keep our cookie at all: only over https, on the machine itself, or as configured."""
        return self.plain or self.request.url.scheme == "https" or self.request.url.hostname in _LOOPBACK

    @property
    def program(self) -> bool:
        """Whether the answer is to be JSON."""
        accept = self.request.headers.get("accept", "")
        return "application/json" in accept and "text/html" not in accept

    @property
    def label(self) -> str:
        """Whom the token of a form is made for."""
        return f"session {self.person.session.id}" if self.person else "nobody"


def person_of(request: Request, signin: SignIn | None) -> Person | None:
    """Who is signed in, by the cookie alone."""
    if signin is None:
        return None
    asked = Asked(request, None)
    lines = (value.encode("latin-1") for value in request.headers.getlist("cookie"))
    token = cookies.token_in(cookies.together(lines), plain=asked.plain)
    return signin.person(token, asked.peer) if token else None


async def fields_of(asked: Asked, tokens: forms.FormTokens, now: float) -> dict[str, str] | No:
    """The fields, proved to come from a page of ours or from a program: no page of another site can send either."""
    request = asked.request
    if forms.from_elsewhere(request):
        return No(403, OLD)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        if OWN_HEADER not in request.headers:
            return No(403, "A program has to send the header X-Seadragon: 1 along.")
        return await _from_json(request)
    form = await forms.read(request)
    if form is None:
        return No(400, "That was no form of ours.")
    if not tokens.holds(form.pop("form", ""), asked.label, now):
        return No(403, OLD)
    return form


async def _from_json(request: Request) -> dict[str, str] | No:
    body = await forms.body_of(request)
    try:
        document = json.loads(body) if body is not None else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping):
        return No(400, "The body has to be one JSON object.")
    return {str(name): _text(value) for name, value in document.items()}


def _text(value: object) -> str:
    """A field of JSON as a form would send it: only texts, numbers, yes and no are fields."""
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value) if isinstance(value, str | int | float) else ""


def refused(no: No) -> Response:
    """A refusal for a program."""
    headers = {"Retry-After": str(no.wait)} if no.wait else {}
    return JSONResponse({"error": {"message": no.words, "field": no.field}}, no.status, headers)
