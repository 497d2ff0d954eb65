"""What an audit asks of Redis and of the ledger, as Protocols; each may raise the `ServerUnavailable` of its server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reconciliation import Balances, DeadLetter, ItemInLedger, Part, ReservationSnapshot
from inventory_service.domain.shards import Commit, CommitId


class RedisSnapshots(Protocol):
    """What Redis keeps."""

    async def sales(self, shard: int) -> Sequence[SaleKey]: ...

    async def part(self, shard: int, sale: SaleKey, cursor: int, at_once: int = ...) -> Part: ...


class LedgerSnapshot(Protocol):
    """What the ledger holds of one shard at one moment."""

    commit_id: CommitId | None
    hash: str

    async def sales(self) -> Sequence[SaleKey]: ...

    async def is_past(self, sale: SaleKey, before_ms: int) -> bool: ...

    async def items(self, sale: SaleKey) -> Sequence[ItemInLedger]: ...

    async def balances(self, sales: Sequence[SaleKey]) -> Mapping[SaleKey, Sequence[Balances]]: ...

    async def reservations(self, sale: SaleKey, ids: Sequence[str]) -> Mapping[str, ReservationSnapshot]: ...

    async def letters(self, sale: SaleKey, ids: Sequence[str]) -> Sequence[DeadLetter]: ...

    async def holds(self, sale: SaleKey) -> int: ...

    def commits(self) -> AsyncIterator[Commit]: ...


class LedgerSnapshots(Protocol):
    """Opens pictures of the ledger."""

    def snapshot(self, shard: int) -> AbstractAsyncContextManager[LedgerSnapshot]: ...
