"""The ports through which the audits read Redis and the ledger; each raises the `ServerUnavailable` of its server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from inventory_service.domain.buyer_reconciliation import BuyersPage, LedgerBuyer
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.ledger_reconciliation import OddLines
from inventory_service.domain.reconciliation import Balances, ItemInLedger, RefusedOrder, ReservationSnapshot, SalePage
from inventory_service.domain.sale_reconciliation import (
    ItemAtCommit,
    OrdersOfId,
    SaleRow,
    TakenUnits,
)
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import Commit, CommitId, LedgerRow


class RedisSnapshots(Protocol):
    """Reads the sales of a shard in Redis."""

    async def sales(self, shard: int) -> Sequence[SaleKey]: ...

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int = ...) -> SalePage: ...


class RedisReservations(RedisSnapshots, Protocol):
    """Reads also single reservations of a sale, and its buyers, whose names are those of `BuyersPage`."""

    async def reservations(self, shard: int, sale: SaleKey, ids: Sequence[str]) -> SalePage: ...

    async def absent(self, shard: int, sale: SaleKey, ids: Sequence[str]) -> Sequence[str]: ...

    async def buyers(self, shard: int, sale: SaleKey, cursor: int, size: int) -> BuyersPage: ...

    async def some_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> BuyersPage: ...

    async def absent_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> Sequence[str]: ...


class LedgerSnapshot(Protocol):
    """One shard in the ledger at one moment."""

    commit_id: CommitId | None
    hash: str

    async def sales(self) -> Sequence[SaleKey]: ...

    async def has_left(self, sale: SaleKey) -> bool: ...

    async def items(self, sale: SaleKey) -> Sequence[ItemInLedger]: ...

    async def balances(self, sales: Sequence[SaleKey]) -> Mapping[SaleKey, Sequence[Balances]]: ...

    async def reservations(self, sale: SaleKey, ids: Sequence[str]) -> Mapping[str, ReservationSnapshot]: ...

    async def dead_letters(self, sale: SaleKey, ids: Sequence[str]) -> Sequence[RefusedOrder]: ...

    async def holds(self, sale: SaleKey) -> int: ...

    def commits(self) -> AsyncIterator[Commit]: ...


class LedgerSnapshots(Protocol):
    """Opens snapshots of the ledger."""

    def snapshot(self, shard: int) -> AbstractAsyncContextManager[LedgerSnapshot]: ...


class SaleSnapshot(Protocol):
    """One sale in the ledger at one moment, and the row of its shard."""

    row: LedgerRow

    async def has_commit(self, commit: CommitId, hash: str) -> bool: ...

    async def sale(self) -> SaleRow | None: ...

    async def settings_at(self, place: Position, row: SaleRow) -> StoredSettings | None: ...

    async def items_at(self, commit: CommitId) -> Sequence[ItemAtCommit]: ...

    async def refused_units(self, commit: CommitId) -> Mapping[str, TakenUnits] | None: ...

    async def orders(self, ids: Sequence[str]) -> Mapping[str, OrdersOfId]: ...

    async def expected(self, made_by: CommitId, archived: CommitId, after: str, limit: int) -> Sequence[str]: ...

    async def buyers(self, buyer_ids: Sequence[str], after: CommitId) -> Mapping[str, LedgerBuyer]: ...

    async def owners(self, made_by: CommitId, after: str, limit: int) -> tuple[str | None, Sequence[str]]: ...

    async def item_sums(self) -> Sequence[ItemInLedger]: ...

    async def odd_lines(self, limit: int, has_left: bool) -> Sequence[OddLines]: ...

    async def count_reservations(self) -> int: ...


class SaleSnapshots(Protocol):
    """Opens snapshots of one sale in the ledger; None: the ledger has no row of the shard."""

    def snapshot(self, shard: int, sale: SaleKey) -> AbstractAsyncContextManager[SaleSnapshot | None]: ...
