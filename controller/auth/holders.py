"""The one owner of keys, people, sessions, invites, one-time links and addresses: in memory and in the database."""

from __future__ import annotations

import os
from collections.abc import Callable

from controller.auth.access import Principal
from controller.auth.held.addresses import AddressStore
from controller.auth.held.barring import Barring
from controller.auth.held.given import Giving
from controller.auth.held.invites import InviteStore
from controller.auth.held.keys import KeyStore
from controller.auth.held.ledger import Ledger
from controller.auth.held.links import LinkStore
from controller.auth.held.memory import HeldRows
from controller.auth.held.named import NamesInUse
from controller.auth.held.papers import AdminCodes, ResetLinks
from controller.auth.held.people import UserStore
from controller.auth.held.sessions import SessionStore
from controller.auth.held.uses import LastUses
from controller.auth.secrets import Random
from controller.clock import Clock
from controller.config.entry import Access
from controller.events import Journal


class Holders:
    """Every right that was given, and the only way to give, change or take one: a store for each kind of row, and one
    ledger that all their orders go through.

    `ledger.run` opens the database and brings the rows in; `ledger.known` is set then. Reading is from memory and at
    once. An order is in the database before it is in memory, and in memory before `ledger.changed` is told; it raises
    SeadragonError, and then nothing has changed: OrderRefused for what cannot be done, SeadragonError itself when the
    database is not open or takes nothing.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        random: Random = os.urandom,
        *,
        access: Callable[[], Access] = Access,
    ) -> None:
        """`access`: the configuration as it is now."""
        rows = HeldRows()
        uses = LastUses(rows)
        self.giving = giving = Giving(rows, access, clock)
        self.barring = Barring(rows, clock, journal)
        self.names = names = NamesInUse(rows, access, clock, journal)
        self.ledger = ledger = Ledger(rows, giving, self.barring, uses, clock, journal)
        self.keys = KeyStore(ledger, rows, giving, names, uses, clock, random)
        self.sessions = SessionStore(ledger, rows, uses, clock, random)
        self.links = LinkStore(ledger, rows, giving, clock, random)
        self.users = UserStore(ledger, rows, giving, names, self.keys, self.sessions, self.links, clock, random)
        self.invites = InviteStore(ledger, rows, giving, self.users, clock, random)
        self.addresses = AddressStore(ledger, rows, giving, names, uses, clock, random)
        self.resets = ResetLinks(ledger, self.links, self.users)
        self.codes = AdminCodes(ledger, self.links, self.users)

    # --- as the keyring asks ---

    def used(self, who: Principal, address: str) -> None:
        """`who` was let in, from `address`. Costs next to nothing."""
        match who.kind:
            case "key":
                self.keys.used(who.id, address)
            case "person":
                self.sessions.used(who.session, address)
            case "address":
                self.addresses.used(who.id)

    @property
    def addresses_off(self) -> str:
        """`barring.addresses_off`."""
        return self.barring.addresses_off

    @property
    def unread(self) -> str:
        """`ledger.unread`."""
        return self.ledger.unread
