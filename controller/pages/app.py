"""The pages for people. Who may see them is decided before they are asked; here they are only made."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.auth.access import Principal
from controller.auth.signin import Person, SignIn
from controller.desk import By, Desk
from controller.engines.settings import ANY_TITLE
from controller.errors import SeadragonError
from controller.orders.giving import give
from controller.pages import forms
from controller.pages.account_view import nav_of
from controller.pages.asked import Asked, person_of
from controller.pages.contexts import ErrorPage, HomePage, Mood
from controller.pages.hardened import Hardened, policy
from controller.pages.invites import InvitePage
from controller.pages.live import Live
from controller.pages.people import PeoplePages
from controller.pages.statics import Statics
from controller.pages.view import Traffic, addresses
from controller.paths import CLONE
from controller.views.viewer import Viewer

_TYPED = re.compile(r"`([^`]+)`")
_ERRORS: dict[int, tuple[Mood, str, str]] = {
    403: (
        "oops",
        "Not from here",
        "This computer is not on the list of those that may come in. Whoever runs Seadragon can add it in access.yaml.",
    ),
    404: ("oops", "There is nothing here", "The address may be mistyped, or the page has moved."),
    400: ("oops", "That was no order", "Go back to the first page, and press the button there."),
    405: ("oops", "That does not work here", "This page can be looked at, and nothing else."),
    409: ("oops", "That cannot be done now", ""),
    421: (
        "oops",
        "Not by this name",
        "Seadragon does not go by the name it was called. Whoever runs it can add it under hosts in access.yaml.",
    ),
    429: ("waiting", "One moment", "Too many are looking at once. Try again in a little while."),
    500: ("oops", "Something went wrong", "It is noted in the log: seadragon logs"),
    503: (
        "waiting",
        "Not just yet",
        "Seadragon is starting, leaving, or has its hands full. Try again in a little while.",
    ),
}


_MAY_SIGN_IN = (401, 403)
_MAY_NOT = (
    "This computer may look, and not give orders. Whoever runs Seadragon can set `manage: true` on its entry in "
    "access.yaml."
)


def viewer_of(request: Request, person: Person | None) -> Viewer:
    """Who looks, as the data plane says, or nobody in particular. An admin who was idle for long only looks."""
    who = request.scope.get("seadragon.who")
    if not isinstance(who, Principal):
        return Viewer(guest=True)
    bound = who if who.restricted else None
    if who.kind != "person":
        return Viewer(who.label, who.identity, who.manage, bound, who.guest)
    if person is None or who.session != person.session.id:
        return Viewer(bound=bound, guest=True)
    manages = who.manage and (person.proven or person.user.role != "admin")
    return Viewer(who.label, who.identity, manages, bound, who.guest)


_EVENTS = "text/event-stream"
_FRESH = {"Cache-Control": "no-store, no-transform"}


class _Stream(StreamingResponse):
    """Events without end. `over` is called once, be it that nobody ever heard one."""

    def __init__(self, events: AsyncIterator[str], over: Callable[[], None]) -> None:
        super().__init__(events, media_type=_EVENTS, headers=_FRESH)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


def told(text: str) -> Markup:
    """What is to be typed stands `like this` in our sentences: as code on a page."""
    return Markup(_TYPED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # nosec B704  # escaped first


def environment(statics: Statics, templates: Path) -> Environment:
    """Jinja as the pages use it: everything escaped, and a name that does not exist is an error."""
    made = Environment(
        loader=FileSystemLoader([templates, CLONE / "static"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["told"] = told
    made.globals.update(asset=statics.url, edition=statics.edition, engine=ANY_TITLE)
    return made


class PagesApp:
    """All pages, as one ASGI application.

    `traffic` is asked while somebody looks; `metrics` gives the text of `/metrics` and its content type. Without
    `signin` nobody can sign in.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        traffic: Callable[[], Traffic],
        metrics: Callable[[], tuple[bytes, str]],
        signin: SignIn | None = None,
    ) -> None:
        self._desk, self._signin = desk, signin
        self._metrics = metrics
        self._statics = Statics(CLONE / "static")
        self._templates = environment(self._statics, CLONE / "templates")
        self._live = Live(desk, self._templates, traffic=traffic, edition=self._statics.edition)
        self._tokens = forms.FormTokens()
        self._people = PeoplePages(signin, self._templates, self._tokens) if signin else None
        self._invites = InvitePage(desk, signin, self._templates, self._tokens) if signin else None
        self._error = self._templates.get_template("error.html")
        self._starlette = self._application()
        self.asgi: ASGIApp = Hardened(self._let_in)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The gate may have turned this person away: `seadragon.refused` of the scope says with which status, and why;
        `seadragon.may_sign_in` is False where signing in would not help.

        Then the page comes with its style inside: nothing else would be given to this browser.
        """
        refused: tuple[int, str] | None = scope.get("seadragon.refused")
        if refused is None:
            return await self._starlette(scope, receive, send)
        if self._people is not None and refused[0] in _MAY_SIGN_IN and scope.get("seadragon.may_sign_in", True):
            instead = self._people.turned_away(Request(scope, receive), *refused)
            if instead is not None:
                return await instead(scope, receive, send)
        answer = self.refusal(*refused, alone=True)
        answer.headers["Content-Security-Policy"] = policy(self._statics.text("site.css").removesuffix("\n"))
        await answer(scope, receive, send)

    def refusal(self, status: int, story: str = "", *, alone: bool = False) -> HTMLResponse:
        """A page that says no, and why (`story`)."""
        mood, headline, usual = _ERRORS.get(status, _ERRORS[500])
        page = ErrorPage(status, mood, headline, story or usual, alone)
        return HTMLResponse(self._error.render(page=page), status)

    def _application(self) -> Starlette:
        """Starlette alone: FastAPI adds nothing to pages, and a fifth of a second to every start of the controller."""
        return Starlette(
            routes=[
                Route("/", self._home),
                Route("/live", self._stream),
                Route("/orders", self._order, methods=["POST"]),
                Route("/metrics", self._show_metrics),
                Route("/static/{name:path}", self._static),
                Route("/favicon.ico", self._icon),
                *(self._people.routes if self._people else ()),
                *(self._invites.routes if self._invites else ()),
            ],
            exception_handlers={HTTPException: self._refuse, Exception: self._fail},
        )

    async def _home(self, request: Request) -> Response:
        base = f"{request.url.scheme}://{request.url.netloc}"
        here = [str(each["url"]) for each in self._desk.listeners if each.get("kind") == "direct"]
        asked = Asked(request, person_of(request, self._signin))
        viewer, order = viewer_of(request, asked.person), request.query_params.get("order", "")
        page = HomePage(
            now=await self._live.now(viewer, order),
            nav=nav_of(asked, self._tokens) if self._signin else None,
            addresses=addresses(base),
            also=() if viewer.guest else tuple(url for url in here if url != base),
            token=self._tokens.make(viewer.identity, time.time()) if viewer.manage else "",
            stream=f"/live?order={quote(order)}" if order else "/live",
            version=self._desk.version,
            data="" if viewer.guest else str(self._desk.data),
        )
        return HTMLResponse(self._templates.get_template("home.html").render(page=page, now=page.now))

    async def _stream(self, request: Request) -> Response:
        asked = Asked(request, person_of(request, self._signin))
        viewer, caller, watchers = viewer_of(request, asked.person), asked.caller, self._live.watchers
        if request.method == "HEAD":  # has no body, so nothing would ever end it
            return StreamingResponse(iter(()), media_type=_EVENTS, headers=_FRESH)
        if not watchers.enter(caller, manages=viewer.manage):
            return self.refusal(429)
        return _Stream(self._live.stream(viewer, request.query_params.get("order", "")), lambda: watchers.leave(caller))

    async def _order(self, request: Request) -> Response:
        """A button was pressed. The answer leads back to the page, which shows how the order goes."""
        viewer = viewer_of(request, person_of(request, self._signin))
        if not viewer.manage:
            return self.refusal(403, _MAY_NOT)
        form = await forms.read(request)
        if form is None:
            return self.refusal(400)
        if forms.from_elsewhere(request) or not self._tokens.holds(form.get("token", ""), viewer.identity, time.time()):
            return self.refusal(403, forms.STALE)
        buttons = [name for name in form if name != "token"]
        if len(buttons) != 1:
            return self.refusal(400)
        return await self._carry_out(request, viewer, buttons[0], form[buttons[0]])

    async def _carry_out(self, request: Request, viewer: Viewer, button: str, value: str) -> Response:
        peer, number = Asked(request, None).peer, request.scope.get("seadragon.request", "")
        by = By(viewer.label, viewer.identity, peer, number, viewer.sees)
        try:
            pressed = forms.pressed(button, value)
            if pressed is None:
                return self.refusal(400)
            row, fields = pressed
            answer = await give(self._desk, row.name, by, fields)
        except SeadragonError as refused:
            return self.refusal(409, str(refused))
        return RedirectResponse(f"/?order={quote(answer.id)}#models" if row.job else "/#line", 303)

    async def _show_metrics(self, request: Request) -> Response:
        body, content_type = self._metrics()
        return Response(body, headers={"Content-Type": content_type})

    async def _static(self, request: Request) -> Response:
        answer = self._statics.answer(request, request.path_params["name"])
        return answer if answer is not None else self.refusal(404)

    async def _icon(self, request: Request) -> Response:
        answer = self._statics.answer(request, "seadragon.svg")
        return answer if answer is not None else self.refusal(404)

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = self.refusal(error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    async def _fail(self, request: Request, error: Exception) -> Response:
        self._desk.journal.say("controller", f"The page {request.url.path} failed: {error!r}", level="error")
        return self.refusal(500)
