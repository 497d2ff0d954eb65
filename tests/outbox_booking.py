"""Books what Redis' outbox has into the ledger at a test's word, as relay and persister do by themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inventory_service.adapters.kafka.runs import runs_from_commits
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.domain.shards import CommitId
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests import ledgers
from tests.servers import connected


class OutboxBooking:
    """The shards of one Redis, whose outboxes are not trimmed, and a ledger in which they are open."""

    def __init__(self, connections: RedisConnections, database: Database, shards: int) -> None:
        self._outbox = RedisOutbox(connections)
        self._ledger = ledgers.ledger_in(database)
        self._booked = dict.fromkeys(range(shards), CommitId(0, 0))
        self._records = dict.fromkeys(range(shards), 0)

    async def book(self) -> None:
        """Book all commits that there are, shard by shard."""
        for shard in self._booked:
            while commits := await self._outbox.read_after(shard, self._booked[shard], wait_ms=1):
                for run in runs_from_commits(shard, commits):
                    await self._ledger.apply([KafkaRecord(shard, self._records[shard], run.value)])
                    self._records[shard] += 1
                self._booked[shard] = commits[-1].commit_id


@asynccontextmanager
async def booking_outbox(redis_url: str, dsn: str, shards: int) -> AsyncIterator[OutboxBooking]:
    """Open the shards in the ledger, with nothing booked yet."""
    async with connected(dsn) as db:
        await ledgers.open_shards(db, range(shards), of=shards)
    connections, database = connections_to(redis_url), Database(dsn)
    yield OutboxBooking(connections, database, shards)
    await database.close()
    await connections.close()
