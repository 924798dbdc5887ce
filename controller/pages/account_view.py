"""From the rows of a person, their browsers and their keys to what the pages say of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from controller.auth.giving import Standing
from controller.auth.holders import Holders
from controller.auth.rows import KeyRow, Role, SessionRow
from controller.auth.signin import No, Person
from controller.auth.states import KeyState, key_state
from controller.pages import forms
from controller.pages.asked import Asked
from controller.pages.contexts import Nav, Tone
from controller.pages.people_contexts import AccountPage, DeviceLine, DevicesPage, KeyLine
from controller.plain import count_words, moment_words

ROLE_WORDS: Final[dict[Role, str]] = {"child": "a child", "member": "a member", "admin": "an admin"}


def nav_of(asked: Asked, tokens: forms.FormTokens) -> Nav:
    """The bar for whoever asks."""
    person = asked.person
    return Nav(
        person=person.user.name if person else "",
        admin=person is not None and person.user.role == "admin",
        here=asked.request.url.path,
        lapsed=person is not None and person.user.role == "admin" and not person.proven,
        form=tokens.make(asked.label, time.time()),
    )


def account_seen(
    asked: Asked, person: Person, holders: Holders, nav: Nav, no: No | None, *, changed: bool
) -> AccountPage:
    """Oneself."""
    now = time.time()
    return AccountPage(
        nav=nav,
        trouble=no.words if no else "",
        wrong=no.field if no else "",
        done="Your password is changed, and your other browsers are signed out." if changed and not no else "",
        role=ROLE_WORDS[person.user.role],
        since=moment_words(person.user.created_at, now),
        keys=tuple(_key_line(row, now) for row in holders.keys.of(person.user.id)),
        devices=count_words(len(holders.sessions.of(person.user.id)), "browser"),
    )


def devices_seen(person: Person, holders: Holders, nav: Nav, now: float) -> DevicesPage:
    """The browsers somebody is signed in with, the one used last first."""
    used = {row: holders.sessions.used_at(row.id) for row in holders.sessions.of(person.user.id)}
    rows = sorted(used, key=lambda row: used[row], reverse=True)
    return DevicesPage(nav, tuple(_device_line(row, person.session.id, used[row], now) for row in rows))


def _device_line(row: SessionRow, this: str, used: float, now: float) -> DeviceLine:
    return DeviceLine(
        id=row.id,
        device=row.device,
        this=row.id == this,
        last=moment_words(used, now),
        address=row.used_from or "an unknown address",
        began=moment_words(row.started_at, now),
    )


_KEYS: Final[Mapping[KeyState, tuple[str, Tone]]] = {
    "revoked": ("revoked", "off"),
    "expired": ("expired", "off"),
    "not yet": ("not yet", "off"),
    "paused": ("paused", "wait"),
    "active": ("works", "ok"),
}


def _key_line(row: KeyRow, now: float) -> KeyLine:
    state, tone = _KEYS[key_state(row, Standing.GOOD, now)]  # a person's own key leans on no giver
    used = f"last used {moment_words(row.used_at, now)}" if row.used_at is not None else "never used"
    from_where = f" from {row.used_from}" if row.used_at is not None and row.used_from else ""
    return KeyLine(row.name, f"sd_{row.id}_…{row.last4}", state, tone, used + from_where)
