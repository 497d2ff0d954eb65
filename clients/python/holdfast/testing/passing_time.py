"""What happens by itself: holds run out or are released, and what is over leaves the stock."""

import asyncio
from datetime import timedelta

from holdfast.testing.clock import Clock
from inventory_service.domain.archive import archive
from inventory_service.domain.events import SaleChanged
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.reservation import HELD
from inventory_service.domain.shard_state import ShardState, Transaction

_MS = timedelta(milliseconds=1)


class PassingTime:
    """Does what the relay of a real server does every second."""

    def __init__(self, stock: InMemoryStock, clock: Clock, shards: int, retention: timedelta) -> None:
        self._shards = [stock.state(number) for number in range(shards)]
        self._clock = clock
        self._retention_ms = retention // _MS

    def advance(self, ms: int) -> None:
        """Move the clock on; each hold is taken back at the moment at which it ends."""
        target = self._clock.now_ms() + ms
        while (end := self._next_end(target)) is not None:
            self._clock.move_to(end)
            self.take_back()
        self._clock.move_to(target)
        self._archive()

    def committed(self, shard: ShardState) -> None:
        """Must be called after each commit of a shard: a close releases more holds than one call takes back."""
        changes = (event for event in shard.commits[-1].events if isinstance(event, SaleChanged))
        if any(change.settings.release_time_ms for change in changes):
            asyncio.get_running_loop().call_soon(self.take_back)

    def take_back(self) -> None:
        """Take back every hold that is overdue or was released."""
        for shard in self._shards:
            while (transaction := self._begin(shard)).due():
                for sale in transaction.due():
                    transaction.expire_overdue(sale)
                transaction.commit()

    def _next_end(self, target: int) -> int | None:
        """When the next holds end, not after `target`."""
        ends = (
            order.expire_time_ms
            for shard in self._shards
            for sale in shard.sales.values()
            for order, _ in sale.reservations.values()
            if order.state == HELD
        )
        return min((end for end in ends if end <= target), default=None)

    def _archive(self) -> None:
        """A sale leaves with its last reservation, once the ledger has settled all that they did."""
        for shard in self._shards:
            for sale in list(shard.sales):
                transaction = self._begin(shard)
                archive(transaction, sale, self._retention_ms)
                transaction.commit()

    def _begin(self, shard: ShardState) -> Transaction:
        return Transaction(shard, self._clock.now_ms)
