"""How the controller is doing, in one document: for `seadragon status`, the doctor and the metrics."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

from controller.desk import Desk
from controller.machine import openfiles


def status(desk: Desk) -> dict[str, Any]:
    """The document `seadragon status --json` prints. Members are only ever added to it."""
    return {
        "pid": os.getpid(),
        "version": desk.version,
        "phase": desk.phase,
        "ready": desk.ready,
        "started_at": desk.started_at,
        "uptime": max(0.0, time.time() - desk.started_at),
        "listeners": desk.listeners,
        "awaited": desk.awaited,
        "children": {child.name: child.to_json() for child in desk.children()},
        "line": {name: value for name, value in desk.queue().items() if name != "tickets"},
        "memory": desk.memory(),
        "config": {"stale": bool(desk.config_problems), "problems": desk.config_problems},
        "rights": {"troubles": desk.office.shown.troubles},
        "storage": {"trouble": desk.storage_trouble},
        "data": str(desk.data),
        "logs": str(desk.logs),
    }


def facts(desk: Desk) -> dict[str, Any]:
    """What only the running controller can say of itself: the doctor compares it with what it finds."""
    search = os.environ.get("PATH", "")
    return {**status(desk), "files": openfiles.now(), "search": search, "python": platform.python_version()}
