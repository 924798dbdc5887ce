"""The keys that sessions are signed with, in a file that nobody else can read. Made at the first start.

Rotating keeps the one before, so that nobody is signed out; rotating twice signs everybody out.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from controller.auth.sessions import SigningKeys
from controller.errors import SeadragonError
from controller.machine import durable
from controller.plain import fault_words

FOLDER: Final = "secrets"  # under the data folder, 0700
NAME: Final = "session-keys.json"
BYTES: Final = 32  # of randomness in a key: as many as HS256 can use


def load(data: Path) -> SigningKeys:
    """The keys under this data folder; made when there are none yet.

    Raises SeadragonError for a file that others own or can read, that is damaged, or whose keys are weak: then nobody
    may sign in, rather than anybody.
    """
    path = data / FOLDER / NAME
    try:
        if not path.exists():
            return _write(path, SigningKeys(*_fresh()))
        return _read(path)
    except OSError as error:
        raise SeadragonError(f"The keys that sign sessions cannot be had: {fault_words(error)}.") from error


def keep(data: Path, keys: SigningKeys) -> bool:
    """Make sure that the file is there; whether it had to be written anew. Raises OSError."""
    path = data / FOLDER / NAME
    if path.exists():
        return False
    _write(path, keys)
    return True


def rotate(data: Path) -> SigningKeys:
    """A new key signs from now on, and the one before it holds for the sessions there are. Raises SeadragonError."""
    before = load(data)
    kid, fresh = _fresh()
    try:
        return _write(data / FOLDER / NAME, SigningKeys(kid, {**fresh, before.current: before.secrets[before.current]}))
    except OSError as error:
        raise SeadragonError(f"The keys that sign sessions cannot be kept: {fault_words(error)}.") from error


def _fresh() -> tuple[str, dict[str, bytes]]:
    kid = secrets.token_hex(4)
    return kid, {kid: secrets.token_bytes(BYTES)}


def _read(path: Path) -> SigningKeys:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise SeadragonError(
                f"{path} must belong to the user that runs Seadragon, and be readable by nobody else. If you trust it: "
                f"`chmod 600 {path}`. If not, delete it: a new one is made, and everybody signs in again."
            )
        kept = file.read(2**16)
    try:
        document = json.loads(kept)
        found = {str(kid): base64.b64decode(text, validate=True) for kid, text in document["keys"].items()}
        current = str(document["current"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise _unfit(path, "it is damaged") from None
    if current not in found:
        raise _unfit(path, "it is damaged")
    if any(len(secret) < BYTES or len(set(secret)) < BYTES // 4 for secret in found.values()):
        raise _unfit(path, "a key in it could be guessed")
    return SigningKeys(current, found)


def _unfit(path: Path, why: str) -> SeadragonError:
    return SeadragonError(f"{path} is of no use: {why}. Delete it: a new one is made, and everybody signs in again.")


def _write(path: Path, keys: SigningKeys) -> SigningKeys:
    """Whole or not at all, and on the disk before anything is signed with it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    texts = {kid: base64.b64encode(secret).decode() for kid, secret in keys.secrets.items()}
    durable.write(path, json.dumps({"current": keys.current, "keys": texts}).encode())
    return keys
