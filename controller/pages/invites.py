"""Invites, for an admin: made here and shown once, as a link and as a picture to scan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import segno
from jinja2 import Environment
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from controller.auth.giving import Standing
from controller.auth.rows import ROLES, InviteRow, Role, counts
from controller.auth.signin import No, Person, SignIn
from controller.desk import By, Desk
from controller.errors import SeadragonError
from controller.pages import forms
from controller.pages.account_view import ROLE_WORDS, nav_of
from controller.pages.asked import Asked, fields_of, person_of, refused
from controller.pages.contexts import Tone
from controller.pages.people import to_again, to_login
from controller.pages.people_contexts import InviteLine, InvitesPage, NewInvite
from controller.plain import moment_words, span_words

PATH: Final = "/admin/invites"
MOST_USES: Final = 100
MOST_HOURS: Final = 31 * 24
LONGEST_LABEL: Final = 60


class Invites:
    """The page."""

    def __init__(self, desk: Desk, signin: SignIn, templates: Environment, tokens: forms.Tokens) -> None:
        self._desk = desk
        self._signin, self._holders, self._tokens = signin, signin.holders, tokens
        self._template = templates.get_template("people/invites.html")

    @property
    def routes(self) -> list[Route]:
        return [Route(PATH, self._invites, methods=["GET", "POST"])]

    async def _invites(self, request: Request) -> Response:
        asked = Asked(request, person_of(request, self._signin))
        person = asked.person
        if person is None:
            return to_login(asked)
        if person.user.role != "admin":
            return refused(No(403, "This page is for admins."))
        if not person.proven:
            return to_again(asked)
        if request.method == "POST":
            return await self._order(asked, person)
        return self._show(asked)

    async def _order(self, asked: Asked, person: Person) -> Response:
        form = await fields_of(asked, self._tokens, time.time())
        if isinstance(form, No):
            return self._no(asked, form)
        try:
            if "revoke" in form:
                await self._desk.office.order("invites.revoke", _by(asked, person), id=form["revoke"])
                return Response(status_code=204) if asked.program else RedirectResponse(PATH, 303)
            return await self._make(asked, person, form)
        except SeadragonError as error:
            return self._no(asked, No(409, str(error)))

    async def _make(self, asked: Asked, person: Person, form: Mapping[str, str]) -> Response:
        wish = wished(form)
        if isinstance(wish, No):
            return self._no(asked, wish)
        role, uses, hours, label = wish
        if role == "admin" and (no := await self._sure(asked, person, form)):
            return self._no(asked, no)
        made = await self._desk.office.order(
            "invites.create", _by(asked, person), role=role, label=label, uses=uses, lasts=hours * 3600.0
        )
        link = made["links"][0]
        if asked.program:
            document = {"id": made["id"], "link": link, "expires_at": made["expires_at"]}
            return JSONResponse({**document, **{name: made[name] for name in ("caution",) if name in made}}, 201)
        told = (
            f"For {label}: {ROLE_WORDS[role]}, to be used {uses} times."
            if uses > 1
            else f"For {label}: {ROLE_WORDS[role]}."
        )
        told += f" It is good for {span_words(hours * 3600)}."
        return self._show(asked, made=NewInvite(link, picture_of(link), told, made.get("caution", "")), status=201)

    async def _sure(self, asked: Asked, person: Person, form: Mapping[str, str]) -> No | None:
        """An invite for an admin wants a tick, and the password of whoever makes it."""
        if form.get("sure") != "yes":
            return No(422, "To invite an admin, tick that you are sure, and give your password once more.", "sure")
        proved = await self._signin.prove(person, form.get("password", ""), asked.peer)
        return proved if isinstance(proved, No) else None

    def _no(self, asked: Asked, no: No) -> Response:
        return refused(no) if asked.program else self._show(asked, no=no, status=no.status)

    def _show(
        self, asked: Asked, *, no: No | None = None, made: NewInvite | None = None, status: int = 200
    ) -> Response:
        now = time.time()
        rows = sorted(self._holders.invites.values(), key=lambda row: row.created_at, reverse=True)
        lines = tuple(self._line(row, now) for row in rows)
        if asked.program:
            return JSONResponse(
                {"invites": [{"id": each.id, "label": each.label, "state": each.state} for each in lines]}
            )
        nav = nav_of(asked, self._tokens)
        page = InvitesPage(nav, no.words if no else "", no.field if no else "", made, lines)
        return HTMLResponse(self._template.render(page=page), status)

    def _line(self, row: InviteRow, now: float) -> InviteLine:
        states: list[tuple[bool, str, Tone]] = [
            (row.revoked_at is not None, "revoked", "off"),
            (row.used >= row.uses, "used", "ok"),
            (row.expires_at <= now, "over", "off"),
            (not counts(row.created_at, row.expires_at, now), "not yet", "off"),
            (self._holders.standing(row.giver) is not Standing.GOOD, "paused", "off"),
            (True, "open", "wait"),
        ]
        state, tone = next((word, tone) for holds, word, tone in states if holds)
        came = [user.name for user in self._holders.users.values() if user.invite_id == row.id]
        return InviteLine(
            id=row.id,
            label=row.label,
            role=ROLE_WORDS[row.role],
            uses=f"{row.used} of {row.uses}",
            until=moment_words(row.expires_at, now),
            state=state,
            tone=tone,
            valid=state in ("open", "paused", "not yet"),
            people=", ".join(came),
        )


def wished(form: Mapping[str, str]) -> tuple[Role, int, int, str] | No:
    """Role, uses, hours and label of a form; or what is wrong with it."""
    role = next((each for each in ROLES if each == form.get("role")), None)
    if role is None:
        return No(422, "An invite is for a child, a member or an admin.", "role")
    label = form.get("label", "").strip()
    if not 1 <= len(label) <= LONGEST_LABEL or not label.isprintable():
        return No(422, f"Say in up to {LONGEST_LABEL} letters for whom it is.", "label")
    uses, hours = _whole(form.get("uses", "1")), _whole(form.get("hours", "72"))
    if not 1 <= uses <= MOST_USES:
        return No(422, f"It can be used by 1 to {MOST_USES} people.", "uses")
    if not 1 <= hours <= MOST_HOURS:
        return No(422, f"It can be good for 1 to {MOST_HOURS} hours.", "hours")
    return role, uses, hours, label


def _by(asked: Asked, person: Person) -> By:
    """Who orders, for the audit."""
    return By(person.user.name, person.identity, asked.peer, asked.request.scope.get("seadragon.request", ""))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def picture_of(link: str) -> Markup:
    """A link as a QR code: made of squares alone, so nothing in it can run."""
    code = segno.make(link, error="m", micro=False)
    return Markup(code.svg_inline(border=4, omitsize=True, light="#fff", svgclass=None, lineclass=None))  # noqa: S704 - see above
