"""What the templates of the pages for people are given. Every field says in its `help` what it is for."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from controller.pages.contexts import Mood, Nav, Tone, said


@dataclass(frozen=True, slots=True)
class DoorPage:
    """A page with a form that lets somebody in: sign in, join, new password, the admin's code, the password again."""

    nav: Nav = said("The bar.")
    kind: str = said("Which form: login, join, reset, code, again.")
    headline: str = said("What it is, in a few words.")
    story: str = said("Why, and what to do, one sentence.")
    mood: Mood = said("The seadragon's face.")
    action: str = said("Where the form goes.")
    trouble: str = said("Why the last try was refused; empty for none.")
    wrong: str = said("The field that has to be corrected; empty for none.")
    aside: str = said("Why this computer alone opens nothing here; empty for nothing to say.")
    called: str = said("The name that was typed the last time.")
    onward: str = said("The page to go to afterwards.")
    open: bool = said("Whether signing in works here at all: not over plain http from elsewhere.")


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key of theirs."""

    label: str = said("What it was named.")
    shown: str = said("What can be shown of it.")
    state: str = said("Whether it works, in a word or two.")
    tone: Tone = said("Colour of that word.")
    last: str = said("When and where it was last used.")


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Oneself."""

    nav: Nav = said("The bar.")
    trouble: str = said("Why the password was not changed; empty for none.")
    wrong: str = said("The field that has to be corrected; empty for none.")
    done: str = said("What was just done; empty for nothing.")
    role: str = said("What they are here, in words.")
    since: str = said("Since when they are here.")
    keys: tuple[KeyLine, ...] = said("Their keys.")
    devices: str = said("How many browsers they are signed in with, in words.")


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """One browser they are signed in with."""

    id: str = said("Of its session.")
    device: str = said("What it is.")
    this: bool = said("It is the one that shows the page.")
    last: str = said("When it was last used.")
    address: str = said("Where from.")
    began: str = said("When they signed in with it.")


@dataclass(frozen=True, slots=True)
class DevicesPage:
    """All of them."""

    nav: Nav = said("The bar.")
    lines: tuple[DeviceLine, ...] = said("Each browser, the one that was used last first.")


@dataclass(frozen=True, slots=True)
class InviteLine:
    """One invite."""

    id: str = said("Its id.")
    label: str = said("What it is for.")
    role: str = said("What they become who use it.")
    uses: str = said("How often it was used, of how often it may be.")
    until: str = said("When it ends.")
    state: str = said("Whether it can still be used, in a word or two.")
    tone: Tone = said("Colour of that word.")
    valid: bool = said("It can be revoked.")
    people: str = said("Who came by it.")


@dataclass(frozen=True, slots=True)
class MadeInvite:
    """The one that was just made: shown once."""

    link: str = said("What to send.")
    picture: Markup = said("The same as a QR code.")
    story: str = said("What it is good for.")
    caution: str = said("Why it only works on this machine; empty when it works elsewhere, too.")


@dataclass(frozen=True, slots=True)
class InvitesPage:
    """Invites, for an admin."""

    nav: Nav = said("The bar.")
    trouble: str = said("Why the last one was not made; empty for none.")
    wrong: str = said("The field that has to be corrected; empty for none.")
    made: MadeInvite | None = said("The one that was just made.")
    lines: tuple[InviteLine, ...] = said("All of them, newest first.")
    longest: str = said("How many characters may say for whom an invite is.")
