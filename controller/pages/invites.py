"""Invites, for an admin: made here and shown once, as a link and as a picture to scan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import segno
from jinja2 import Environment
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from controller.auth.rows import ROLES, Role
from controller.auth.signin import No, Person, SignIn
from controller.auth.states import InviteState
from controller.desk import By, Desk
from controller.errors import SeadragonError
from controller.orders.giving import give
from controller.orders.table import ORDERS
from controller.pages import forms
from controller.pages.account_view import ROLE_WORDS, nav_of
from controller.pages.asked import Asked, fields_of, person_of, refused
from controller.pages.contexts import Tone
from controller.pages.people import to_again, to_login
from controller.pages.people_contexts import InviteLine, InvitesPage, MadeInvite
from controller.plain import moment_words, span_words

PATH: Final = "/admin/invites"
_FIELDS: Final = {field.name: field for field in ORDERS["invites.create"].fields}
LONGEST_LABEL: Final = _FIELDS["label"].longest
MOST_USES: Final = int(_FIELDS["uses"].most or 1)
MOST_HOURS: Final = int((_FIELDS["lasts"].most or 0.0) / 3600)
_SHOWN: Final[Mapping[InviteState, tuple[str, Tone]]] = {
    "revoked": ("revoked", "off"),
    "used": ("used", "ok"),
    "expired": ("over", "off"),
    "not yet": ("not yet", "off"),
    "paused": ("paused", "off"),
    "open": ("open", "wait"),
}
_REVOCABLE: Final = ("open", "paused", "not yet")


class InvitePage:
    """Invites, as an admin sees them."""

    def __init__(self, desk: Desk, signin: SignIn, templates: Environment, tokens: forms.FormTokens) -> None:
        self._desk = desk
        self._signin, self._tokens = signin, tokens
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
        return await self._show(asked)

    async def _order(self, asked: Asked, person: Person) -> Response:
        form = await fields_of(asked, self._tokens, time.time())
        if isinstance(form, No):
            return await self._no(asked, form)
        try:
            if "revoke" in form:
                await give(self._desk, "invites.revoke", _by(asked, person), {"id": form["revoke"]})
                return Response(status_code=204) if asked.program else RedirectResponse(PATH, 303)
            return await self._make(asked, person, form)
        except SeadragonError as error:
            return await self._no(asked, No(409, str(error)))

    async def _make(self, asked: Asked, person: Person, form: Mapping[str, str]) -> Response:
        wish = wished(form)
        if isinstance(wish, No):
            return await self._no(asked, wish)
        role, uses, hours, label = wish
        if role == "admin" and (no := await self._sure(asked, person, form)):
            return await self._no(asked, no)
        wanted = {"role": role, "label": label, "uses": uses, "lasts": hours * 3600.0}
        made = await give(self._desk, "invites.create", _by(asked, person), wanted)
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
        return await self._show(
            asked, made=MadeInvite(link, picture_of(link), told, made.get("caution", "")), status=201
        )

    async def _sure(self, asked: Asked, person: Person, form: Mapping[str, str]) -> No | None:
        """An invite for an admin wants a tick, and the password of whoever makes it."""
        if form.get("sure") != "yes":
            return No(422, "To invite an admin, tick that you are sure, and give your password once more.", "sure")
        proved = await self._signin.prove(person, form.get("password", ""), asked.peer)
        return proved if isinstance(proved, No) else None

    async def _no(self, asked: Asked, no: No) -> Response:
        return refused(no) if asked.program else await self._show(asked, no=no, status=no.status)

    async def _show(
        self, asked: Asked, *, no: No | None = None, made: MadeInvite | None = None, status: int = 200
    ) -> Response:
        now = time.time()
        lines = tuple(_line(invite, now) for invite in reversed(await self._desk.office.shown.listed("invites")))
        if asked.program:
            return JSONResponse(
                {"invites": [{"id": each.id, "label": each.label, "state": each.state} for each in lines]}
            )
        nav = nav_of(asked, self._tokens)
        page = InvitesPage(nav, no.words if no else "", no.field if no else "", made, lines, str(LONGEST_LABEL))
        return HTMLResponse(self._template.render(page=page), status)


def _line(invite: Mapping[str, Any], now: float) -> InviteLine:
    state, tone = _SHOWN[invite["state"]]
    return InviteLine(
        id=invite["id"],
        label=invite["label"],
        role=ROLE_WORDS[invite["role"]],
        uses=f"{invite['used']} of {invite['uses']}",
        until=moment_words(invite["expires_at"], now),
        state=state,
        tone=tone,
        valid=invite["state"] in _REVOCABLE,
        people=", ".join(invite["people"]),
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
