"""People, keys, invites, addresses, usage and audit in words, for the terminal. Pure.

The documents are those of `auth/office.py`, `storage/usage.py` and `storage/audit.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.line_words import lane_words
from controller.listing import Listing
from controller.plain import moment_words, printable, size_words, span_words

_COLOURS = {"active": "green", "open": "green", "paused": "yellow", "not yet": "yellow", "no password": "yellow"}
_NUMBERS = ("LANE", "USED", "REQUESTS", "FAILED", "TOKENS IN", "TOKENS OUT", "WAITED", "TOOK", "SENT", "#", "HITS")


def key_table(keys: Sequence[Mapping[str, Any]], now: float) -> Listing:
    """A table of keys."""
    head = ("ID", "NAME", "STATE", "LANE", "MAY", "MODELS", "LAST USED", "UNTIL")
    rows = [
        (
            f"{key['id']} …{key['last4']}",
            key["name"] + (f" ({key['user']})" if key["user"] else ""),
            key["state"],
            lane_words(key["lane"]),
            ", ".join(key["scopes"]),
            ", ".join(key["models"]) or "all",
            _moment(key["used_at"], now, "never"),
            _moment(key["expires_at"], now, ""),
        )
        for key in keys
    ]
    return _table(head, rows, 2, "There is no key yet. To make one: seadragon keys create NAME")


def user_table(users: Sequence[Mapping[str, Any]], now: float) -> Listing:
    """A table of people."""
    head = ("NAME", "ROLE", "STATE", "BROWSERS", "KEYS", "LAST SEEN", "CAME BY")
    rows = [
        (
            user["name"],
            user["role"],
            user["state"],
            str(user["sessions"]),
            str(user["keys"]),
            _moment(user["used_at"], now, "never"),
            user["by"],
        )
        for user in users
    ]
    none = "There is nobody yet. The first admin: seadragon admin-code. Everybody else: seadragon invites create NAME"
    return _table(head, rows, 2, none)


def invite_table(invites: Sequence[Mapping[str, Any]], now: float) -> Listing:
    """A table of invites."""
    head = ("ID", "FOR", "ROLE", "STATE", "USED", "UNTIL", "WHO CAME")
    rows = [
        (
            invite["id"],
            invite["label"],
            invite["role"],
            invite["state"],
            f"{invite['used']} of {invite['uses']}",
            _moment(invite["expires_at"], now, ""),
            ", ".join(invite["people"]),
        )
        for invite in invites
    ]
    return _table(head, rows, 3, "There is no invite yet. To make one: seadragon invites create NAME")


def allow_table(entries: Sequence[Mapping[str, Any]], now: float) -> Listing:
    """A table of addresses."""
    head = ("ADDRESS", "", "LABEL", "LANE", "MAY", "HITS", "UNTIL", "ID")
    rows = [
        (
            entry["cidr"],
            entry["verdict"],
            entry["label"],
            lane_words(entry["lane"]),
            ", ".join(entry["scopes"]),
            str(entry.get("hits", "")),
            _moment(entry.get("expires_at"), now, ""),
            entry["id"] or "access.yaml",
        )
        for entry in entries
    ]
    return _table(head, rows, 1, "No address is let in. To let one in: seadragon allow add ADDRESS LABEL")


def sum_table(by: str, sums: Sequence[Mapping[str, Any]]) -> Listing:
    """A table of sums."""
    head = (by.upper(), "REQUESTS", "FAILED", "TOKENS IN", "TOKENS OUT", "WAITED", "TOOK", "SENT", "")
    rows = [
        (
            str(each["key_id"] or f"{each['caller']} (no key)") if by == "key" else each[by],
            str(each["requests"]),
            str(each["failed"]),
            str(each["prompt_tokens"]),
            f"{'~' if each['estimated'] else ''}{each['answer_tokens']}",
            span_words(each["waited"]),
            span_words(each["seconds"]),
            size_words(each["bytes_out"]),
            "",
        )
        for each in sums
    ]
    return _table(head, rows, 0, "Nothing was asked in that time.")


def audit_table(rows: Sequence[Mapping[str, Any]], now: float) -> Listing:
    """A table of deeds, the oldest of them first, so that the newest is next to the prompt."""
    head = ("#", "WHEN", "WHO", "FROM", "WHAT", "ENDED", "")
    cells = [
        (
            str(row["number"]),
            moment_words(row["at"], now),
            row["actor"] or "a stranger",
            row["peer"] or "here",
            row["what"],
            row["outcome"],
            " ".join([row["target"], *(f"{name}={value}" for name, value in row["facts"].items())]).strip(),
        )
        for row in reversed(rows)
    ]
    return _table(head, cells, 5, "Nothing was noted in that time.")


def verdict_line(verdict: Mapping[str, Any]) -> str:
    """What a look at the audit's chain found."""
    if verdict["broken"] is not None:
        return f"The audit was changed: {printable(verdict['words'])} Until there {verdict['rows']} rows are good."
    if not verdict["rows"]:
        return "The audit is empty."
    words = f"The audit is as it was written: {verdict['rows']} rows, the last is number {verdict['last']}."
    return f"{words}\nKeep its hash elsewhere to be sure of this another day: {verdict['hash']}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], state: int, none: str) -> Listing:
    return Listing(head, rows, [_COLOURS.get(row[state]) for row in rows], state, _NUMBERS, none)


def _moment(at: float | None, now: float, none: str) -> str:
    return none if at is None else moment_words(at, now)
