"""People at the door: who joins, signs in, proves who they are again, and whose browser is known.

Each order is a value in the end: the session that was begun, or `No` with what a person is told. What was wrong with a
name, a password, an invite or a link is never told apart. A wrong name takes as long as a wrong password; a wrong
invite, link or code costs no hash, for nobody finds one by trying.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from controller.auth import cookies, passwords, sessions
from controller.auth.hashing import Busy, Hashing
from controller.auth.held.checks import LONGEST_NAME, MISLEADING, misleading
from controller.auth.holders import Holders
from controller.auth.rows import SessionRow, UserRow, folded
from controller.auth.sessions import SigningKeys
from controller.auth.throttle import Throttle, home_of
from controller.clock import Clock
from controller.errors import OrderRefused, SeadragonError
from controller.storage.database import to_its_end

T = TypeVar("T")

NO_MATCH: Final = "That name and password do not belong together."
NO_INVITE: Final = "This invite is not valid: it was used, is too old, or was mistyped. Ask for a new one."
NO_LINK: Final = "This link is not valid: it was used, is too old, or was mistyped. Ask for a new one."
NO_CODE: Final = (
    "This code is not valid: it was used, is too old, or was mistyped. Make a new one: `seadragon admin-code`"
)
_NOT_AGAIN: Final = "That is not your password."
_TAKEN: Final = "Somebody here has that name already, or one that looks like it. Please choose another one."
_NO_NAME: Final = f"A name has one to {LONGEST_NAME} letters, digits or signs, and no line breaks."
_UNREAD: Final = (
    "Nobody can be looked up here at this moment. Please try again in a little while. (Whoever runs this server: "
    "`seadragon doctor` says why.)"
)
_BUSY: Final = "Too many passwords are being checked at this moment. Please try again in a few seconds."


class Note(Protocol):
    """Writes down what was done or refused (the audit). Never waits."""

    def __call__(self, what: str, *, actor: str, target: str, outcome: str, peer: str) -> None: ...


@dataclass(frozen=True, slots=True)
class No:
    """It was not done. `status` is HTTP's; `field` is the one to correct, "" for none; `wait` is in seconds."""

    status: int
    words: str
    field: str = ""
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in. `proven`: an admin's rights need no password at this moment."""

    user: UserRow
    session: SessionRow
    proven: bool

    @property
    def identity(self) -> str:
        """As their Principal has it."""
        return f"person:{self.user.id}"


@dataclass(frozen=True, slots=True)
class Browser:
    """Where somebody sits: what their browser calls itself, for people, and its address."""

    device: str
    peer: str


class SignIn:
    """The door for people, over the one owner of their rows."""

    def __init__(self, holders: Holders, hashing: Hashing, keys: SigningKeys, clock: Clock, note: Note) -> None:
        self.holders, self.hashing, self._clock = holders, hashing, clock
        self.note = note
        self._throttle = Throttle()
        self._at_work: dict[str, float] = {}  # by sid: when an admin's rights were last used
        self.keys = keys  # replaced by a rotation

    # --- every request ---

    def person(self, token: str, peer: str, *, uses: bool = True) -> Person | None:
        """Whose browser carries this token; None for nobody's, and for a session that is over. In memory, at once.

        `uses`: the request keeps the session alive; looking again during a stream does not.
        """
        claims = sessions.read(token, self.keys, self._clock.wall())
        session = self.holders.sessions.get(claims.session) if claims else None
        if claims is None or session is None or session.user_id != claims.user:
            return None
        return self._alive(session, peer, uses)

    def session_of(self, cookie: bytes, now: float) -> str | None:
        """The session that a Cookie header carries; None for none that lives."""
        token = cookies.token_in(cookie, plain=True)
        person = self.person(token, "", uses=False) if token else None
        return person.session.id if person else None

    def _alive(self, session: SessionRow, peer: str, uses: bool) -> Person | None:
        now = self._clock.wall()
        user = self.holders.users.get(session.user_id)
        used = self.holders.sessions.used_at(session.id)
        if user is None or user.disabled or sessions.over(session.started_at, used, session.expires_at, now):
            return None
        proven = sessions.proven(session.proven_at, self._at_work.get(session.id, 0.0), now)
        if uses:
            self.holders.sessions.used(session.id, peer)
            if proven and user.role == "admin":
                self._at_work[session.id] = now
        return Person(user, session, proven)

    def token(self, session: SessionRow) -> str:
        """What its browser carries from now on."""
        return sessions.sign(session.id, session.user_id, session.started_at, session.expires_at, self.keys)

    # --- coming in ---

    async def enter(self, name: str, password: str, browser: Browser) -> SessionRow | No:
        """Sign in."""
        if self.holders.unread:
            return _unread()
        user = self.holders.users.named(name)
        known = user is not None and self._knows(user, browser.peer)
        account = _account(name)
        if wait := self._throttle.ask(account, browser.peer, self._clock.now(), known=known):
            return self._wait("session.start", user.name if user else "", browser.peer, wait)
        kept = user.password if user is not None and not user.disabled else ""
        try:
            checked = await self.hashing.check(password, kept, known=known)
        except Busy:
            self._throttle.right(account, browser.peer, known=known)  # nothing was tried
            return _busy()
        if user is None or not checked.right:
            self.note("session.start", actor=user.name if user else "", target="", outcome="refused", peer=browser.peer)
            return No(403, NO_MATCH)
        self._throttle.right(account, browser.peer, known=known)
        if checked.fresh:
            await self.holders.users.rehash(user.id, checked.fresh, instead=user.password)
        return await to_its_end(self._begin(user, browser, NO_MATCH))

    async def join(self, invite: str, name: str, password: str, browser: Browser) -> SessionRow | No:
        """Become somebody by an invite, and sign in."""
        found = self.holders.invites.good(invite)
        paper = f"\0invite {found.id}" if found else ""
        if no := self._tried(paper, browser.peer, "invite.use", NO_INVITE):
            return no
        if no := unfit(name, password):
            return no
        if self.holders.names.taken(written(name)):
            return No(409, _TAKEN, "name")
        try:
            hashed = await self.hashing.hash(password)
        except Busy:
            self._throttle.right(paper, browser.peer)  # nothing was tried
            return _busy()
        redeemed = self.holders.invites.redeem(invite, written(name), hashed)
        return await to_its_end(self._redeemed("invite.use", redeemed, browser, NO_INVITE, paper))

    async def reset(self, link: str, password: str, browser: Browser) -> SessionRow | No:
        """Set a new password by a link that an admin gave, and sign in. Every other session ends."""
        user = self.holders.resets.user_of(link)
        paper = f"\0link {user.id}" if user else ""
        if no := self._tried(paper, browser.peer, "password.reset", NO_LINK):
            return no
        assert user is not None, "without a link it ends here"
        if fault := passwords.fault(password, user.name):
            return No(422, fault, "password")
        try:
            hashed = await self.hashing.hash(password)
        except Busy:
            self._throttle.right(paper, browser.peer)  # nothing was tried
            return _busy()
        redeemed = self.holders.resets.redeem(link, hashed)
        return await to_its_end(self._redeemed("password.reset", redeemed, browser, NO_LINK, paper))

    async def take_code(self, code: str, name: str, password: str, browser: Browser) -> SessionRow | No:
        """Become the admin by the code that `seadragon admin-code` showed, and sign in."""
        paper = "\0admin code" if self.holders.codes.good(code) else ""
        if no := self._tried(paper, browser.peer, "admin-code.use", NO_CODE):
            return no
        if no := unfit(name, password):
            return no
        try:
            hashed = await self.hashing.hash(password)
        except Busy:
            self._throttle.right(paper, browser.peer)  # nothing was tried
            return _busy()
        redeemed = self.holders.codes.redeem(code, written(name), hashed)
        return await to_its_end(self._redeemed("admin-code.use", redeemed, browser, NO_CODE, paper))

    # --- being in ---

    async def prove(self, person: Person, password: str, peer: str) -> SessionRow | No:
        """The password once more: an admin's rights come back, or something that matters is about to be done."""
        if no := await self._wrong(person, password, peer, "session.prove"):
            return no
        proved = self.holders.sessions.prove(person.session.id, checked=person.user.password)
        try:
            return await self._done("session.prove", proved, person, peer)
        except OrderRefused:
            return self._overtaken("session.prove", person, peer, "password")

    async def change_password(self, person: Person, current: str, new: str, peer: str) -> No | None:
        """None when it is changed: every other browser of theirs is signed out."""
        if no := await self._wrong(person, current, peer, "password.change", "current"):
            return no
        if fault := passwords.fault(new, person.user.name):
            return No(422, fault, "password")
        try:
            hashed = await self.hashing.hash(new)
        except Busy:
            return _busy()
        changed = self.holders.users.set_password(
            person.user.id, hashed, keep=person.session.id, checked=person.user.password
        )
        try:
            await self._done("password.change", changed, person, peer, lambda _: person.user.id)
        except OrderRefused:
            return self._overtaken("password.change", person, peer, "current")
        return None

    async def leave(self, person: Person, peer: str) -> None:
        """Sign out."""
        self._at_work.pop(person.session.id, None)
        await self._done("session.end", self.holders.sessions.end(person.session.id), person, peer)

    async def end(self, person: Person, session: str, peer: str) -> bool:
        """End one session of theirs; False when they have none of that id."""
        found = self.holders.sessions.get(session)
        if found is None or found.user_id != person.user.id:
            return False
        await self._done("session.end", self.holders.sessions.end(session), person, peer, lambda _: found.device)
        return True

    async def end_others(self, person: Person, peer: str) -> int:
        """End all sessions of theirs but the one they ask from; how many those were."""
        ended = self.holders.sessions.end_all(person.user.id, keep=person.session.id)
        return await self._done("session.end", ended, person, peer, lambda count: f"{count} others")

    # --- parts of the above ---

    def _knows(self, user: UserRow, peer: str) -> bool:
        home = home_of(peer)
        mine = self.holders.sessions.of(user.id)
        return any(home == home_of(place) for each in mine for place in (each.started_from, each.used_from))

    async def _begin(self, user: UserRow, browser: Browser, words: str) -> SessionRow | No:
        """Signed in, unless the password that was given is theirs no more, or they may not come in: then `words`."""
        starting = self.holders.sessions.start(
            user.id, browser.device, browser.peer, lasts=sessions.ABSOLUTE, checked=user.password
        )
        try:
            session = await starting
        except OrderRefused:
            self.note("session.start", actor=user.name, target="", outcome="refused", peer=browser.peer)
            return No(403, words)
        self.note("session.start", actor=user.name, target=browser.device, outcome="done", peer=browser.peer)
        return session

    async def _redeemed(
        self,
        what: str,
        redeemed: Coroutine[Any, Any, UserRow],
        browser: Browser,
        words: str,
        paper: str,
    ) -> SessionRow | No:
        """In by a token that is used up by it, `paper` to the throttle. `words`: what is told when it is not good."""
        try:
            user = await redeemed
        except SeadragonError as error:
            return self._told(error, browser.peer, what, words)
        self._throttle.right(paper, browser.peer)
        target = user.invite_id or "" if what == "invite.use" else user.id
        self.note(what, actor=user.name, target=target, outcome="done", peer=browser.peer)
        return await self._begin(user, browser, words)

    def _overtaken(self, what: str, person: Person, peer: str, field: str) -> No:
        """The password was right when it was looked at, and another by the time it was to count."""
        self.note(what, actor=person.user.name, target="", outcome="refused", peer=peer)
        return No(403, _NOT_AGAIN, field)

    async def _done(
        self,
        what: str,
        deed: Coroutine[Any, Any, T],
        person: Person,
        peer: str,
        target: Callable[[T], str] = lambda _: "",
    ) -> T:
        """What comes of a deed of theirs. It and its row in the audit are one, though they hang up in between."""

        async def noted() -> T:
            done = await deed
            self.note(what, actor=person.user.name, target=target(done), outcome="done", peer=peer)
            return done

        return await to_its_end(noted())

    async def _wrong(self, person: Person, password: str, peer: str, what: str, field: str = "password") -> No | None:
        """Why this person may not go on with that password; None when they may."""
        account = _account(person.user.name)
        if wait := self._throttle.ask(account, peer, self._clock.now(), known=True):
            return self._wait(what, person.user.name, peer, wait)
        try:
            checked = await self.hashing.check(password, person.user.password, known=True)
        except Busy:
            self._throttle.right(account, peer, known=True)
            return _busy()
        if not checked.right:
            self.note(what, actor=person.user.name, target="", outcome="refused", peer=peer)
            return No(403, _NOT_AGAIN, field)
        self._throttle.right(account, peer, known=True)
        return None

    def _tried(self, paper: str, peer: str, what: str, words: str) -> No | None:
        """Every try with a token counts, as one with a password does: who holds a good one (`paper` says which, in no
        account's words; "" for a wrong one) must not have names and passwords looked at as fast as they can send them.
        None: it may go on.
        """
        if self.holders.unread:
            return _unread()
        if wait := self._throttle.ask(paper, peer, self._clock.now()):
            return self._wait(what, "", peer, wait)
        if paper:
            return None
        self.note(what, actor="", target="", outcome="refused", peer=peer)
        return No(403, words, "token")

    def _told(self, error: SeadragonError, peer: str, what: str, words: str) -> No:
        """What an order that was not carried out comes to."""
        if not isinstance(error, OrderRefused):
            return No(503, str(error))
        if error.kind == "conflict":
            return No(409, _TAKEN, "name")  # the words of the order name who has it
        self.note(what, actor="", target="", outcome="refused", peer=peer)
        return No(403, words, "token")

    def _wait(self, what: str, name: str, peer: str, wait: float) -> No:
        seconds = math.ceil(wait)
        self.note(what, actor=name, target="", outcome="throttled", peer=peer)
        after = f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
        return No(429, f"Too many tries. Please wait {after}, then try again.", wait=seconds)


def written(name: str) -> str:
    """A name as it is kept: without blanks around it, and its accents as one letter each."""
    return unicodedata.normalize("NFC", name).strip()


def unfit(name: str, password: str) -> No | None:
    """Why nobody may be called so, or have that password."""
    called = written(name)
    if not 1 <= len(called) <= LONGEST_NAME or not called.isprintable():
        return No(422, _NO_NAME, "name")
    if misleading(called):
        return No(422, MISLEADING, "name")
    fault = passwords.fault(password, called)
    return No(422, fault, "password") if fault else None


def _account(name: str) -> str:
    """What tries at a name are counted under, however it is spelled and however long it is."""
    return folded(name)[: 2 * LONGEST_NAME] or "-"


def _unread() -> No:
    """It may be right: nobody can tell, so no try is counted."""
    return No(503, _UNREAD, wait=10)


def _busy() -> No:
    return No(503, _BUSY, wait=2)
