"""Two servers on real stores, and orders that the ledger has refused: relay and compensator are steps of the test."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from inventory_service.adapters.kafka.runs import runs_from_commits
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Compensate
from inventory_service.domain.shards import CommitId
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests.faults.independent_checker import Told, find_violations
from tests.faults.recovery.stored import InLedger, read_ledger, read_redis
from tests.inventory_server import SHARDS, Caller, calling, open_shards, running_server
from tests.ledger_consistency import inconsistencies
from tests.ledgers import block_buyer, ledger_in
from tests.ledgers import open_shards as open_ledger
from tests.servers import connected

SALE = SaleKey("default", "lamp-sale")
UNANSWERED = Told([], (), (), may_lose=False, blocked="")
LETTERS = """
select shard, created_epoch, created_seq, created_index, reservation_id, state, coalesce(replayed_as, '') as replayed_as
  from dead_letter order by reservation_id, created_epoch, created_seq, created_index"""
OPEN_COMPENSATIONS = """
select d.* from compensation c join dead_letter d using (shard, created_epoch, created_seq, created_index)
 where not c.done"""


class RefusedOrders:
    """A sale, its dead letters, and callers of two servers."""

    def __init__(self, url: str, dsn: str, db: "asyncpg.Connection[asyncpg.Record]", callers: Sequence[Caller]) -> None:
        self.url, self.dsn, self.db, self.callers = url, dsn, db, callers
        self._connections = connections_to(url)
        self._outbox = RedisOutbox(self._connections)
        self.stock = RedisStock(RedisScripts(self._connections, ObservedHeads()), SHARDS, outbox_limit=100_000)
        self._database = Database(dsn)
        self._writer = ledger_in(self._database)
        self._recorded = [CommitId(0, 0)] * SHARDS
        self._records = 0

    async def close(self) -> None:
        await self._connections.close()
        await self._database.close()

    @property
    def caller(self) -> Caller:
        return self.callers[0]

    async def make(self, name: str, buyer: str, reference: str = "", buy: bool = False, **lines: int) -> None:
        """An order that Redis takes."""
        asked = [Line(sku=sku, quantity=quantity) for sku, quantity in lines.items()]
        request: Any = {"sale_id": SALE.sale_id, "reservation_id": name}
        answer = await self.caller.stock.Reserve(
            calls.ReserveRequest(**request, buyer_id=buyer, lines=asked, reference=reference)
        )
        assert answer.HasField("reservation"), answer
        if buy:
            await self.caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**request))

    @asynccontextmanager
    async def refusing(self, buyer: str) -> AsyncIterator[None]:
        """What this buyer is granted within the block is refused, and its units come back."""
        await block_buyer(self.db, buyer)
        yield
        await self.settle_refused()
        await self.db.execute("delete from blocked_buyer where buyer_id = $1", buyer)

    async def settle_refused(self) -> None:
        """Record what Redis has, give the units of refused orders back, and record that."""
        await self.record()
        for row in await self.db.fetch(OPEN_COMPENSATIONS):
            created = Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"])
            request = Compensate(SaleKey(row["tenant"], row["sale_id"]), row["reservation_id"], created, 1, "a test")
            assert await self.stock.compensate(request)
        await self.record()

    async def record(self) -> None:
        """Apply what Redis has committed since, as relay and persister do."""
        for shard in range(SHARDS):
            while commits := await self._outbox.read_after(shard, self._recorded[shard], wait_ms=1):
                self._recorded[shard] = commits[-1].commit_id
                for run in runs_from_commits(shard, commits):
                    await self._writer.apply([KafkaRecord(shard, self._records, run.value)])
                    self._records += 1

    async def letters(self) -> dict[str, tuple[str, str]]:
        """Each dead letter's id: its state, and the id under which it is replayed."""
        rows = await self.db.fetch(LETTERS)
        return {"-".join(map(str, row[:4])): (row["state"], row["replayed_as"]) for row in rows}

    async def in_ledger(self, name: str) -> tuple[str, str, str, str] | None:
        """State, ledger state, buyer and reference of a reservation."""
        query = "select state, ledger_state, buyer_id, reference from reservation where reservation_id = $1"
        row = await self.db.fetchrow(query, name)
        return tuple(row) if row else None

    async def differences(self) -> list[str]:
        """What does not agree once the ledger has everything, a sentence each."""
        await self.record()
        ledger: InLedger = await read_ledger(self.db)
        redis = await read_redis(self.url, SHARDS)
        return [*find_violations(redis, ledger, UNANSWERED, []), *await inconsistencies(self.db)]


@asynccontextmanager
async def refused_orders(url: str, dsn: str) -> AsyncIterator[RefusedOrders]:
    """Two servers on open shards, without a sale."""
    await open_shards(url)
    async with AsyncExitStack() as opened:
        db = await opened.enter_async_context(connected(dsn))
        await open_ledger(db, range(SHARDS), of=SHARDS)
        addresses = [await opened.enter_async_context(running_server(url, dsn)) for _ in range(2)]
        callers = [await opened.enter_async_context(calling(address)) for address in addresses]
        orders = RefusedOrders(url, dsn, db, callers)
        yield orders
        await orders.close()


async def replay(caller: Caller, letter: str, name: str, **options: Any) -> admin.ReplayDeadLetterResponse:
    """Replay a dead letter."""
    request = admin.ReplayDeadLetterRequest(dead_letter_id=letter, reservation_id=name)
    return await caller.admin.ReplayDeadLetter(request, **options)
