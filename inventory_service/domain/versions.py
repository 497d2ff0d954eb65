"""How far a shard is and when its sales changed last: what watches read each tenth of a second, and the port for it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.shards import CommitId

READ_AT_ONCE = 128  # sales whose versions, or reservations of a sale, that one call reads
LOADED = CommitId(0, 0)  # the version of a sale that has not changed since it was loaded


class ShardVersions(NamedTuple):
    """A shard, and when some of its sales changed last, as one call found them."""

    now_ms: int
    head: Position  # the last commit; index 0
    settled: CommitId
    lag_ms: int | None  # since the oldest commit was made that the ledger has not reported; None: it has all
    sales: Sequence[CommitId | None]  # by which commit each changed last, or LOADED; None: there is none


class WatchedStock(Protocol):
    """A stock as watches read it; each call reads at most READ_AT_ONCE sales or reservations."""

    async def read_versions(self, shard: int, sales: Sequence[SaleKey]) -> ShardVersions | Failure:
        """Where a shard is, and when these sales of it changed last."""
        ...

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure: ...

    async def find_reservations(
        self, sale: SaleKey, reservation_ids: Sequence[str]
    ) -> Sequence[ReservationRead | Failure]:
        """Reservations of one sale, each as it stands or as unknown."""
        ...
