"""When an Ollama gives way to the one that took its place on the disk. Pure: it is handed the facts and the time.

An upgrade takes a program away and puts another in its place, now and then in several steps, and often takes along what
the running one still needs to load models. So: wait until nothing changes any more, try whether the new one runs at
all, and restart when nobody would notice.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Literal

from controller.events import Level

Wish = Literal["when_idle", "never"]
SETTLED: Final = 10.0  # seconds that nothing on the disk has changed: by then an installer is done
AWAY: Final = 60.0  # seconds after which a program that is gone will not be back in a moment
IDLE: Final = 60.0  # seconds without anything to do: who talks to a model reads before the next question


@dataclass(frozen=True, slots=True)
class Found:
    """What a start would run now, beside what runs. `mark`: equal as long as it is the same file."""

    state: Literal["same", "another", "gone"] = "same"
    program: str = ""  # of `gone`: the one that runs
    mark: Hashable = None


@dataclass(frozen=True, slots=True)
class Disk:
    """What was found, which version runs, and how to go back to that."""

    found: Found = Found()
    runs: str = ""
    back: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a program did that was asked for its version: that, or why it cannot be used."""

    version: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for people."""

    text: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Try:
    """Find out whether the new program runs at all, and answer with `tried`."""

    program: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """Now. `why` is a sentence."""

    why: str


Act = Notice | Try | Takeover


@dataclass(slots=True)
class Renewal:
    """One Ollama's. `look` is asked again and again; each time one thing may come of it."""

    _found: Found = Found()
    _since: float = 0.0  # since when it is as it is
    _trial: Trial | None = None
    _told: str = ""
    _worked: float = 0.0  # when there was last something to do

    def tried(self, found: Found, trial: Trial) -> None:
        """What came of a `Try`, if nothing has changed since."""
        if found == self._found:
            self._trial = trial

    def look(self, disk: Disk, *, busy: bool, wish: Wish, now: float) -> Act | None:
        """What to do now, in seconds."""
        found, runs, back = disk.found, disk.runs, disk.back
        if busy:
            self._worked = now
        if found != self._found:
            self._found, self._since, self._trial, self._told = found, now, None, ""
        if found.state == "same":
            return None
        if found.state == "gone":
            return self._tell(_GONE.format(found.program, runs), "warning") if now - self._since >= AWAY else None
        if now - self._since < SETTLED:
            return None
        if self._trial is None:
            return Try(found.program)
        if self._trial.fault:
            return self._tell(_BROKEN.format(found.program, self._trial.fault, runs, back), "error")
        news = _NEWS.format(found.program, self._trial.version, runs)
        if wish == "never":
            return self._tell(f"{news} {_NEVER}")
        return self._tell(f"{news} {_WHEN_IDLE}") or self._when_idle(now)

    def _when_idle(self, now: float) -> Takeover | None:
        if now - self._worked < IDLE:
            return None
        self._since = now + IDLE  # should nothing come of it, once more after a while
        assert self._trial is not None
        return Takeover(f"Nothing has been asked for a minute: Ollama {self._trial.version} takes over.")

    def _tell(self, text: str, level: Level = "info") -> Notice | None:
        """Once for each change on the disk, and for each change of the setting."""
        if text == self._told:
            return None
        self._told = text
        return Notice(text, level)


_GONE = (
    "{} is gone from the disk. Ollama {} goes on without it, and may not be able to load models: install it again, "
    "and it is taken over."
)
_BROKEN = "{} on the disk is another one now and cannot be used ({}), so Ollama {} goes on. Mend it, or go back: {}"
_NEWS = "{} on the disk is Ollama {} now, and {} runs."
_WHEN_IDLE = "It takes over once nothing has been asked for a minute; at once with: seadragon restart ollama"
_NEVER = "It takes over with: seadragon restart ollama"


def going_back(version: str, program: str, there: bool) -> str:
    """How to have a former Ollama again, as the rest of a sentence. `there`: its program still lies where it was."""
    if there:
        return f"Ollama {version} is still at {program}; name it in server.yaml, ollama.binary."
    return f"get Ollama {version} from github.com/ollama/ollama/releases/tag/v{version}, or where you had it from."
