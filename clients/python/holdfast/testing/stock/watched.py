"""The stock in memory as watches read it: by which commit each sale changed last."""

from collections.abc import Callable, Sequence

from inventory_service.domain.events import Event, ReservationChange, SaleMade, StockAdjusted
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import LOADED, ShardVersions


class InMemoryWatched:
    """The port `WatchedStock`."""

    def __init__(self, stock: InMemoryStock, now_ms: Callable[[], int]) -> None:
        self._stock = stock
        self._now_ms = now_ms
        self._versions: dict[SaleKey, CommitId] = {}
        self._seen: dict[int, int] = {}  # shard -> commits that are in the versions

    async def read_versions(self, shard: int, sales: Sequence[SaleKey]) -> ShardVersions | Failure:
        state = self._stock.state(shard)
        self._look_at_commits(shard)
        head, behind = Position(shard, state.epoch, state.seq, 0), state.commits[state.trim_seq :]
        now_ms = max(self._now_ms(), state.time_ms)
        lag_ms = now_ms - behind[0].time_ms if behind else None
        versions = [self._versions.get(sale, LOADED) if sale in state.sales else None for sale in sales]
        return ShardVersions(now_ms, head, CommitId(*state.settled), lag_ms, versions)

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        return await self._stock.find_sale(sale)

    async def find_reservations(
        self, sale: SaleKey, reservation_ids: Sequence[str]
    ) -> Sequence[ReservationRead | Failure]:
        return [await self._stock.find_reservation(sale, each) for each in reservation_ids]

    def _look_at_commits(self, shard: int) -> None:
        state = self._stock.state(shard)
        for commit in state.commits[self._seen.get(shard, 0) :]:
            for event in commit.events:
                self._versions[_sale_of(event)] = CommitId(state.epoch, commit.seq)
        self._seen[shard] = len(state.commits)


def _sale_of(event: Event) -> SaleKey:
    match event:
        case ReservationChange():
            return event.reservation.sale
        case SaleMade() | StockAdjusted():
            return event.request.sale
        case _:
            return event.sale
