"""What is loaded is a runner: weights, adapters and the options that are fixed at load. Names that agree share one.

Words that the line, the residents and the edges have in common. Memory is in bytes, times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Flash = Literal["never", "asked", "always"]
"""When a model computes attention in pieces (flash attention) such that its context memory may be of less precision:
always unless switched off, only when switched on, or never."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What Ollama tells of a model without loading it."""

    weights: int  # bytes: model, projector and adapters
    family: str = ""
    context: int = 0  # the longest the model was made for, in tokens; 0: unknown
    capabilities: frozenset[str] = frozenset()  # completion, embedding, vision, tools, thinking, insert, image …
    kv_per_token: float = 0.0  # bytes of context memory for each token of each slot, at f16
    fixed: int = 0  # bytes beside weights and context that each slot takes whatever the context (recurrent state …)
    returns: bool = False  # Ollama's own runner keeps earlier copies of these, to return to
    kv_in_window: float = 0.0  # as kv_per_token, of layers that look back only `window` tokens: they keep no more
    window: int = 0  # tokens
    work: int = 0  # bytes of work space for each token of a batch, whatever the context
    kv_predicted: float = 0.0  # as kv_per_token, as Ollama ≥ 0.30 predicts it before it loads the model
    heads: int = 0  # attention heads of a layer
    flash: Flash = "asked"
    mlx: bool = False  # held by the MLX runner, on Apple silicon

    @property
    def gives_embeddings(self) -> bool:
        """Whether it is made for embeddings."""
        return "embedding" in self.capabilities

    @property
    def embeds(self) -> bool:
        """Whether it can do nothing but embeddings."""
        return self.gives_embeddings and "completion" not in self.capabilities


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model will probably take when it is loaded, and for what. Bytes."""

    weights: int
    context: int
    work: int  # work space of a batch, and the process itself

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.context + self.work


@dataclass(frozen=True, slots=True)
class Runner:
    """One thing that can be resident. Equal keys are the same runner, whatever the name it was asked for by."""

    key: str  # short and stable across restarts: made of blob, adapters and options
    blob: str = field(compare=False)  # file name of the weights; two runners of one blob are never resident together
    name: str = field(compare=False)  # a name it can be loaded by
    facts: Facts = field(compare=False)
    options: tuple[tuple[str, str], ...] = field(default=(), compare=False)  # fixed at load, as in num_ctx
    context: int = field(default=0, compare=False)  # tokens a slot will have
    slots: int = field(default=1, compare=False)  # answers it writes at a time
    need: int = field(default=0, compare=False)  # bytes it is expected to take: an order, what was seen, or an estimate
    cache: int = field(default=0, compare=False)  # … and those it may come to take later, for conversations it keeps
    predicted: int = field(default=0, compare=False)  # … as Ollama itself predicts it; 0: it does not
    parts: Estimate | None = field(default=None, compare=False)  # of `need`, where that is an estimate

    def __hash__(self) -> int:
        return hash(self.key)


class Presence(StrEnum):
    """Where a runner is, of those that are not simply away."""

    LOADING = "loading"
    RESIDENT = "resident"
    LEAVING = "leaving"  # gets nothing more; unloads when what it works on has ended


@dataclass(slots=True, eq=False)
class Resident:
    """One row of the table of what is in memory. Written by `residents.py` alone; a row is there before a load begins
    and until the process is gone, so that memory is never promised twice.
    """

    runner: Runner
    presence: Presence
    since: float  # when it became what it is now
    taken: int  # bytes: promised while it loads, seen (or still promised, when nobody can tell) afterwards
    slots: int  # now: fewer than the runner's own under memory pressure
    cache: int = 0  # bytes it may come to take beside those
    mapped: int = 0  # bytes of a file that it uses in place, without a copy of its own
    load_seconds: float = 0.0
    pinned: bool = False  # never evicted
    stays: bool = False  # does not leave for being idle, as a client has asked: evicted like any other
    waits: bool = False  # who makes room for it has not left yet: it holds nothing, it is only promised
    unproven: bool = False  # a hang-up or an adoption may have lost a slot …
    doubted: float = float("-inf")  # … at this moment, the last time
    used: float = 0.0  # when it was last asked or answering

    @property
    def promised(self) -> int:
        """Bytes of RAM, all in all."""
        return self.taken + self.cache

    @property
    def there(self) -> int:
        """Bytes of it that lie where models are computed. Conversations lie in RAM, but for those of the MLX runner."""
        return self.promised if self.runner.facts.mlx else self.taken

    def doubt(self, now: float) -> None:
        """A slot may have been lost."""
        self.unproven, self.doubted = True, now


Table = Mapping[str, Resident]
"""By runner key."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is known of one process of ours, for a gauge that cannot see all that it holds. Bytes."""

    loaded: int = 0  # that its runner took when it was loaded; 0: it is just being loaded
    mapped: int = 0  # of them, those of a file that it uses in place
    most: int = 0  # that it may have by now where models are computed, loaded or not


@dataclass(frozen=True, slots=True)
class Fits:
    """There is room once these have left; none: at once."""

    evict: tuple[str, ...] = ()  # runner keys


@dataclass(frozen=True, slots=True)
class TooBig:
    """It can never be loaded here. `text` has the arithmetic in words."""

    text: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Not now. `pinned`: only because what is pinned stays, so waiting does not help."""

    text: str
    pinned: bool = False


Plan = Fits | TooBig | NoRoom


Cause = Literal["line", "order", "preload", "return", "idle", "pressure", "deleted", "reload"]
"""What a swap is for: the line, an order, `preload`; what was there before a restart or made room for a load that
failed; nobody uses it, memory is short, its name is gone, a slot got lost.
"""


@dataclass(frozen=True, slots=True)
class Swap:
    """What the line, or an order, wants done: `evict` leave, then `runner` is loaded. For a mere unload it is None."""

    runner: Runner | None
    evict: tuple[str, ...]  # runner keys
    why: Cause  # for the journal and the metrics
    caller: str = ""  # whose account the seconds go on


Pressure = Literal[1, 2, 4]
"""As macOS says it: 1 normal, 2 warning, 4 critical."""
