"""The ports through which an audit reads Redis and the ledger; each raises the `ServerUnavailable` of its server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reconciliation import Balances, DeadLetter, ItemInLedger, ReservationSnapshot, SalePage
from inventory_service.domain.shards import Commit, CommitId


class RedisSnapshots(Protocol):
    """Reads the sales of a shard in Redis."""

    async def sales(self, shard: int) -> Sequence[SaleKey]: ...

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int = ...) -> SalePage: ...


class LedgerSnapshot(Protocol):
    """One shard in the ledger at one moment."""

    commit_id: CommitId | None
    hash: str

    async def sales(self) -> Sequence[SaleKey]: ...

    async def has_left(self, sale: SaleKey) -> bool: ...

    async def items(self, sale: SaleKey) -> Sequence[ItemInLedger]: ...

    async def balances(self, sales: Sequence[SaleKey]) -> Mapping[SaleKey, Sequence[Balances]]: ...

    async def reservations(self, sale: SaleKey, ids: Sequence[str]) -> Mapping[str, ReservationSnapshot]: ...

    async def dead_letters(self, sale: SaleKey, ids: Sequence[str]) -> Sequence[DeadLetter]: ...

    async def holds(self, sale: SaleKey) -> int: ...

    def commits(self) -> AsyncIterator[Commit]: ...


class LedgerSnapshots(Protocol):
    """Opens snapshots of the ledger."""

    def snapshot(self, shard: int) -> AbstractAsyncContextManager[LedgerSnapshot]: ...
