"""What a run needs of the line, and of the models' names. Their makers live elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from controller.engines.runner import Runner
from controller.residency.seams import LooksUp
from controller.scheduling.ticket import Problem, Ticket, Turned, Wish
from controller.scheduling.tokens import Tokens


class Turns(Protocol):
    """The line, as `scheduling/dispatcher.py` keeps it."""

    def enter(self, wish: Wish) -> Ticket | Turned:
        """Join the line. The ticket is granted at once when nobody waits and its runner is free."""
        ...

    async def turn(self, ticket: Ticket) -> None:
        """Return when it is granted, has ended, or was nudged."""
        ...

    def nudge(self, ticket: Ticket) -> None:
        """Let `turn` return, whatever the ticket's state."""
        ...

    def back(self, ticket: Ticket, problem: Problem) -> None:
        """Its grant came to nothing before the first byte: it waits again, with its old due."""
        ...

    def failed(self, ticket: Ticket, problem: Problem) -> None:
        """As `back`, but it does not try again: what is known of the runner changes, and `end` follows."""
        ...

    def end(
        self, ticket: Ticket, *, left: bool = False, tokens: Tokens | None = None, began: float | None = None
    ) -> None:
        """It is over. `left`: upstream was closed in mid-answer, so its slot is unproven. `began`: when the first byte
        of a stream came.
        """
        ...

    def position(self, ticket: Ticket) -> int:
        """1 is next."""
        ...

    def estimate(self, ticket: Ticket) -> float | None:
        """Seconds until its turn; None when anything needed is unknown."""
        ...

    def loading_since(self, ticket: Ticket) -> float | None:
        """Since when its runner is being loaded, in monotonic seconds; None while it is not."""
        ...

    def awaited_since(self, ticket: Ticket) -> float | None:
        """Since when somebody waits for its runner or the memory it takes, in monotonic seconds; None: nobody does."""
        ...

    def unproven(self, ticket: Ticket) -> bool:
        """Whether its runner may have lost a slot."""
        ...

    async def suspect(self, ticket: Ticket) -> bool:
        """Its unproven slot brings nothing: end its runner if that is idle, and say whether it was."""
        ...

    def unload_after(self, ticket: Ticket) -> None:
        """Unload its runner once it is answered."""
        ...

    def stay_after(self, ticket: Ticket) -> None:
        """Once it is answered, its runner is not unloaded for being idle; another one may still take its room."""
        ...

    async def unload(self, runner: Runner) -> None:
        """Unload a runner, and return when it is gone. Raises OrderRefused."""
        ...


class KnownModels(LooksUp, Protocol):
    """The names of models, as far as an answer goes by them."""

    def embedders(self) -> Sequence[str]:
        """Names of the models that give embeddings, as far as they are remembered."""
        ...

    def changed(self) -> None:
        """Models were made, copied, deleted or pulled: forget."""
        ...
