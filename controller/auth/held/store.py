"""What the stores have in common: each is the rows of one kind, to be read by anybody, and the orders about them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from controller.auth.held.ledger import Ledger
from controller.auth.held.memory import RowSet
from controller.auth.held.transaction import Transaction
from controller.auth.rows import RowT
from controller.storage.database import to_its_end

P = ParamSpec("P")
T = TypeVar("T")


class _HasLedger(Protocol):
    @property
    def ledger(self) -> Ledger: ...


HasLedgerT = TypeVar("HasLedgerT", bound=_HasLedger)


def order(
    method: Callable[Concatenate[HasLedgerT, Transaction, P], Awaitable[T]],
) -> Callable[Concatenate[HasLedgerT, P], Coroutine[Any, Any, T]]:
    """Make a method an order: one at a time, one transaction, and carried to its end once it has begun. It raises
    SeadragonError besides what it says itself, and then nothing has changed.

    A caller that is cancelled in the middle would otherwise leave a key revoked on disk and good in memory.
    """

    @functools.wraps(method)
    async def given(store: HasLedgerT, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await to_its_end(store.ledger.carried_out(lambda tx: method(store, tx, *args, **kwargs)))

    return given


class RowStore(Mapping[str, RowT], Generic[RowT]):
    """By id, as memory has them at this moment; all of them, those that have expired or were revoked too."""

    def __init__(self, ledger: Ledger, rows: RowSet[RowT]) -> None:
        self.ledger = ledger
        self._own = rows

    def __getitem__(self, id: str) -> RowT:
        return self._own[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    @overload
    def get(self, id: str, /) -> RowT | None: ...
    @overload
    def get(self, id: str, /, default: RowT | T) -> RowT | T: ...
    def get(self, id: str, /, default: T | None = None) -> RowT | T | None:
        """As any mapping's, but what is not there takes no longer than what is: keys are looked up by it."""
        return self._own.get(id, default)
