"""A shard with some reservations, its ledger, and the audit of both."""

import json
import time
from typing import Any

from inventory_service.adapters.kafka.runs import runs_from_commits
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.archive import ArchiveStep
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Granted
from inventory_service.domain.sale import CreateSale, NewItem, SaleRead
from inventory_service.domain.shards import Commit, CommitId, LedgerProgress
from inventory_service.service import audit
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests.contract.shards import CLOCK_KEY, load_script_on_test_clock
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.ledgers import ledger_in
from tests.sales import make_sale
from tests.servers import connected

SALE = SaleKey("default", "lamp-sale")
SHARD = shard_of(SALE, SHARDS)


class AuditFixture:
    """A shard with some reservations, and its audit."""

    def __init__(self, processes: ShardProcesses) -> None:
        self.processes = processes
        self.stock = RedisStock(processes.scripts, SHARDS, outbox_limit=10_000)
        self.output: list[str] = []

    async def sell(self, first: int, last: int) -> None:
        """Hold, and confirm or release two of three."""
        for number in range(first, last + 1):
            name = f"r-{number}"
            lines = (Line("lamp", 1), Line("shade", 2))
            granted = await self.stock.reserve(Reserve(SALE, name, f"buyer-{number % 7}", lines, None))
            assert isinstance(granted, Granted)
            if number % 3 == 0:
                await self.stock.move(Move(SALE, name, MoveKind.CONFIRM))
            elif number % 3 == 1:
                await self.stock.move(Move(SALE, name, MoveKind.RELEASE))

    async def apply_outbox(self) -> None:
        """Apply the outbox to the ledger, as relay and persister do."""
        database = Database(self.processes.dsn)
        after = CommitId(0, 0)
        commits: list[Commit] = []
        while more := await self.processes.outbox.read_after(SHARD, after, wait_ms=1):
            commits += more
            after = more[-1].commit_id
        records = [KafkaRecord(SHARD, at, run.value) for at, run in enumerate(runs_from_commits(SHARD, commits))]
        await ledger_in(database).apply(records)
        await database.close()

    async def archive_a_sale(self) -> SaleKey:
        """Create a sale in the same shard, sell in it, and archive it; both stores skip the hour until its end."""
        names = (SaleKey("default", f"brief-{number}") for number in range(100))
        sale = next(name for name in names if shard_of(name, SHARDS) == SHARD)
        end_ms = round(time.time() * 1000) + 3_600_000
        made = await make_sale(self.stock, CreateSale(sale, "", None, end_ms, 0, 0, 0, (NewItem("lamp", 5),)))
        assert isinstance(made, SaleRead), made
        bought = await self.stock.reserve(Reserve(sale, "r-1", "ann", (Line("lamp", 2),), None))
        assert isinstance(bought, Granted), bought
        await self.apply_outbox()
        row = await self.processes.ledger.row(SHARD)
        assert row is not None
        at = (row.epoch, row.seq, row.hash, row.epoch, row.seq)
        await self.processes.shards.trim(LedgerProgress(SHARD, *at, resend=False, frozen_reason=""))
        await self.sql(f"update sale set end_time = now() where sale_id = '{sale.sale_id}'")
        async with self.processes.connections.acquire() as connection:
            await connection.execute("SET", CLOCK_KEY, end_ms)
        scripts = RedisScripts(self.processes.connections, ObservedHeads(), load_script_on_test_clock, lambda: end_ms)
        step = await RedisStock(scripts, SHARDS, outbox_limit=10_000).archive(sale, 0)
        assert isinstance(step, ArchiveStep), step
        assert step.sale_left
        await self.apply_outbox()
        return sale

    async def audit(self, deadline_s: float = 60, only: SaleKey | None = None, shard_count: int = SHARDS) -> int:
        self.output.clear()
        dependencies = audit.Dependencies(
            self.processes.shards,
            self.processes.ledger,
            RedisSaleReader(self.processes.connections),
            PostgresSnapshots(self.processes.postgres),
            progress=lambda line: None,
            write=self.output.append,
        )
        return await audit.run(dependencies, shard_count, only, deadline_s, as_json=True)

    @property
    def result(self) -> dict[str, object]:
        return json.loads(self.output[0])  # type: ignore[no-any-return]

    @property
    def differences(self) -> list[str]:
        """What differs, a line each."""
        found: Any = self.result["differences"]
        return [f"{difference['where']}: {difference['what']}" for difference in found]

    async def sql(self, statement: str) -> None:
        async with connected(self.processes.dsn) as db:
            await db.execute(statement)
