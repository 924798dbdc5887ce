"""The rows about rights: keys, people, invites, addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.auth.rows import LONGEST_PAPER, MOST_USES
from controller.orders.fields import Field
from controller.orders.row import Order, Way

LONGEST_LIFE: Final = 10 * 365 * 86400.0  # seconds a key or an address may last, at most
KEEPS: Final = "The admin, by name or id, who answers from now on for what they gave out; left out: that ends."

_NAME: Final = Field("name", help="What it is, or they are, called.", needed=True, longest=64, typed="NAME")
_ID: Final = Field("id", help="Its id, as the list shows it.", needed=True, longest=64, typed="ID")
_USER: Final = Field("user", help="By name or id.", needed=True, longest=64, typed="NAME")
_KEEP: Final = Field("keep", help=KEEPS, longest=64, typed="--keep NAME")
_ROLE: Final = Field(
    "role", help="What they may here.", needed=True, choices=("child", "member", "admin"), typed="ROLE"
)
_LIKE_MEMBERS: Final = replace(_ROLE, needed=False, usual="member", typed="--role")
_LASTS: Final = Field(
    "lasts", "number", "It ends after so many seconds.", above=0, most=LONGEST_LIFE, typed="--for SPAN", span=True
)
_LANE: Final = Field("lane", "number", "Priority; lower goes sooner.", least=0, most=1000, typed="--lane")
_SCOPES: Final = Field(
    "scopes", "texts", "What it may do: infer, embed, audio, list, manage, admin.", typed="--may RIGHT"
)
_MODELS: Final = Field(
    "models", "texts", "Patterns of models, * for anything; all others do not exist for it.", typed="--model PATTERN"
)
_LIMITS: Final = (
    Field("per_minute", "whole", "Requests a minute.", least=1, most=1_000_000, typed="--per-minute"),
    Field("running", "whole", "Answers at a time.", least=1, most=1000, typed="--running"),
    Field("waiting", "whole", "Requests in the line at a time.", least=1, most=10_000, typed="--waiting"),
)
_OF_A_KEY: Final = (
    _SCOPES,
    _MODELS,
    Field("cidrs", "texts", "Addresses and ranges it may be used from.", typed="--from ADDRESS"),
    Field("default_model", help="Of requests that name none.", empty=True, typed="--default-model MODEL"),
    *_LIMITS,
    _LASTS,
)
_CLEARED: Final = ("default_model", "per_minute", "running", "waiting", "lasts")

_KEYS: Final = (
    Order(
        "keys.create",
        "admin",
        "rights",
        "Make a key, shown this once",
        (
            _NAME,
            Field("user", help="Whose it is, by name or id; it ends with them.", longest=64, typed="--user NAME"),
            _LANE,
            *_OF_A_KEY,
        ),
        ways=(Way("Make a key for the application NAME. It is shown once.", "keys create", "Make a key"),),
        route="POST /keys",
        body="NewKey",
        status=201,
    ),
    Order(
        "keys.change",
        "admin",
        "rights",
        "Change a key: what is left out stays as it is, null is as everywhere",
        (
            _ID,
            replace(_NAME, needed=False, typed="--name"),
            _LANE,
            *(replace(field, clears=field.name in _CLEARED) for field in _OF_A_KEY),
        ),
        ways=(
            Way(
                "Change the key ID: what you leave out stays as it is. 0, or '' for a text, is as everywhere.",
                "keys change",
                "Change",
                done="{name} is changed. It counts from the next request on.",
            ),
        ),
        route="POST /keys/change",
        body="KeyChange",
    ),
    Order(
        "keys.pause",
        "admin",
        "rights",
        "Refuse a key for a while",
        (_ID,),
        ways=(
            Way(
                "Refuse the key ID for a while.",
                "keys pause",
                "Pause",
                done="{name} is refused until: seadragon keys resume {id}",
            ),
        ),
        route="POST /keys/pause",
        body="OneKey",
    ),
    Order(
        "keys.resume",
        "admin",
        "rights",
        "Take it again",
        (_ID,),
        ways=(Way("Take the key ID again.", "keys resume", "Resume", done="{name} is taken again."),),
        route="POST /keys/resume",
        body="OneKey",
    ),
    Order(
        "keys.revoke",
        "admin",
        "rights",
        "Revoke a key, for good",
        (_ID, _KEEP),
        ways=(
            Way(
                "Revoke the key ID.",
                "keys revoke",
                "Revoke",
                done="{name} is refused from now on, for good. Its open answers end within a minute.",
                confirm="It is refused from now on, for good.",
            ),
        ),
        route="DELETE /keys/{id}",
    ),
)

_PEOPLE: Final = (
    Order(
        "users.add",
        "admin",
        "rights",
        "Add a person",
        (_NAME, _LIKE_MEMBERS),
        ways=(Way("Add NAME, and make the link by which they set their password.", "users add", "Add"),),
        route="POST /users",
        body="NewUser",
        status=201,
    ),
    Order(
        "users.role",
        "admin",
        "rights",
        "Give a role",
        (_USER, _ROLE, _KEEP),
        ways=(Way("Give NAME the role ROLE.", "users role", "Give a role", done="{name} is {role} now."),),
        route="POST /users/role",
        body="NewRole",
    ),
    Order(
        "users.rename",
        "admin",
        "rights",
        "Call a person something else, with which they sign in from then on",
        (_USER, replace(_NAME, help="What they are called from now on.", typed="NEW")),
        ways=(
            Way(
                "Call NAME by the name NEW, with which they sign in from then on.",
                "users rename",
                "Rename",
                done="{user} is called {name} now.",
            ),
        ),
        route="POST /users/rename",
        body="NewName",
    ),
    Order(
        "users.limit",
        "admin",
        "rights",
        "Set all of a person's limits at once: what is left out is as for everybody",
        (_USER, replace(_MODELS, help="Only these models; * stands for anything."), _LANE, *_LIMITS),
        ways=(
            Way("Set what NAME may have, all at once: what you leave out is as for everybody.", "users limit", "Limit"),
        ),
        route="POST /users/limit",
        body="NewLimits",
    ),
    Order(
        "users.disable",
        "admin",
        "rights",
        "Shut a person out",
        (_USER, _KEEP),
        ways=(
            Way(
                "Shut NAME out.",
                "users disable",
                "Shut out",
                done="{name} is shut out, signed out everywhere, and so are their keys.",
                confirm="They and their keys are refused until they are let in again.",
            ),
        ),
        route="POST /users/disable",
        body="NoUser",
    ),
    Order(
        "users.enable",
        "admin",
        "rights",
        "Let them in again",
        (_USER,),
        ways=(Way("Let NAME in again.", "users enable", "Let in again", done="{name} may come in again."),),
        route="POST /users/enable",
        body="OneUser",
    ),
    Order(
        "users.delete",
        "admin",
        "rights",
        "Forget a person",
        (_USER, _KEEP),
        ways=(
            Way(
                "Forget NAME. What they used stays counted.",
                "users delete",
                "Forget",
                done="{name} is gone, with sessions and keys.",
                confirm="They are forgotten, with their sessions and keys. What they used stays counted.",
            ),
        ),
        route="DELETE /users/{id}",
    ),
    Order(
        "users.end_sessions",
        "admin",
        "rights",
        "Sign them out everywhere",
        (_USER,),
        ways=(
            Way(
                "Sign NAME out everywhere.",
                "users end-sessions",
                "Sign out",
                done="{name} was signed out of {ended} browsers.",
            ),
        ),
        route="POST /users/end_sessions",
        body="OneUser",
    ),
    Order(
        "users.reset_link",
        "admin",
        "rights",
        "Make the link by which they set a new password",
        (_USER,),
        ways=(
            Way("Make the link by which NAME sets a new password, once, within a day.", "users reset-link", "New link"),
        ),
        route="POST /users/reset_link",
        body="OneUser",
    ),
    Order(
        "users.rotate_keys",
        "operator",
        "rights",
        "Sign sessions with a new key",
        ways=(
            Way(
                "Sign sessions with a new key. Done twice, it signs everybody out.",
                "users rotate-keys",
                "New key",
                done="Sessions are signed with a new key from now on. Whoever is signed in stays so until you do this "
                "again.",
            ),
        ),
    ),
    Order(
        "users.admin_code",
        "operator",
        "rights",
        "Make the code that makes somebody an admin",
        ways=(
            Way("Make the code that makes somebody an admin, good for a quarter of an hour.", "admin-code", "New code"),
        ),
    ),
)

_INVITES: Final = (
    Order(
        "invites.create",
        "admin",
        "rights",
        "Invite somebody",
        (
            Field("label", help="For whom it is.", needed=True, longest=64, typed="LABEL"),
            _LIKE_MEMBERS,
            Field(
                "uses",
                "whole",
                "How many may come by it; 1 when left out.",
                usual=1,
                least=1,
                most=MOST_USES,
                typed="--uses",
            ),
            replace(_LASTS, most=LONGEST_PAPER, help="It ends after so many seconds; 72 hours when left out."),
        ),
        ways=(
            Way(
                "Invite somebody: LABEL says whom. The link is shown once, also as a picture for a phone's camera.",
                "invites create",
                "Make the invite",
            ),
        ),
        route="POST /invites",
        body="NewInvite",
        status=201,
    ),
    Order(
        "invites.revoke",
        "admin",
        "rights",
        "Let nobody in by it",
        (_ID,),
        ways=(
            Way(
                "Let nobody else in by the invite ID.",
                "invites revoke",
                "Revoke",
                done="Nobody comes in by invite {id} any more.",
            ),
        ),
        route="DELETE /invites/{id}",
    ),
)

_ADDRESSES: Final = (
    Order(
        "allow.add",
        "admin",
        "rights",
        "Let an address in",
        (
            Field(
                "cidr",
                help="An address or a range.",
                needed=True,
                longest=64,
                examples=("192.168.1.20", "192.168.1.0/24"),
                typed="ADDRESS",
            ),
            Field("label", help="Who it is.", needed=True, longest=64, typed="LABEL"),
            Field(
                "verdict",
                help="deny: keep it out, whatever else lets it in.",
                usual="allow",
                choices=("allow", "deny"),
                typed="--deny",
                turns="deny",
            ),
            _LANE,
            _SCOPES,
            _MODELS,
            _LASTS,
        ),
        ways=(Way("Let the address or range ADDRESS in without a key. LABEL says who it is.", "allow add", "Let in"),),
        route="POST /allow",
        body="NewAddress",
        status=201,
    ),
    Order(
        "allow.remove",
        "admin",
        "rights",
        "Undo that",
        (_ID,),
        ways=(
            Way(
                "Undo the entry ID. Those of access.yaml are changed there.",
                "allow remove",
                "Remove",
                done="The entry {id} is gone.",
            ),
        ),
        route="DELETE /allow/{id}",
    ),
    Order(
        "allow.reopen",
        "operator",
        "rights",
        "Let addresses in again, when it was not known any more who is kept out",
        ways=(
            Way(
                "Let addresses in again, when it was not known any more who is kept out.",
                "allow reopen",
                "Reopen",
                done="Addresses are let in again. Who is kept out from now on: seadragon allow",
            ),
        ),
    ),
)

ROWS: Final = (*_KEYS, *_PEOPLE, *_INVITES, *_ADDRESSES)
