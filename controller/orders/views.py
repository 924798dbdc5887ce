"""All views that the API serves, by name: where, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ROOT: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class View:
    """One thing that is shown."""

    name: str
    path: str  # below the API's root
    summary: str  # for OpenAPI
    needs: Literal["list", "manage", "admin"] = "list"
    note: str = ""
    tunnel: Literal["yes", "no", "admin-surface"] = "yes"


def _of_admins(name: str, summary: str) -> View:
    return View(name, f"/{name}", summary, "admin", tunnel="admin-surface")


VIEWS: Final[Mapping[str, View]] = {
    view.name: view
    for view in (
        View("models", "/models", "What is installed, and what is loaded", note="only the models the caller may use"),
        View("model", "/models/{name}", "One model", note="only the models the caller may use"),
        View(
            "queue",
            "/queue",
            "Who waits for what; of others only how many",
            note="the caller's own requests, and how many others",
        ),
        View("memory", "/memory", "Memory, and what of it models may take"),
        View("job", "/jobs/{id}", "A job", "manage", tunnel="admin-surface"),
        _of_admins("keys", "All keys"),
        _of_admins("users", "All users"),
        _of_admins("invites", "All invites"),
        _of_admins("allow", "All allow"),
        _of_admins("audit", "Who did what, newest first"),
        View(
            "usage",
            "/usage",
            "One's own usage; an admin may ask for everybody's",
            note="one's own; everybody's needs admin",
        ),
        View("openapi", "/openapi.json", "What there is to ask and to order", tunnel="no"),
    )
}
