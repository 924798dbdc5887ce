"""Where a UNIX socket really lies: a path that is too long for the kernel moves to a private folder under /tmp.

macOS takes 104 bytes and Linux 108, the closing zero included.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from controller.settings.addresses import LONGEST_SOCKET_PATH


def socket_path(wanted: Path, *, uid: int | None = None) -> Path:
    """`wanted` if it is short enough, else `/tmp/sd-<uid>-<hash of its folder>/<name>`. Touches nothing."""
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    folder = hashlib.sha256(os.fsencode(wanted.parent)).hexdigest()[:16]
    owner = os.geteuid() if uid is None else uid
    return Path(f"/tmp/sd-{owner}-{folder}") / wanted.name  # noqa: S108  # nosec B108  # 0700, and its owner is checked


def private_folder(folder: Path) -> None:
    """Make `folder` (0700), or make sure that it is a real folder of ours and nobody else's.

    Raises PermissionError when it is a link, not a folder, or belongs to somebody else: in /tmp anyone may have been
    there before us. Raises OSError when it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} is not a folder")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not a folder of our own: it belongs to another user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
