"""Redis' books for the audit: which sales a shard keeps, and each of them part by part."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.keys import sale_from_member, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import Epochs, RedisScripts
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import ItemInRedis, Part, ReservationSnapshot
from inventory_service.domain.reservation import Line
from inventory_service.domain.shards import CommitId, RedisUnavailable

RESERVATIONS_AT_ONCE = 500  # about half a millisecond of Redis


class RedisSaleReader:
    """Reads only, whether or not a shard serves."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._scripts = RedisScripts(connections, Epochs())

    async def sales(self, shard: int) -> Sequence[SaleKey]:
        """All sales of a shard, each of which has its place in `due`."""
        async with self._connections.acquire() as connection:
            try:
                members: Any = await connection.ask("ZRANGE", shard_keys(shard).due, 0, -1)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        return [sale_from_member(member) for member in members]

    async def part(self, shard: int, sale: SaleKey, cursor: int, at_once: int = RESERVATIONS_AT_ONCE) -> Part:
        """Some of a sale; cursor 0 begins. A reservation may come in two parts, as HSCAN says of itself."""
        keys = (*shard_keys(shard), *sale_keys(shard, sale))
        _, now_ms, epoch, seq, head, following, items, reservations = await self._scripts.run_under(
            0, "audit", keys, (cursor, at_once)
        )
        return Part(
            now_ms,
            CommitId(epoch, seq),
            head.decode(),
            int(following),
            tuple(ItemInRedis(sku.decode(), *balances) for sku, *balances in items),
            tuple(_reservation(shard, *reservation) for reservation in reservations),
        )


def _reservation(
    shard: int, reservation_id: bytes, state: int, revision: int, epoch: int, seq: int, index: int, lines: Sequence[Any]
) -> ReservationSnapshot:
    pairs = zip(lines[::2], lines[1::2], strict=True)
    sorted_lines = tuple(sorted(Line(sku.decode(), quantity) for sku, quantity in pairs))
    created = Position(shard, epoch, seq, index)
    return ReservationSnapshot(reservation_id.decode(), state, revision, created, sorted_lines)
