"""Reads the sales of a shard in Redis, and each of them page by page, for the audits and the drift watch."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.keys import sale_from_member, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing, unavailable
from inventory_service.domain.buyer_reconciliation import BuyersPage
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import ItemInRedis, ReservationSnapshot, SalePage
from inventory_service.domain.reservation import Units
from inventory_service.domain.sale_reconciliation import TakenUnits
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
        async with self._connections.acquire(shard) as connection:
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
        return await self._absent(shard, sale_keys(shard, sale).reservations, ids)

    async def buyers(self, shard: int, sale: SaleKey, cursor: int, size: int = PAGE_SIZE) -> BuyersPage:
        """One page of the buyers of a sale; cursor 0 begins. HSCAN may return one twice."""
        return await self._read_buyers(shard, sale, (cursor, size))

    async def some_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> BuyersPage:
        """Those of these that are there, at most `PAGE_SIZE`."""
        return await self._read_buyers(shard, sale, (0, len(names), *names))

    async def absent_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> Sequence[str]:
        """Those of these that are not there."""
        return await self._absent(shard, sale_keys(shard, sale).buyers, names)

    async def _absent(self, shard: int, key: str, names: Sequence[str]) -> Sequence[str]:
        async with self._connections.acquire(shard) as connection:
            try:
                values: Any = await connection.execute("HMGET", key, *names)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        return [name for name, value in zip(names, values, strict=True) if value is None]

    async def _read_buyers(self, shard: int, sale: SaleKey, arguments: Sequence[Argument]) -> BuyersPage:
        _, epoch, seq, head, cursor, frozen, flat = await self._run("audit_buyers", shard, sale, arguments)
        each = (flat[at : at + 3] for at in range(0, len(flat), 3))
        units = {name.decode(): TakenUnits(held, sold) for name, held, sold in each}
        return BuyersPage(CommitId(epoch, seq), head.decode(), int(cursor), frozen.decode(), units)

    async def _read(self, shard: int, sale: SaleKey, arguments: Sequence[Argument]) -> SalePage:
        _, is_late, epoch, seq, head, cursor, items, reservations, settings, frozen, archived = await self._run(
            "audit", shard, sale, arguments
        )
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

    async def _run(self, script: str, shard: int, sale: SaleKey, arguments: Sequence[Argument]) -> Sequence[Any]:
        try:
            return await self._scripts.run(script, shard, (*shard_keys(shard), *sale_keys(shard, sale)), arguments)
        except ShardNotServing as error:
            raise unavailable(shard, error) from error


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
