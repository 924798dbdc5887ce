"""The files that Ollama keeps models in: manifests, which name a model's parts, and the parts, by their digests.

What no manifest names is left over, mostly from models that were made out of a file: since 0.30 Ollama keeps a copy of
its own, and the upload stays. Ollama removes such files when it starts, unless others' models lie there too.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FRESH = 3600.0  # seconds in which a file may still be about to become part of a model, as Ollama itself thinks
_WHOLE = re.compile(r"sha256-[0-9a-f]{64}")  # not what is still being fetched


def file_name(digest: str) -> str:
    """Of the part with this digest: `sha256:…`."""
    return digest.replace(":", "-")


def manifests(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each model in a models folder, by the path of its manifest below `manifests`. Raises OSError, and ValueError for
    what is none.
    """
    top = folder / "manifests"
    for file in sorted(top.rglob("*")):
        if file.is_file():
            yield file.relative_to(top), json.loads(file.read_text())


def named(folder: Path) -> set[str]:
    """The file names of all parts that some model has. Raises OSError and ValueError: then nobody can tell."""
    found = set[str]()
    for _, manifest in manifests(folder):
        found |= {file_name(str(each["digest"])) for each in (*manifest["layers"], manifest["config"])}
    return found


def left_over(folder: Path) -> Sequence[Path]:
    """Whole parts that no model has, and that have lain there for a while. None where that cannot be told."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        wanted, old = named(folder), time.time() - FRESH
        blobs = [each for each in (folder / "blobs").iterdir() if _WHOLE.fullmatch(each.name)]
        return sorted(each for each in blobs if each.name not in wanted and each.stat().st_mtime < old)
    return ()


def remove(folder: Path, digest: str) -> bool:
    """Remove a part unless some model has it, and say whether nothing is left over of it."""
    file = folder / "blobs" / file_name(digest)
    try:
        if file.name not in named(folder):
            file.unlink(missing_ok=True)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
