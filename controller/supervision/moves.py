"""What happens to a child, and what is done about it: the values that go in and out of `lifecycle.py`."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from controller.events import Level
from controller.supervision.spec import ChildState

# --- what happens to a child ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What the configuration says about patience with a child. Taken over live by `Tuned`. Seconds."""

    startup: float = 120.0
    probe_every: float = 2.0
    probe_limit: float = 2.0
    probe_misses: int = 3
    stop_grace: float = 10.0


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why it cannot be started now, and what a person can do about it."""

    state: Literal[ChildState.MISCONFIGURED, ChildState.CONFLICT, ChildState.OFFLINE, ChildState.WAITING]
    words: str


class ExitKind(Enum):
    """What an exit means for the next start."""

    CRASH = auto()
    FAULT = auto()  # it will fail again until something is put right
    TAKEN = auto()  # its port is somebody else's
    NETWORK = auto()  # the network is away
    OUTSIDE = auto()  # somebody else stopped it


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a program makes of an exit: its kind, a clause that follows the child's name, who may have done it."""

    kind: ExitKind
    words: str
    culprit: str = ""


@dataclass(frozen=True, slots=True)
class Begin:
    """Once, first of all. Whatever a former controller left is adopted before anything starts."""


@dataclass(frozen=True, slots=True)
class Start:
    """It is wanted; what it did before is forgiven."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Restart:
    """It is wanted, and not as the process it is now: a person or a new configuration says so. `why` is a sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Its recipe is another one now: if it is wanted, it restarts, and what it did before is forgiven."""

    why: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """Limits that changed while it runs."""

    limits: ChildLimits


@dataclass(frozen=True, slots=True)
class Looked:
    """What stands in the way of a start, if anything. `evidence` is equal as long as nothing it stands on has changed.

    `remote`: there is nothing to start; somebody else's process is used. `back`: what to add if this start fails.
    """

    problem: Obstacle | None
    remote: bool = False
    evidence: Hashable = None
    back: str = ""


@dataclass(frozen=True, slots=True)
class Spawned:
    """It runs. `age`: seconds since its start, above 0 for an adopted one, which may be `stale`: of an old spec."""

    adopted: bool = False
    stale: bool = False
    remote: bool = False
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class NothingToAdopt:
    """No former controller left a child."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """It could not be looked after or started. fault: it will fail again until something is put right; exhausted: the
    machine has no process, file or memory left for it just now, or what any child needs is away; held: what ran before
    it is not gone.
    """

    words: str
    kind: Literal["fault", "exhausted", "held", "other"]


@dataclass(frozen=True, slots=True)
class Answered:
    """The probe was answered as it should be."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """It lives and answers, but says itself that it is not connected."""

    words: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The probe brought no proper answer. `words` is a clause that says so."""

    words: str


@dataclass(frozen=True, slots=True)
class GpuLost:
    """It answers, and works without the GPU that it has to have. `words` is a sentence."""

    words: str


@dataclass(frozen=True, slots=True)
class Bereft:
    """Something that it cannot do without is gone, such as a disk. `words` are sentences."""

    words: str


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody else listens on its port."""

    words: str


Probed = Answered | Waiting | Silent | GpuLost | Bereft | Stranger


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The probe could not be made, for want of a descriptor or the like: that says nothing of the child."""


@dataclass(frozen=True, slots=True)
class Glanced:
    """Whether the process is stopped by a signal (SIGSTOP), as the kernel says."""

    frozen: bool


@dataclass(frozen=True, slots=True)
class Exited:
    """Its process and all descendants are gone."""

    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class NetworkIs:
    """Whether the network is demonstrably up."""

    up: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """Nobody looked for a while: for `gap` seconds of our own time nothing ran (we were stopped), or the machine slept
    for `slept` seconds, which our own time leaves out.
    """

    gap: float = 0.0
    slept: float = 0.0


@dataclass(frozen=True, slots=True)
class Tick:
    """The moment a Wake asked for."""


Event = (
    Begin | Start | Stop | Restart | Changed | Tuned | Looked | Spawned | NothingToAdopt | StartFailed | Answered
    | Waiting | Silent | GpuLost | Bereft | Stranger | NotAsked | Glanced | Exited | NetworkIs | Resumed | Tick
)  # fmt: skip

# --- what is done about it --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take over what a former controller left, or kill it."""


@dataclass(frozen=True, slots=True)
class Look:
    """See whether it could be started. Cheap."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start what the last look saw."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask it how it is."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Stop the whole tree: TERM, `grace` seconds, KILL."""

    grace: float


@dataclass(frozen=True, slots=True)
class LetGo:
    """Use it no longer, and leave it running: it is not ours."""


@dataclass(frozen=True, slots=True)
class AskNetwork:
    """Find out whether the network is demonstrably up."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Send a Tick at `at`; takes the place of any former Wake."""

    at: float


@dataclass(frozen=True, slots=True)
class Tell:
    """An event for people. `text` is a sentence."""

    level: Level
    text: str


Effect = Adopt | Look | Spawn | Probe | Terminate | LetGo | AskNetwork | Wake | Tell
