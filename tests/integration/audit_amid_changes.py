"""AuditSale of a shard in which something happens between the readings of Redis and of the ledger."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_SALE_NOT_FOUND

from inventory_service.adapters.ledger.sale_snapshots import PostgresSaleSnapshots
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale_reconciliation import AuditDifference, SaleAudit
from inventory_service.service.sale_audit import SaleAudits
from tests.integration.loaded_shard import LoadedShard

Step = Callable[[], Awaitable[Any]]


class InterruptedReader(RedisSaleReader):
    """Takes one step after each reading, as long as there are some, and has the ledger apply it."""

    def __init__(self, connections: RedisConnections, shard: LoadedShard, steps: list[Step]) -> None:
        super().__init__(connections)
        self._changed = shard
        self._steps = steps

    async def page(self, *arguments: Any, **named: Any) -> Any:
        return await self._then_step(await super().page(*arguments, **named))

    async def reservations(self, *arguments: Any) -> Any:
        return await self._then_step(await super().reservations(*arguments))

    async def buyers(self, *arguments: Any, **named: Any) -> Any:
        return await self._then_step(await super().buyers(*arguments, **named))

    async def some_buyers(self, *arguments: Any) -> Any:
        return await self._then_step(await super().some_buyers(*arguments))

    async def _then_step(self, read: Any) -> Any:
        if self._steps:
            await self._steps.pop(0)()
            await self._changed.drain()
        return read


async def differences(shard: LoadedShard, sale: SaleKey, *steps: Step) -> Sequence[AuditDifference]:
    """What AuditSale finds in a sale, if there is one; the ledger has all that was done before the steps."""
    reader = InterruptedReader(shard.connections, shard, list(steps))
    audit = await SaleAudits(reader, PostgresSaleSnapshots(shard.pool), shards=1).audit(sale)
    if isinstance(audit, SaleAudit):
        return audit.differences
    assert audit.reason == ERROR_REASON_SALE_NOT_FOUND, audit
    return ()
