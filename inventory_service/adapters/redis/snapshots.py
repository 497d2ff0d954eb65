"""Reads the sales of a shard in Redis, and each of them page by page, for the audits and the drift watch."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import Argument, RedisConnections
from inventory_service.adapters.redis.keys import sale_from_member, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing, unavailable
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import ItemInRedis, ReservationSnapshot, SalePage
from inventory_service.domain.reservation import Units
from inventory_service.domain.shard_load import StoredSettings
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
        return await self._read(shard, sale, (cursor, size))

    async def reservations(self, shard: int, sale: SaleKey, ids: Sequence[str]) -> SalePage:
        """Those of these reservations that are there, at most `PAGE_SIZE`, and neither items nor settings."""
        return await self._read(shard, sale, (0, len(ids), *ids))

    async def absent(self, shard: int, sale: SaleKey, ids: Sequence[str]) -> Sequence[str]:
        """Those of these reservations that are not there."""
        key = sale_keys(shard, sale).reservations
        async with self._connections.acquire() as connection:
            try:
                records: Any = await connection.execute("HMGET", key, *ids)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        return [id for id, record in zip(ids, records, strict=True) if record is None]

    async def _read(self, shard: int, sale: SaleKey, arguments: Sequence[Argument]) -> SalePage:
        keys = (*shard_keys(shard), *sale_keys(shard, sale))
        try:
            (
                _,
                is_late,
                epoch,
                seq,
                head,
                cursor,
                items,
                reservations,
                settings,
                frozen,
                archived,
            ) = await self._scripts.run("audit", shard, keys, arguments)
        except ShardNotServing as error:
            raise unavailable(shard, error) from error
        return SalePage(
            bool(is_late),
            CommitId(epoch, seq),
            head.decode(),
            int(cursor),
            tuple(ItemInRedis(sku.decode(), *numbers) for sku, *numbers in items),
            tuple(_reservation(shard, *reservation) for reservation in reservations),
            _settings(*settings) if settings else None,
            frozen.decode(),
            CommitId(*map(int, archived.decode().split("-"))),
        )


def _reservation(shard: int, reservation_id: bytes, *fields: Any) -> ReservationSnapshot:
    state, revision, expire_time_ms, due_ms, *positions, buyer_id, lines = fields
    each = (lines[at : at + 4] for at in range(0, len(lines), 4))
    return ReservationSnapshot(
        reservation_id.decode(),
        state,
        revision,
        expire_time_ms,
        due_ms,
        Position(shard, *positions[:3]),
        Position(shard, *positions[3:]),
        buyer_id.decode(),
        tuple(sorted(Units(sku.decode(), *counts) for sku, *counts in each)),
    )


def _settings(*values: Any) -> StoredSettings:
    *numbers, title, fingerprint, release_reason = values
    return StoredSettings._make([*numbers, title.decode(), fingerprint.decode(), release_reason.decode()])
