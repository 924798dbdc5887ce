"""The one owner of keys, people, sessions, invites, addresses and one-time links. Interface first; see rows.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from controller.auth.rows import AllowRow, InviteRow, KeyRow, Role, SessionRow, UserRow, Verdict
from controller.auth.secrets import NewKey, NewToken
from controller.storage.database import Database

What = Literal["key", "user", "session", "invite", "allow"]


class Interface(Protocol):
    """Every order is in the database first, then in memory, then `changed` is told. Reads are from memory, at once.

    Every order raises SeadragonError (a plain sentence): no database, or it cannot be done. `OrderRefused` kinds:
    unknown (no such id), conflict (name taken, last admin).
    """

    changed: list[Callable[[What, str], None]]  # the row is new, different, expired, or gone: look at memory
    known: asyncio.Event  # set once the rows are here, or will not come
    why: str  # no order can be given now, and why; "" when all is well (closed = rows empty = fails closed)

    async def run(self, database: Database) -> None: ...  # opens it, loads, writes behind, expires; until cancelled

    # reads
    keys: Mapping[str, KeyRow]  # by public id, revoked ones too
    users: Mapping[str, UserRow]
    live_sessions: Mapping[str, SessionRow]  # by sid; expired ones may linger up to a minute: check expires_at
    invites: Mapping[str, InviteRow]
    allowed: Mapping[str, AllowRow]

    def user_named(self, name: str) -> UserRow | None: ...  # NFKC + casefold + strip
    def sessions(self, user_id: str) -> Sequence[SessionRow]: ...  # newest first
    def keys_of(self, user_id: str) -> Sequence[KeyRow]: ...
    def has_admin(self) -> bool: ...

    # uses: memory at once, database at most once a minute
    def key_used(self, id: str, peer: str) -> None: ...
    def session_used(self, sid: str, peer: str) -> None: ...
    def address_used(self, id: str) -> None: ...

    # keys; `limits` below: default_model, per_minute, running, waiting, expires_at
    async def create_key(
        self,
        name: str,
        *,
        by: str,
        user_id: str | None = None,
        lane: float = 2.0,
        scopes: Sequence[str] = ("infer",),
        models: Sequence[str] = (),
        cidrs: Sequence[str] = (),
        **limits: Any,
    ) -> NewKey: ...
    async def change_key(self, id: str, **fields: Any) -> KeyRow: ...
    async def pause_key(self, id: str) -> KeyRow: ...
    async def resume_key(self, id: str) -> KeyRow: ...
    async def revoke_key(self, id: str) -> KeyRow: ...

    # people; a password comes hashed (bcrypt text), and setting one ends every session but `keep`
    async def create_user(self, name: str, role: Role, *, by: str, password: str = "", **fields: Any) -> UserRow: ...
    async def change_user(self, id: str, **fields: Any) -> UserRow: ...  # lane, models, per_minute, running, waiting
    async def set_role(self, id: str, role: Role) -> UserRow: ...  # demotion ends their sessions
    async def set_password(self, id: str, password: str, *, keep: str = "") -> UserRow: ...
    async def disable_user(self, id: str) -> UserRow: ...  # their sessions end; their keys are refused while disabled
    async def enable_user(self, id: str) -> UserRow: ...
    async def delete_user(self, id: str) -> None: ...  # with sessions, keys, links

    # sessions
    async def start_session(self, user_id: str, device: str, peer: str, *, lasts: float) -> SessionRow: ...
    async def prove_session(self, sid: str) -> SessionRow: ...  # the password was given again
    async def end_session(self, sid: str) -> None: ...
    async def end_sessions(self, user_id: str, *, keep: str = "") -> int: ...

    # invites and one-time links; wrong, used up and expired are one answer: SeadragonError with one text
    async def create_invite(
        self, role: Role, *, uses: int, lasts: float, label: str, by: str
    ) -> tuple[InviteRow, NewToken]: ...
    async def revoke_invite(self, id: str) -> InviteRow: ...
    def invite_for(self, token: str) -> InviteRow | None: ...  # a look only, for the join page; redeem decides
    async def redeem(self, token: str, name: str, password: str) -> UserRow: ...  # one transaction: UPDATE + INSERT
    async def create_reset(self, user_id: str, *, lasts: float, by: str) -> NewToken: ...
    async def redeem_reset(self, token: str, password: str) -> UserRow: ...
    async def admin_code(self) -> NewToken: ...  # 15 min, one valid at a time
    async def redeem_admin_code(
        self, token: str, name: str, password: str
    ) -> UserRow: ...  # creates, or promotes `name`

    # addresses beside those of access.yaml
    async def allow_add(
        self,
        cidr: str,
        label: str,
        *,
        by: str,
        verdict: Verdict = "allow",
        lane: float = 1.0,
        scopes: Sequence[str] = ("infer",),
        models: Sequence[str] = (),
        expires_at: float | None = None,
    ) -> AllowRow: ...
    async def allow_remove(self, id: str) -> None: ...
