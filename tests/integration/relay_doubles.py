"""What tests put in the place of parts of a relay: no stock, gauges and outages that record, a slow ledger."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from holdfast_runtime.retry import Outage, Outages
from inventory_service.adapters.ledger.load import PostgresLoadSnapshot, PostgresLoadSource
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain.backlog import Backlog
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.shard_load import LoadSize, StoredSettings
from inventory_service.domain.shards import Fenced


class NoStock:
    """A stock without holds: the relay's maintenance is tested elsewhere."""

    async def expire(self, shard: int) -> ExpireStep:
        return ExpireStep(0, more_is_due=False)

    async def list_sales(self, shard: int) -> list[SaleKey]:
        return []

    async def count_holds(self, shard: int) -> HoldCounts:
        return HoldCounts(0, 0)


class RecordedOutages(Outages):
    """Records the servers that were unavailable, one name an attempt."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.servers: list[str] = []

    def begin(self, outage: Outage, server: str, why: str) -> None:
        self.servers.append(server)
        super().begin(outage, server, why)


@dataclass
class Gauges:
    """Records the last backlog of each shard, and how often one was set."""

    shown: dict[int, Backlog] = field(default_factory=dict)
    times: int = 0

    def show(self, shard: int, backlog: Backlog) -> None:
        self.shown[shard] = backlog
        self.times += 1

    def show_holds(self, shard: int, holds: HoldCounts) -> None:
        pass


class SlowLoadSource(PostgresLoadSource):
    """Counts what is to be loaded, and reads sales, only once a test lets it."""

    def __init__(self, ledger: LedgerPool, may_count: asyncio.Event, may_read: asyncio.Event) -> None:
        super().__init__(ledger)
        self._may_count = may_count
        self._may_read = may_read

    async def size(self, shard: int, retention_ms: int) -> LoadSize:
        await self._may_count.wait()
        return await super().size(shard, retention_ms)

    @asynccontextmanager
    async def snapshot(self, fenced: Fenced) -> AsyncIterator[PostgresLoadSnapshot]:
        async with super().snapshot(fenced) as snapshot:
            read = snapshot.sales

            async def sales() -> Sequence[tuple[SaleKey, StoredSettings]]:
                await self._may_read.wait()
                return await read()

            snapshot.sales = sales  # type: ignore[method-assign]
            yield snapshot
