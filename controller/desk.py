"""What an operator may ask of a running controller: the seam between the roof and the edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from controller.auth import rows
from controller.config.schema import Config
from controller.events import Journal
from controller.readiness import Readiness
from controller.supervision.spec import ChildStatus
from controller.usage import Grouping

JobKind = Literal["load", "unload", "switch", "pin"]
"""What may be ordered of a model: each takes its time."""


def every_model(model: str) -> bool:
    """For whom all models exist."""
    return True


class JobView(Protocol):
    """An order about models on its way: what everything on the edges sees of it. Times are seconds since the epoch."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def state(self) -> str:
        """One of "running", "done", "failed"."""
        ...

    @property
    def text(self) -> str:
        """How far it is, or how it ended: one sentence."""
        ...

    @property
    def started(self) -> float: ...
    @property
    def ended(self) -> float | None: ...
    @property
    def touched(self) -> int:
        """How many requests were waiting for, or being answered by, what an order takes away."""
        ...

    async def wait(self, seconds: float) -> object:
        """Return when it has ended, after `seconds` at the latest."""
        ...


def job_document(job: JobView) -> dict[str, Any]:
    """The job as the API and the command line tell it."""
    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "model": job.model,
        "state": job.state,
        "text": job.text,
        "started": job.started,
        "ended": job.ended,
        "touched": job.touched,
    }


@dataclass(frozen=True, slots=True)
class By:
    """Who gives an order. What they give out by it stands on their right to."""

    actor: str  # what people read in the audit: a person, a key, "operator"
    identity: str  # what counts, as of a Principal; `auth/rows.py: OPERATOR`
    peer: str = ""  # address; "": this machine's command line
    request: str = ""  # its id
    sees: Callable[[str], bool] = every_model  # the models that exist for them


OPERATOR: Final = By(rows.OPERATOR, rows.OPERATOR)
"""Whoever runs `seadragon` on this machine."""


class HoldingsView(Protocol):
    """Who holds which right."""

    @property
    def keys_active(self) -> int: ...
    @property
    def users_active(self) -> int: ...
    @property
    def sessions_live(self) -> int: ...
    @property
    def troubles(self) -> list[str]:
        """What is the matter with rights as such, each in a sentence or two; empty when nothing is."""
        ...

    async def listed(self, what: str) -> list[dict[str, Any]]:
        """All "keys", "users", "invites" or "allow". Raises SeadragonError while nobody knows them."""
        ...


class OfficeView(Protocol):
    """Orders about people, keys, invites and addresses."""

    @property
    def shown(self) -> HoldingsView: ...

    async def order(self, name: str, by: By, /, **arguments: Any) -> Any:
        """Carry out one of the orders about rights, such as `keys.create`; what comes of it is JSON. It is in the audit
        afterwards, however it ended. Raises SeadragonError.
        """
        ...


class UsageView(Protocol):
    """What everybody used."""

    @property
    def dropped(self) -> int: ...
    async def sums(
        self, by: Grouping, since: float = 0.0, only: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]: ...
    async def requests(
        self, since: float = 0.0, only: Mapping[str, str] | None = None, count: int = 100
    ) -> list[dict[str, Any]]: ...


class AuditView(Protocol):
    """Who did what, and what was refused."""

    @property
    def noted(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    def note(
        self,
        what: str,
        *,
        actor: str,
        target: str = "",
        outcome: str = "done",
        peer: str = "",
        request: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None: ...
    async def rows(
        self, since: float = 0.0, *, actor: str = "", what: str = "", before: int | None = None, count: int = 100
    ) -> list[dict[str, Any]]: ...
    async def verify(self) -> Any: ...


class Desk(Protocol):
    """The running controller, as everything on the edges sees it."""

    version: str
    started_at: float  # seconds since the epoch
    journal: Journal
    data: Path
    logs: Path

    @property
    def office(self) -> OfficeView: ...
    @property
    def usage(self) -> UsageView: ...
    @property
    def audit(self) -> AuditView: ...

    @property
    def readiness(self) -> Readiness:
        """Whether an engine answers, or is worth waiting for."""
        ...

    @property
    def config(self) -> Config:
        """What runs now."""
        ...

    @property
    def config_problems(self) -> list[str]:
        """Why the YAML on disk is not what runs; empty when it is."""
        ...

    @property
    def phase(self) -> str:
        """One of "running", "safe" (no YAML ever loaded: page, doctor, control socket only), "draining", "stopping"."""
        ...

    @property
    def listeners(self) -> list[dict[str, object]]:
        """Each open listener: address, url, kind, connections."""
        ...

    @property
    def awaited(self) -> list[dict[str, str]]:
        """Each listener that could not be opened so far, and is tried every few seconds: address, kind, why."""
        ...

    @property
    def storage_trouble(self) -> str:
        """Why the database is of no use at this moment, in a sentence or two; empty when it is."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `/readyz` says 200: upstream answers its probe and nothing drains or is held."""
        ...

    def children(self) -> list[ChildStatus]:
        """Every child, engines first."""
        ...

    async def start_child(self, name: str) -> None:
        """Start it now, whatever its backoff says. Raises KeyError for a name that is not a child's."""
        ...

    async def stop_child(self, name: str) -> None:
        """Stop it and keep it stopped until told otherwise. Raises KeyError."""
        ...

    async def restart_child(self, name: str) -> None:
        """Drain what uses it, stop it, start it. Returns when it is ready or has failed. Raises KeyError."""
        ...

    async def reload(self) -> list[str]:
        """Read the YAML now. Returns what changed, one sentence each; raises ConfigInvalid."""
        ...

    async def back_up(self, target: Path | None = None) -> Path:
        """Copy the database to `target`, or into data/backups; where it is. Raises SeadragonError."""
        ...

    def leave(self, *, keep_children: bool) -> None:
        """Begin to drain and leave: with the children (`down`), or without (`restart`: the next one adopts them).

        `phase` is "draining" at once. It becomes what it was again when a service manager would undo a `down`: then
        only the children are stopped.
        """
        ...

    # --- the line, the models, the memory; every `…_gb` is in GiB, as `memory_gb` of models.yaml is ---

    def queue(self) -> dict[str, Any]:
        """The line: how many are `waiting` and `running`; what is `paused` ("everything", "lane 3", names); `lanes` (by
        number: `waiting`, `oldest_seconds`); the first of its `tickets`, those that run, then by position. A ticket has
        `number, caller` (what people read)`, caller_id, lane, model, state, waited_seconds, position, estimate_seconds,
        why, hold`.
        """
        ...

    async def models(self) -> list[dict[str, Any]]:
        """Every installed model as an OpenAI list shows it, with our fields: `state` (away, loading, resident, leaving,
        quarantined), `size_gb`, `memory_gb`, `expected_gb`, `cache_gb`, `loads`, `load_seconds`, `tokens_per_second`,
        `crashes`, `last_error`, `pinned`, `waiting`, `running`, `idle_seconds`, `runner`. May be asked once a second:
        the names may be some seconds old, the state is of this moment. Raises Unreachable when no engine has ever told
        them.
        """
        ...

    def memory(self) -> dict[str, Any]:
        """`total_gb, available_gb, budget_gb, taken_gb, cache_gb, pressure` (1, 2 or 4), `models_loaded` (name: gb),
        `may_load` and `why` not. Figures nobody has read yet are None.
        """
        ...

    def meant(self, model: str) -> str:
        """The model that is meant by a name, which may be redirected to another: rights are judged by that one."""
        ...

    async def order(self, kind: JobKind, model: str, **options: Any) -> JobView:
        """Begin to load, unload, switch (`from_`, `waiting`, `when`) or pin (`on`). Raises OrderRefused."""
        ...

    def job(self, id: str) -> JobView | None:
        """An order that was given, while it is remembered."""
        ...

    async def pause(self, lane: float | None = None, model: str | None = None) -> None:
        """Grant nothing in that lane and for that model; without either: nothing at all. Raises OrderRefused."""
        ...

    async def resume(self, lane: float | None = None, model: str | None = None) -> None:
        """Undo that; without either: every pause. Raises OrderRefused."""
        ...

    async def cancel(self, number: int, sees: Callable[[str], bool] = every_model) -> None:
        """End one request of the line, waiting or being answered, and tell its client so. One for a model that `sees`
        says no to is none. Raises OrderRefused.
        """
        ...
