"""Reads the sales of a shard in Redis, and each of them page by page, for the audit and the drift watch."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.keys import sale_from_member, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import ItemInRedis, ReservationSnapshot, SalePage
from inventory_service.domain.reservation import Units
from inventory_service.domain.shards import CommitId, RedisUnavailable

PAGE_SIZE = 500  # about half a millisecond of Redis


class RedisSaleReader:
    """Reads only, whether or not a shard serves."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._scripts = RedisScripts(connections, ObservedHeads())

    async def sales(self, shard: int) -> Sequence[SaleKey]:
        """All sales of a shard, which are the members of `due`."""
        async with self._connections.acquire() as connection:
            try:
                members: Any = await connection.execute("ZRANGE", shard_keys(shard).due, 0, -1)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        return [sale_from_member(member) for member in members]

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int = PAGE_SIZE) -> SalePage:
        """One page of a sale; cursor 0 begins. A reservation may be in two pages, as HSCAN may return it twice."""
        keys = (*shard_keys(shard), *sale_keys(shard, sale))
        _, is_late, epoch, seq, head, next_cursor, items, reservations = await self._scripts.run(
            "audit", shard, keys, (cursor, size)
        )
        return SalePage(
            bool(is_late),
            CommitId(epoch, seq),
            head.decode(),
            int(next_cursor),
            tuple(ItemInRedis(sku.decode(), *balances) for sku, *balances in items),
            tuple(_reservation(shard, *reservation) for reservation in reservations),
        )


def _reservation(shard: int, reservation_id: bytes, *fields: Any) -> ReservationSnapshot:
    state, revision, expire_time_ms, due_ms, epoch, seq, index, lines = fields
    each = (lines[at : at + 4] for at in range(0, len(lines), 4))
    sorted_lines = tuple(sorted(Units(sku.decode(), *counts) for sku, *counts in each))
    created = Position(shard, epoch, seq, index)
    return ReservationSnapshot(reservation_id.decode(), state, revision, expire_time_ms, due_ms, created, sorted_lines)
