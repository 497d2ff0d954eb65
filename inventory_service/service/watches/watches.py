"""All watches of a server: who watches what, and the loop that polls their shards and sends their news."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Protocol

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import Stock
from inventory_service.domain.results import ReservationRead
from inventory_service.domain.versions import WatchedStock
from inventory_service.domain.watches import ReservationView, SaleUpdate, SaleView
from inventory_service.service.watches.budget import Budget
from inventory_service.service.watches.sender import Sender
from inventory_service.service.watches.shard import SaleWatches, ShardWatches
from inventory_service.service.watches.sources import Sources
from inventory_service.service.watches.watched import V, Watch, Watched

POLL_S = 0.1
HEARTBEAT_S = 14.0  # a watch of a sale is sent a message at least every 15 seconds
READS_PER_S = 20_000  # items of sales, and reservations: a sale of 1,000 items takes Redis 2 to 3.5 ms


class Encoder(Protocol):
    """Makes messages."""

    def sale(self, update: SaleUpdate) -> bytes: ...

    def reservation(self, read: ReservationRead) -> bytes: ...


class Watches:
    """Polls only while something is watched, in a task of its own."""

    def __init__(
        self,
        stock: WatchedStock,
        archive: Stock,
        shard_of: Callable[[SaleKey], int],
        encoder: Encoder,
        count_messages: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.open = 0  # watches
        self._shard_of = shard_of
        self._encoder = encoder
        self._clock = clock
        self._sleep = sleep
        self._sender = Sender(clock, count_messages)
        self._sources = Sources(stock, archive, Budget(READS_PER_S, clock), clock)
        self._shards: dict[int, ShardWatches] = {}
        self._polls: dict[ShardWatches, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None

    @contextmanager
    def sale(self, key: SaleKey) -> Iterator[Watch]:
        """Watch a sale for one block."""
        shard, sale = self._find(key)
        if sale.sale is None:
            sale.sale = self._watched(SaleView(), lambda view, sent: self._encoder.sale(view.since(sent)), HEARTBEAT_S)
        with self._watching(shard, sale, sale.sale, "") as watch:
            yield watch

    @contextmanager
    def reservation(self, key: SaleKey, reservation_id: str) -> Iterator[Watch]:
        """Watch a reservation for one block."""
        shard, sale = self._find(key)
        watched = sale.reservations.get(reservation_id)
        if watched is None:
            watched = self._watched(ReservationView(), lambda view, _: self._encoder.reservation(view.latest()), None)
            sale.reservations[reservation_id] = watched
        sale.look_again()
        with self._watching(shard, sale, watched, reservation_id) as watch:
            yield watch

    @contextmanager
    def _watching(
        self, shard: ShardWatches, sale: SaleWatches, watched: Watched[Any], reservation_id: str
    ) -> Iterator[Watch]:
        watch = Watch(watched, shard.poll)
        self.open += 1
        if self._loop is None:  # in a context of its own: its questions are not limited by the time of this call
            self._loop = asyncio.get_running_loop().create_task(self._run(), context=Context())
        try:
            yield watch
        finally:
            watch.close()
            self.open -= 1
            if not watched.streams:
                sale.drop(reservation_id)
            if sale.is_empty and shard.sales.get(sale.key) is sale:
                del shard.sales[sale.key]

    def _find(self, key: SaleKey) -> tuple[ShardWatches, SaleWatches]:
        number = self._shard_of(key)
        if number not in self._shards:
            self._shards[number] = ShardWatches(number, self._sources)
        shard = self._shards[number]
        if key not in shard.sales:
            shard.sales[key] = SaleWatches(key, self._sources)
        return shard, shard.sales[key]

    def _watched(self, view: V, encode: Callable[[V, int], bytes], heartbeat_s: float | None) -> Watched[V]:
        return Watched(view, encode, self._sender.offer, self._clock, heartbeat_s)

    async def _run(self) -> None:
        """Begin a poll of each shard in each interval, unless its last one is under way; ends with the last watch."""
        due = self._clock()
        while self.open:
            for shard in self._shards.values():
                if shard.sales and shard not in self._polls:
                    self._polls[shard] = asyncio.create_task(self._poll(shard))
            self._sender.send()
            due = max(due + POLL_S, self._clock())
            await self._sleep(due - self._clock())
        self._loop = None

    async def _poll(self, shard: ShardWatches) -> None:
        await shard.run_poll()
        del self._polls[shard]
        self._sender.send()
