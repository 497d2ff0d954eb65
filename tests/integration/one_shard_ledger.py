"""A ledger of one shard, and the Redis that it follows."""

from dataclasses import dataclass

import asyncpg

from bench.commits import (
    FakeShard,
    MadeCommit,
    record,
)
from order_persister.domain.chain import KafkaRecord
from order_persister.domain.shards import Outcome
from order_persister.service.apply import LedgerWriter


@dataclass
class OneShardLedger:
    """A ledger of one shard, a connection to read it, and the Redis that it follows."""

    ledger: LedgerWriter
    db: "asyncpg.Connection[asyncpg.Record]"
    shard: FakeShard
    applied: int = 0

    async def apply(self, *values: bytes) -> Outcome:
        [outcome] = await self.ledger.apply([KafkaRecord(0, offset, value) for offset, value in enumerate(values)])
        return outcome

    async def apply_commits(self, *commits: MadeCommit) -> Outcome:
        return await self.apply(record(0, list(commits)))

    async def apply_new(self) -> Outcome:
        """Apply what the shard did since the last time, in one run."""
        run, self.applied = self.shard.run(self.applied), len(self.shard.commits)
        return await self.apply(run)

    async def item(self, sku: str = "lamp") -> dict[str, int]:
        row = await self.db.fetchrow("select available, held, sold, refused from item where sku = $1", sku)
        assert row is not None
        return {account: units for account, units in row.items() if units}

    async def reservation(self, reservation_id: str) -> tuple[str, str, str | None] | None:
        row = await self.db.fetchrow(
            "select state, ledger_state, compensation_reason from reservation where reservation_id = $1", reservation_id
        )
        return tuple(row) if row else None

    async def dead_letters(self) -> list[tuple[str, ...]]:
        rows = await self.db.fetch(
            "select reservation_id, reason, state, reservation_state from dead_letter order by 1, seq"
        )
        return [tuple(row) for row in rows]

    async def compensations_owed(self) -> int:
        return int(await self.db.fetchval("select count(*) from compensation where not done"))
