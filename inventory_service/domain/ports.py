"""What the server, its batcher, the relay and the compensator ask of the stock and of what is past, as Protocols.

The rule in memory (`shelf.py`) and the scripts stand behind the three of the stock, and behind the same tests.
"""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from inventory_service.domain.late import Known, PastSale
from inventory_service.domain.requests import Compensate, Confirm, CreateSale, Release, Reserve, SaleKey
from inventory_service.domain.verdicts import (
    ArchiveStep,
    Failure,
    Found,
    Granted,
    Holds,
    ReserveResult,
    SaleFound,
    SaleUnknown,
    TakenBack,
)


class Stock(Protocol):
    """The stock as one caller sees it. The busy three may answer with a Future, which is cheaper than a coroutine."""

    def reserve(self, request: Reserve) -> Awaitable[ReserveResult]: ...

    def confirm(self, request: Confirm) -> Awaitable[Granted | Failure]: ...

    def release(self, request: Release) -> Awaitable[Granted | Failure]: ...

    async def create_sale(
        self, request: CreateSale, unknown: SaleUnknown | None = None
    ) -> SaleFound | SaleUnknown | Failure:
        """Say how a sale stands that was made so before, or make one that was `unknown`.

        SaleUnknown: nothing was made; ask the ledger of it, and then make it with this answer.
        """
        ...

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Found | Failure: ...

    async def find_sale(self, sale: SaleKey) -> SaleFound | Failure: ...


class ShardStock(Protocol):
    """The stock of one shard, many requests a call, answered in their order: what the batcher drives."""

    async def reserve_many(self, shard: int, requests: Sequence[Reserve]) -> Sequence[ReserveResult]: ...

    async def move_many(self, shard: int, requests: Sequence[Confirm | Release]) -> Sequence[Granted | Failure]: ...


class History(Protocol):
    """The ledger as the server asks it about reservations that have left Redis. `LedgerUnavailable` if it is away."""

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Known:
        """A reservation as the ledger has it, and whether it has the sale at all."""
        ...


class Buyers(Protocol):
    """The ledger's list of those whose orders it refuses. `LedgerUnavailable` if it does not answer."""

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str) -> bool:
        """Refuse this buyer's orders from now on; False: it was so already, and the first reason stays."""
        ...


class PastSales(Protocol):
    """The ledger as the server asks it about sales that have left Redis. `LedgerUnavailable` if it does not answer."""

    async def sale_exists(self, sale: SaleKey) -> bool:
        """Whether there ever was such a sale."""
        ...

    async def find_sale(self, sale: SaleKey) -> PastSale | None:
        """A sale as it is once it has left Redis; None only if the ledger was asked and has none."""
        ...


class Housekeeping(Protocol):
    """What the relay and the compensator do to the stock."""

    async def expire(self, shard: int) -> TakenBack | Failure:
        """Take back what is overdue, at most 100 holds, of the 16 sales that are due the longest."""
        ...

    async def compensate(self, request: Compensate) -> bool | Failure:
        """Give a refused order's units back; False: there was nothing to give."""
        ...

    async def holds(self, shard: int) -> Holds | Failure:
        """Count a shard's holds."""
        ...

    async def sales(self, shard: int) -> Sequence[SaleKey] | Failure:
        """Name every sale of a shard."""
        ...

    async def forget(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        """Take a step of a walk over a sale: drop records that are final, settled and older than `retention_ms`.

        A sale that has been over for as long leaves with its last record.
        """
        ...
