"""The pages by which people come in and look after themselves: forms for browsers, and JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from controller.auth import cookies
from controller.auth.held.checks import LONGEST_NAME
from controller.auth.rows import SessionRow
from controller.auth.signin import No, Person, SignIn
from controller.errors import SeadragonError
from controller.pages import forms
from controller.pages.account_view import account_seen, devices_seen, nav_of
from controller.pages.asked import Asked, fields_of, person_of, refused
from controller.pages.people_contexts import DoorPage

CLEARED: Final = '"storage", "cache"'
"""Our own only. Never `"cookies"`: that takes away those of every other server under the same domain."""
_NOT_SAFE: Final = (
    "This address is not safe to type a password at: what is sent here can be read on the way. Use the https address "
    "of this server, or ask whoever runs it."
)


@dataclass(frozen=True, slots=True)
class Door:
    """One form that lets somebody in. `comes` does it, given what was asked and the form's fields."""

    kind: str
    headline: str
    story: str
    comes: Callable[[SignIn, Asked, Mapping[str, str]], Awaitable[SessionRow | No]]


DOORS: Final[Mapping[str, Door]] = {
    "/login": Door(
        "login",
        "Hello! Who is it?",
        "Sign in with your name and your password.",
        lambda door, asked, form: door.enter(form.get("name", ""), form.get("password", ""), asked.browser),
    ),
    "/join": Door(
        "join",
        "Welcome! You are invited",
        "Choose what you are called here, and a password.",
        lambda door, asked, form: door.join(
            form.get("token", ""), form.get("name", ""), form.get("password", ""), asked.browser
        ),
    ),
    "/reset": Door(
        "reset",
        "A new password",
        "Choose one. Everywhere else you are signed out.",
        lambda door, asked, form: door.reset(form.get("token", ""), form.get("password", ""), asked.browser),
    ),
    "/admin-code": Door(
        "code",
        "Become the admin",
        "On the computer that runs Seadragon, `seadragon admin-code` shows a code, good for 15 minutes.",
        lambda door, asked, form: door.take_code(
            form.get("token", ""), form.get("name", ""), form.get("password", ""), asked.browser
        ),
    ),
}
AGAIN: Final = "/account/again"


class PeoplePages:
    """All of them. `routes` belong into the pages' application."""

    def __init__(self, signin: SignIn, templates: Environment, tokens: forms.FormTokens) -> None:
        self._signin, self._holders, self._tokens = signin, signin.holders, tokens
        self._templates = templates

    @property
    def routes(self) -> list[Route]:
        doors = [Route(path, self._door, methods=["GET", "POST"]) for path in DOORS]
        return [
            *doors,
            Route("/logout", self._leave, methods=["POST"]),
            Route("/account", self._account, methods=["GET", "POST"]),
            Route("/account/devices", self._devices, methods=["GET", "POST"]),
            Route(AGAIN, self._again, methods=["GET", "POST"]),
        ]

    def asked(self, request: Request) -> Asked:
        """Who asks."""
        return Asked(request, person_of(request, self._signin))

    def turned_away(self, request: Request, status: int, words: str) -> Response | None:
        """Instead of a refusal, for who could still sign in; None for who is signed in and may not all the same."""
        asked = self.asked(request)
        if asked.person is not None:
            return None
        onward = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return self._show_door(asked, "/login", onward=onward, aside=words, status=status)

    # --- coming in ---

    async def _door(self, request: Request) -> Response:
        asked, path = self.asked(request), request.url.path
        if request.method != "POST":
            return self._show_door(asked, path, onward=request.query_params.get("onward", ""))
        if not asked.keeps_cookies:
            return self._answer_no(asked, path, No(403, _NOT_SAFE), {})
        form = await fields_of(asked, self._tokens, time.time())
        if isinstance(form, No):
            return self._answer_no(asked, path, form, {})
        try:
            session = await DOORS[path].comes(self._signin, asked, form)
        except SeadragonError as error:
            session = No(503, str(error))
        if isinstance(session, No):
            return self._answer_no(asked, path, session, form)
        return await self._welcome(asked, session, form.get("onward", ""))

    async def _welcome(self, asked: Asked, session: SessionRow, onward: str) -> Response:
        """Signed in: the browser gets a new cookie, and the session it had before ends."""
        if asked.person is not None:
            await self._signin.leave(asked.person, asked.peer)
        user = self._holders.users[session.user_id]
        answer: Response
        if asked.program:
            answer = JSONResponse({"name": user.name, "role": user.role, "expires_at": session.expires_at}, 201)
        else:
            answer = RedirectResponse(local(onward) or ("/" if user.role == "admin" else "/account"), 303)
        seconds = session.expires_at - session.started_at
        cookie = cookies.carrying(self._signin.token(session), seconds, plain=asked.plain)
        answer.headers.append("Set-Cookie", cookie)
        return answer

    def _answer_no(self, asked: Asked, path: str, no: No, form: Mapping[str, str]) -> Response:
        if asked.program:
            return refused(no)
        return self._show_door(asked, path, no, called=form.get("name", ""), onward=form.get("onward", ""))

    def _show_door(
        self,
        asked: Asked,
        path: str,
        no: No | None = None,
        *,
        called: str = "",
        onward: str = "",
        aside: str = "",
        status: int = 200,
    ) -> Response:
        door = DOORS[path]
        page = DoorPage(
            nav=nav_of(asked, self._tokens),
            kind=door.kind,
            headline=door.headline,
            story=door.story,
            mood="oops" if no else "happy",
            action=path,
            trouble=no.words if no else "" if asked.keeps_cookies else _NOT_SAFE,
            wrong=no.field if no else "",
            aside=aside,
            called=called[:LONGEST_NAME],
            onward=local(onward),
            open=asked.keeps_cookies,
        )
        return self._page("door", page, no, status)

    async def _leave(self, request: Request) -> Response:
        asked = self.asked(request)
        form = await fields_of(asked, self._tokens, time.time())
        if isinstance(form, No):  # whoever sent it: another site's page comes without our cookie, and clears nothing
            return self._stays(asked, form)
        if asked.person is not None:
            await self._signin.leave(asked.person, asked.peer)
        answer: Response = Response(status_code=204) if asked.program else RedirectResponse("/login", 303)
        answer.headers.append("Set-Cookie", cookies.taken_away(plain=asked.plain))
        if request.url.scheme == "https":  # elsewhere browsers pass it over, and complain
            answer.headers["Clear-Site-Data"] = CLEARED
        return answer

    def _stays(self, asked: Asked, no: No) -> Response:
        """Nobody was signed out: why, where they can do it themselves."""
        if asked.program:
            return refused(no)
        if asked.person is None:
            return self._show_door(asked, "/login", no)
        return self._show_account(asked, asked.person, no)

    # --- being in ---

    async def _account(self, request: Request) -> Response:
        asked = self.asked(request)
        if asked.person is None:
            return to_login(asked)
        if request.method != "POST":
            return self._show_account(asked, asked.person)
        form = await fields_of(asked, self._tokens, time.time())
        no = form if isinstance(form, No) else await self._change_password(asked, asked.person, form)
        if no is not None:
            return refused(no) if asked.program else self._show_account(asked, asked.person, no)
        if asked.program:
            return Response(status_code=204)
        return RedirectResponse("/account?done=password", 303)

    async def _change_password(self, asked: Asked, person: Person, form: Mapping[str, str]) -> No | None:
        current, new = form.get("current", ""), form.get("password", "")
        try:
            return await self._signin.change_password(person, current, new, asked.peer)
        except SeadragonError as error:
            return No(503, str(error))

    def _show_account(self, asked: Asked, person: Person, no: No | None = None) -> Response:
        if asked.program:
            return JSONResponse({"name": person.user.name, "role": person.user.role})
        changed = asked.request.query_params.get("done") == "password"
        page = account_seen(asked, person, self._holders, nav_of(asked, self._tokens), no, changed=changed)
        return self._page("account", page, no)

    async def _devices(self, request: Request) -> Response:
        asked = self.asked(request)
        if asked.person is None:
            return to_login(asked)
        if request.method == "POST":
            return await self._end_devices(asked, asked.person)
        page = devices_seen(asked.person, self._holders, nav_of(asked, self._tokens), time.time())
        if asked.program:
            lines = [{"id": line.id, "device": line.device, "this": line.this} for line in page.lines]
            return JSONResponse({"devices": lines})
        return self._page("devices", page)

    async def _end_devices(self, asked: Asked, person: Person) -> Response:
        form = await fields_of(asked, self._tokens, time.time())
        if isinstance(form, No):
            return self._refuse(asked, form)
        which = form.get("end", "")
        if which == "others":
            await self._signin.end_others(person, asked.peer)
        elif not await self._signin.end(person, which, asked.peer):
            return self._refuse(asked, No(404, "There is no such device: it was signed out already."))
        if asked.program:
            return Response(status_code=204)
        return RedirectResponse("/account/devices" if which != person.session.id else "/login", 303)

    async def _again(self, request: Request) -> Response:
        """The password once more, on the way to `onward`."""
        asked = self.asked(request)
        if asked.person is None:
            return to_login(asked)
        onward = request.query_params.get("onward", "")
        if request.method != "POST":
            return self._show_again(asked, onward)
        form = await fields_of(asked, self._tokens, time.time())
        if isinstance(form, No):
            return refused(form) if asked.program else self._show_again(asked, onward, form)
        proved = await self._signin.prove(asked.person, form.get("password", ""), asked.peer)
        if isinstance(proved, No):
            return refused(proved) if asked.program else self._show_again(asked, form.get("onward", ""), proved)
        return (
            Response(status_code=204) if asked.program else RedirectResponse(local(form.get("onward", "")) or "/", 303)
        )

    def _show_again(self, asked: Asked, onward: str, no: No | None = None) -> Response:
        page = DoorPage(
            nav=nav_of(asked, self._tokens),
            kind="again",
            headline="Is it still you?",
            story="What comes next is for an admin alone, and you have not been here for a while.",
            mood="oops" if no else "waiting",
            action=AGAIN,
            trouble=no.words if no else "",
            wrong=no.field if no else "",
            aside="",
            called="",
            onward=local(onward),
            open=True,
        )
        return self._page("door", page, no)

    # --- parts of the above ---

    def _page(self, name: str, page: object, no: No | None = None, status: int = 200) -> HTMLResponse:
        html = self._templates.get_template(f"people/{name}.html").render(page=page)
        headers = {"Retry-After": str(no.wait)} if no and no.wait else None
        return HTMLResponse(html, no.status if no else status, headers)

    def _refuse(self, asked: Asked, no: No) -> Response:
        """A button that did nothing: the page as it is now says why."""
        return refused(no) if asked.program else RedirectResponse(asked.request.url.path, 303)


def local(path: str) -> str:
    """A path on this server, or "": nobody is sent anywhere else, however it is spelled."""
    plain = path.isprintable() and path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if plain else ""


def to_login(asked: Asked) -> Response:
    """Who is not signed in: a browser is led to where one can, a program is told."""
    if asked.program or asked.request.method not in ("GET", "HEAD"):
        return refused(No(401, "Nobody is signed in. Sign in at /login."))
    url = asked.request.url
    return RedirectResponse(f"/login?onward={quote(url.path + (f'?{url.query}' if url.query else ''))}", 303)


def to_again(asked: Asked) -> Response:
    """An admin who has been idle: the password first."""
    if asked.program or asked.request.method not in ("GET", "HEAD"):
        return refused(No(403, f"Give your password again first, at {AGAIN}."))
    return RedirectResponse(f"{AGAIN}?onward={quote(asked.request.url.path)}", 303)
