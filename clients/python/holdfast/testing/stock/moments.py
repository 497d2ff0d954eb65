"""Where the shards of the stock in memory stand, for lists: read anew each time, so that no moment is an old one."""

from collections.abc import Callable, Mapping, Sequence

from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.lists import ShardMoment
from inventory_service.domain.shards import CommitId
from inventory_service.service.shard_moments import ShardMoments


class InMemoryMoments(ShardMoments):
    """What `Lists` asks; nothing is kept for a quarter of a second here."""

    def __init__(self, stock: InMemoryStock, now_ms: Callable[[], int]) -> None:
        self._stock = stock
        self._now_ms = now_ms

    async def read(self, shards: Sequence[int]) -> Mapping[int, ShardMoment | None]:
        return {shard: self._moment(shard) for shard in shards}

    def _moment(self, shard: int) -> ShardMoment:
        state = self._stock.state(shard)
        return ShardMoment(max(self._now_ms(), state.time_ms), CommitId(state.epoch, state.seq))
