"""A sale with reservations in every state, and its audit as the server makes it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.sale_snapshots import PostgresSaleSnapshots
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.domain.archive import ArchiveStep
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Compensate, Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.domain.sale_reconciliation import SaleAudit
from inventory_service.domain.shards import LedgerProgress
from inventory_service.domain.time_left import caller_leaves
from inventory_service.service.sale_audit import SaleAudits
from tests.halting_proxy import HaltingProxy
from tests.integration.audit_fixture import SALE, SHARD, AuditFixture
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.sales import make_sale

HOLD_MS = 600_000


class SaleAuditFixture(AuditFixture):
    """Audits one sale."""

    def __init__(self, processes: ShardProcesses) -> None:
        super().__init__(processes)
        self.pool = LedgerPool(processes.dsn, pool_size=1)
        self.snapshots = PostgresSaleSnapshots(self.pool)
        self.audits = SaleAudits(RedisSaleReader(processes.connections), self.snapshots, SHARDS)

    async def open(self) -> None:
        """A sale with sixty reservations, some of which were refused; the ledger has it all."""
        await self.processes.open()
        items = (NewItem("lamp", 1000, buyer_limit=500), NewItem("shade", 5000))
        await make_sale(self.stock, CreateSale(SALE, "Lamps", None, None, HOLD_MS, 2 * HOLD_MS, 0, items))
        await self.sell(1, 60)
        await self.apply_outbox()

    async def close(self) -> None:
        await self.pool.close()
        await self.processes.close()

    async def move_parts(self) -> None:
        """Sell, change, extend and give back parts; the ledger has applied nothing of it yet."""
        shade = (Line("shade", 1),)
        await self.move("r-2", MoveKind.CONFIRM, lines=shade)
        await self.move("r-3", MoveKind.RETURN, lines=shade)
        await self.move("r-6", MoveKind.RETURN, lines=shade, discards=True)
        await self.move("r-9", MoveKind.RETURN)
        await self.move("r-99", MoveKind.SPEND)
        changed = await self.stock.change_hold(ChangeHold(SALE, "r-5", (Line("shade", 3),)))
        assert isinstance(changed, Granted), changed

    async def move(self, name: str, kind: MoveKind, sale: SaleKey = SALE, **more: object) -> None:
        moved = await self.stock.move(Move(sale, name, kind, **more))  # type: ignore[arg-type]
        assert isinstance(moved, Granted), moved

    async def block(self, buyer: str) -> None:
        """The ledger refuses what this buyer gets or confirms from now on."""
        await LedgerBuyers(self.processes.postgres).block_buyer("default", buyer, "a test", actor="")

    async def created(self, name: str) -> Position:
        """Where a reservation was made, as Redis has it."""
        page = await RedisSaleReader(self.processes.connections).reservations(SHARD, SALE, [name])
        return page.reservations[0].created

    async def compensate(self, name: str) -> None:
        assert await self.stock.compensate(Compensate(SALE, name, await self.created(name), 1, "blocked")) is True

    async def audit_sale(self, sale: SaleKey = SALE) -> SaleAudit:
        audit = await self.audits.audit(sale)
        assert isinstance(audit, SaleAudit), audit
        return audit

    async def audit_failure(self, sale: SaleKey = SALE) -> Failure:
        failure = await self.audits.audit(sale)
        assert isinstance(failure, Failure), failure
        return failure

    async def found(self, sale: SaleKey = SALE) -> Sequence[tuple[str, str, str]]:
        """What differs, as plain tuples."""
        return [tuple(difference) for difference in (await self.audit_sale(sale)).differences]  # type: ignore[misc]

    async def redis(self, *command: str | bytes | int) -> object:
        async with self.processes.connections.acquire() as connection:
            return await connection.execute(*command)

    async def audit_failure_within(self, seconds: float, audits: SaleAudits | None = None) -> Failure:
        """The failure of an audit whose caller waits so long."""
        leaves = caller_leaves.set(perf_counter() + seconds)
        try:
            failure = await (audits or self.audits).audit(SALE)
        finally:
            caller_leaves.reset(leaves)
        assert isinstance(failure, Failure), failure
        return failure

    @asynccontextmanager
    async def through_proxy(self) -> AsyncIterator[tuple[SaleAudits, HaltingProxy]]:
        """The same audit, with a proxy before the ledger."""
        proxy = HaltingProxy(self.processes.dsn)
        async with proxy.listening() as dsn:
            pool = LedgerPool(dsn, pool_size=1)
            yield SaleAudits(RedisSaleReader(self.processes.connections), PostgresSaleSnapshots(pool), SHARDS), proxy
            await pool.close()

    async def settle(self) -> None:
        """Report to Redis what the ledger has."""
        row = await self.processes.ledger.row(SHARD)
        assert row is not None
        at = (row.epoch, row.seq, row.hash, row.epoch, row.seq)
        await self.processes.shards.trim(LedgerProgress(SHARD, *at, resend=False, frozen_reason=""))

    async def archive(self, sale: SaleKey) -> None:
        """Drop every reservation that is final."""
        step = await self.stock.archive(sale, 0)
        while isinstance(step, ArchiveStep) and step.cursor:
            step = await self.stock.archive(sale, 0, step.cursor)
        assert isinstance(step, ArchiveStep), step
