"""The ports of a shard's load: what is read of the ledger in one snapshot, and what is written to Redis in parts."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.shard_load import (
    LoadedAdjustment,
    LoadedBuyer,
    LoadedItem,
    LoadedRecord,
    LoadSize,
    SalePart,
    StoredSettings,
)
from inventory_service.domain.shards import BegunTakeover, Fenced

RecordOfSale = tuple[SaleKey, LoadedRecord]


class LoadSnapshot(Protocol):
    """A shard in the ledger at one moment, its row as the fence left it."""

    @property
    def time_ms(self) -> int:
        """The time of the last commit, by the shard's clock; 0 if there is none."""
        ...

    def final_records(self, cutoff_ms: int) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        """Reservations that are final, of commits made after `cutoff_ms` or above what is settled, in their order.

        A reservation comes again with each later change.
        """
        ...

    async def sales(self) -> Sequence[tuple[SaleKey, StoredSettings]]:
        """The settings of the sales that Redis has: all but those that have left it."""
        ...

    async def items(self, sales: Sequence[SaleKey]) -> Sequence[tuple[SaleKey, LoadedItem]]:
        """The items of these sales."""
        ...

    def holds(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        """The holds of these sales that the ledger recorded, in pages."""
        ...

    def refused(self) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        """The orders that the ledger refused and that still have units, in pages."""
        ...

    def buyers(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedBuyer]], None]:
        """The units of every buyer who has some in one of these sales, in pages."""
        ...

    def buyers_of_items(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedBuyer]], None]:
        """The same of each limited item."""
        ...

    def adjustments(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedAdjustment]], None]:
        """The adjustments of these sales, of each in their order, in pages."""
        ...


class LoadSource(Protocol):
    """The ledger, to load from. `LedgerUnavailable` if it does not answer, `CannotLoad` if a later version wrote it."""

    def snapshot(self, fenced: Fenced) -> AbstractAsyncContextManager[LoadSnapshot]:
        """One read-only transaction; `LedgerMoved` unless the shard's row is as the fence left it."""
        ...

    async def size(self, shard: int, retention_ms: int) -> LoadSize:
        """How much a load brings that keeps for so long what has ended, about; the shard need not be fenced."""
        ...

    async def count_buyers(self, shard: int) -> int:
        """How many buyers with units a load brings; those of `size` are an upper bound."""
        ...

    async def check(self, fenced: Fenced) -> None:
        """`LedgerMoved` unless the shard's row is still as the fence left it."""
        ...


class LedgerMoved(Exception):
    """The ledger's row is not the one that the fence wrote: another take-over began, or the ledger was set back."""


class Memory(Protocol):
    """The memory of Redis. `RedisUnavailable` if it does not answer."""

    async def room(self) -> int | None:
        """How many bytes Redis may still take; None if it has no limit."""
        ...


class LoadTarget(Protocol):
    """Redis, to load into. Each method fails without effect once the take-over, or the Redis, is not the same."""

    async def renew(self, takeover: BegunTakeover) -> bool:
        """Tell other processes that the take-over goes on."""
        ...

    async def size(self, takeover: BegunTakeover) -> LoadSize | None:
        """How much the shard has."""
        ...

    async def begin_load(self, takeover: BegunTakeover, time_ms: int) -> int | None:
        """Give up what the shard has; the shard's time in ms, not before `time_ms`; None if the take-over is gone."""
        ...

    async def clear(self, takeover: BegunTakeover) -> bool:
        """Drop every key of the shard but its state."""
        ...

    async def write_part(self, takeover: BegunTakeover, number: int, sales: Sequence[SalePart]) -> bool:
        """Write part `number`, from 1; once, if it comes twice."""
        ...

    async def finish_load(self, takeover: BegunTakeover, fenced: Fenced, time_ms: int, parts: int) -> bool:
        """Serve in the epoch of the fence, if `parts` were written."""
        ...
