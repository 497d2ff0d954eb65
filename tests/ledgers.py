"""Opens shards in a database and builds the persister's writer on it, with metrics that a test may read."""

from collections.abc import Iterable

import asyncpg
from prometheus_client import CollectorRegistry

from holdfast_runtime.retry import Outages, Retrier
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.adapters.ledger.transaction import PostgresLedger
from order_persister.metrics import LedgerMetrics
from order_persister.service.apply import LedgerWriter

_OPEN_SHARD = """
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
values ($1, $2, 1, 0, '', 1, 0, 1, 0)"""
_BLOCK_BUYER = """
insert into blocked_buyer (tenant, buyer_id, reason, create_time) values ('default', $1, $2, to_timestamp($3))"""


async def open_shards(db: "asyncpg.Connection[asyncpg.Record]", numbers: Iterable[int], of: int = 16) -> None:
    """Open shards as `holdfast init` does, without a Redis."""
    await db.executemany(_OPEN_SHARD, [(number, of) for number in numbers])


async def block_buyer(
    db: "asyncpg.Connection[asyncpg.Record]", buyer_id: str, reason: str = "fraud", at_ms: int = 0
) -> None:
    """Block a buyer since a moment of the shards' clocks, by default for ever; an earlier block is replaced."""
    await db.execute("delete from blocked_buyer where buyer_id = $1", buyer_id)
    await db.execute(_BLOCK_BUYER, buyer_id, reason, at_ms / 1000)


def ledger_in(database: Database, registry: CollectorRegistry | None = None) -> LedgerWriter:
    """The writer of the ledger in a database."""
    registry = registry or CollectorRegistry()
    return LedgerWriter(PostgresLedger(database, ledger_queries()), LedgerMetrics(registry), Retrier(Outages(registry)))


def waits(registry: CollectorRegistry, on: str) -> float:
    """How many attempts on a server have failed."""
    return registry.get_sample_value("holdfast_retries_total", {"server": on}) or 0.0
