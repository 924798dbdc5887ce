"""docs/policy.md, written from the policy table: `python -m controller.auth.reference > docs/policy.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from controller.auth.policy import IMPLIED, PAGES, POLICY, ROLES, Right, Row, Tunnel

_INTRODUCTION: Final = """\
# Who may do what

Written from the one table the code itself asks, `controller/auth/policy.yaml`. A route that does not stand here is not
served. `access.yaml` narrows and widens it: `roles` for everybody of a role, the scopes of a key or an entry for one.

Who is calling is asked in this order: a key (`Authorization: Bearer sd_…`, `X-API-Key`, or as the password of Basic),
then the address, then nobody in particular. A key that is wrong is refused, whatever the address may do. Pages take the
sign-in of a person, or an address, and never a key; the API takes no sign-in.
"""
_TUNNEL: Final = {
    Tunnel.YES: "as at home",
    Tunnel.NO: "never",
    Tunnel.SURFACE: "only with `surfaces.admin.tunnel`",
}
_NEEDS: Final = {Right.ANYONE: "nothing", Right.NOBODY: "switched off for everybody"}


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([_INTRODUCTION, *_roles(), *_routes("The API", POLICY), *_routes("Pages", PAGES)])


def _roles() -> Iterator[str]:
    yield "## Roles\n"
    yield "| role | who | may | at most |"
    yield "|---|---|---|---|"
    for name, role in ROLES.items():
        yield f"| {name} | {role.who} | {_rights(role.may)} | {_rights(role.most)} |"
    yield ""
    for right, others in IMPLIED.items():
        yield f"- A scope `{right}` brings {_rights(others)} along."
    yield ""


def _routes(title: str, rows: Mapping[str, Row]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| route | needs | through the tunnel | note |"
    yield "|---|---|---|---|"
    for route, row in rows.items():
        tunnel = "–" if row.needs is Right.NOBODY else _TUNNEL[row.tunnel]
        yield f"| `{route}` | {_NEEDS.get(row.needs) or f'`{row.needs}`'} | {tunnel} | {row.note} |"
    yield ""


def _rights(rights: frozenset[Right]) -> str:
    return ", ".join(f"`{right}`" for right in Right if right in rights) or "nothing"


if __name__ == "__main__":
    print(page(), end="")
