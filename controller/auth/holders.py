"""The one owner of keys, people, sessions, invites, one-time links and addresses: in memory and in the database."""

from __future__ import annotations

from controller.auth.held.addresses import Addresses
from controller.auth.held.invites import Invites


class Holders(Invites, Addresses):
    """Every right that was given, and the only way to give, change or take one.

    `run` opens the database and brings the rows in; `known` is set then. Reading is from memory and at once. An order
    is in the database before it is in memory, and in memory before `changed` is told; it raises SeadragonError, and
    then nothing has changed: OrderRefused for what cannot be done, SeadragonError itself when the database is not open
    or takes nothing.
    """
