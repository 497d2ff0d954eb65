"""Strategy 5: DECR in Redis, the order into a queue, and a worker that locks the item's row FOR UPDATE.

The buyer is answered once the order is in the queue, which is in the memory of Redis. PostgreSQL has a stock of its
own, and the worker, which tries for as long as PostgreSQL is away, keeps it from falling below zero.
"""

import asyncio
from collections.abc import Collection, Sequence

from bench.strategies.base import INSERT_MANY, POSTGRES_ERRORS, Order, columns
from bench.strategies.counter import RedisCounter, stock_key
from bench.strategies.queue import Entry, Worker
from bench.strategies.select_for_update import LOCK, TAKE

STREAM = "decr_queue:orders"
RETRY_S = 1.0
KNOWN = "select reservation_id from orders where sale_id = $1 and reservation_id = any($2)"


class DecrQueue(RedisCounter):
    """Two commands of Redis, and nothing holds them together."""

    async def reserve(self, order: Order) -> bool:
        """Count down, and up again if there was not enough; a counter that is missing would count from 0."""
        key = stock_key(order.sale_id, order.sku)
        if await self.redis.decrby(key, order.quantity) < 0:
            await self.redis.incrby(key, order.quantity)
            return False
        await self.redis.xadd(STREAM, order.fields)  # type: ignore[arg-type]
        return True


class DecrQueueWorker(Worker):
    """Records orders as long as PostgreSQL's own stock suffices; it drops the others."""

    stream = STREAM

    async def record(self, entries: Sequence[Entry]) -> None:
        """All in one transaction, again and again until it succeeds."""
        while True:
            try:
                return await self._record([entry.order for entry in entries])
            except POSTGRES_ERRORS:
                await asyncio.sleep(RETRY_S)

    async def _record(self, orders: Sequence[Order]) -> None:
        async with self.database.acquire() as connection, connection.transaction():
            for item in sorted({(order.sale_id, order.sku) for order in orders}):  # sorted: no deadlock
                stock = await connection.fetchval(LOCK, *item)
                asked = [order for order in orders if (order.sale_id, order.sku) == item]
                known = await connection.fetch(KNOWN, item[0], [order.reservation_id for order in asked])
                fits, taken = within(stock, asked, {row["reservation_id"] for row in known})
                if fits:
                    await connection.execute(INSERT_MANY, *columns(fits))
                    await connection.execute(TAKE, *item, taken)


def within(stock: int, orders: Sequence[Order], known: Collection[str]) -> tuple[list[Order], int]:
    """The orders that are new and for which the stock suffices, and their units."""
    fits, taken = [], 0
    for order in orders:
        if order.reservation_id not in known and taken + order.quantity <= stock:
            fits.append(order)
            taken += order.quantity
    return fits, taken
