"""What is loaded is a runner: weights, adapters and the options that are fixed at load. Names that agree share one.

Memory is in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What an engine tells of a model without loading it: as much as is of use whatever the engine."""

    weights: int  # bytes: model, projector and adapters
    context: int = 0  # the longest the model was made for, in tokens; 0: unknown
    capabilities: frozenset[str] = frozenset()  # completion, embedding, vision, tools, thinking, insert, image …
    keeps_beside: bool = False  # conversations that it keeps lie where it is computed, too, and not in RAM

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

    key: str  # short and stable across restarts: made of engine, weights, adapters and options
    blob: str = field(compare=False)  # file name of the weights; two runners of one blob are never resident together
    name: str = field(compare=False)  # a name it can be loaded by
    facts: ModelFacts = field(compare=False)
    engine: str = field(compare=False, kw_only=True)  # who loads it, and answers for it
    context: int = field(default=0, compare=False)  # tokens a slot will have
    slots: int = field(default=1, compare=False)  # answers it writes at a time
    need: int = field(default=0, compare=False)  # bytes it is expected to take: an order, what was seen, or an estimate
    cache: int = field(default=0, compare=False)  # … and those it may come to take later, for conversations it keeps
    predicted: int = field(default=0, compare=False)  # … as its engine itself predicts it; 0: it does not
    parts: Estimate | None = field(default=None, compare=False)  # of `need`, where that is an estimate

    def __hash__(self) -> int:
        return hash(self.key)
