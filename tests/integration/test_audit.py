"""The audit reports every difference of Redis and the ledger, and ends with 2 where it cannot compare them."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_LEDGER_BEHIND

from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.snapshots import PostgresSnapshots
from inventory_service.adapters.redis.keys import sale_keys, shard_keys
from inventory_service.adapters.redis.snapshots import PAGE_SIZE, RedisSaleReader
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reconciliation import SalePage
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.service import audit
from inventory_service.service.relay.drift import DriftWatch
from tests.integration.audit_fixture import SALE, SHARD, AuditFixture
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.sales import make_sale
from tests.shared_kafka import Kafka
from tests.waiting import eventually

SUMS_S = 30.0  # half a second on a machine that does nothing else; nested loops take a minute

# An order that was refused, and ended just now.


@pytest.fixture
async def fixture(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[AuditFixture]:
    processes = ShardProcesses(valkey, database, kafka)
    await processes.open()
    fixture = AuditFixture(processes)
    items = (NewItem("lamp", 1000), NewItem("shade", 5000))
    await make_sale(fixture.stock, CreateSale(SALE, "Lamps", None, None, 600_000, 600_000, 0, items))
    await fixture.sell(1, 60)
    yield fixture
    await processes.close()


async def test_redis_and_ledger_without_differences(fixture: AuditFixture) -> None:
    """Held, sold and released orders are equal on both sides and in the ledger's own sums."""
    await fixture.apply_outbox()

    assert await fixture.audit() == 0

    assert fixture.result == {
        "consistent": True,
        "shards": SHARDS,
        "sales": 1,
        "reservations": 60,
        "commits": 101,
        "differences": [],
    }


async def test_open_refused_orders_are_no_difference(fixture: AuditFixture) -> None:
    """Their units are refused in the ledger and held or sold in Redis until they come back; so are parts of them."""
    await LedgerBuyers(fixture.processes.postgres).block_buyer("default", "buyer-3", "a test", actor="")
    shade = (Line("shade", 1),)
    for refused, recorded in (("r-17", "r-2"), ("r-3", "r-6")):
        kind = MoveKind.RETURN if refused == "r-3" else MoveKind.CONFIRM
        for name in (refused, recorded):
            moved = await fixture.stock.move(Move(SALE, name, kind, "why", lines=shade))
            assert isinstance(moved, Granted)
    discarded = Move(SALE, "r-24", MoveKind.RETURN, "broken", lines=shade, discards=True)
    assert isinstance(await fixture.stock.move(discarded), Granted)
    assert isinstance(await fixture.stock.change_hold(ChangeHold(SALE, "r-5", (Line("shade", 3),))), Granted)
    await fixture.apply_outbox()

    assert await fixture.audit() == 0, fixture.differences


class SellsWhileRead(RedisSaleReader):
    """Sells in a shard after each sale that was read, and has the ledger take it, so that the next one has moved."""

    def __init__(self, fixture: AuditFixture) -> None:
        super().__init__(fixture.processes.connections)
        self._fixture = fixture
        self._sold = 60

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int = PAGE_SIZE) -> SalePage:
        page = await super().page(shard, sale, cursor, size)
        self._sold += 1
        await self._fixture.sell(self._sold, self._sold)
        await self._fixture.apply_outbox()
        return page


async def test_a_shard_is_compared_although_it_sells(fixture: AuditFixture) -> None:
    """Each sale is read at one commit; a shard with many sales is seldom quiet for as long as all of them take."""
    names = (SaleKey("default", f"rug-{number}") for number in range(100))
    for sale in [name for name in names if shard_of(name, SHARDS) == SHARD][:3]:
        await make_sale(fixture.stock, CreateSale(sale, "", None, None, 0, 0, 0, (NewItem("rug", 5),)))
    await fixture.apply_outbox()
    processes = fixture.processes
    ledger, reader = PostgresSnapshots(processes.postgres), SellsWhileRead(fixture)
    dependencies = audit.Dependencies(processes.shards, processes.ledger, reader, ledger, print, print)

    found = await audit.audit_shard(dependencies, SHARD, deadline_s=20)

    assert isinstance(found, audit.AuditResult), found
    assert (found.sales, found.differences) == (4, [])


class RecordedDrift:
    """Records the drift that a DriftWatch shows."""

    def __init__(self) -> None:
        self.items: dict[int, int] = {}

    def show_drift(self, shard: int, items: int, time_s: float) -> None:
        self.items[shard] = items


async def test_a_large_sale_is_summed_up_before_its_tables_are_analysed(fixture: AuditFixture) -> None:
    """A sale fills the ledger within seconds, and PostgreSQL gathers statistics a minute later."""
    many = "from generate_series(1, 30000) as number"
    for table in ("reservation", "reservation_line"):
        await fixture.sql(f"alter table {table} set (autovacuum_enabled = off)")
    await fixture.sql(
        "insert into sale (tenant, sale_id, shard, title, start_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,"
        " create_time, update_time, etag_epoch, etag_seq, etag_index, body, attempts_per_minute, return_window_ms)"
        f" values ('default', 'large', {SHARD}, '', now(), 0, 0, 0, now(), now(), 1, 1, 0, '', 0, 0)"
    )
    await fixture.sql(
        "insert into item (tenant, sale_id, sku, total, available, held, sold, buyer_limit)"
        " values ('default', 'large', 'lamp', 30000, 0, 30000, 0, 0)"
    )
    await fixture.sql(
        "insert into reservation (tenant, sale_id, reservation_id, buyer_id, state, revision, shard, create_time,"
        " update_time, created_epoch, created_seq, created_index, epoch, seq, index, ledger_state, note, asked_hold_ms,"
        " reference)"
        f" select 'default', 'large', number::text, 'ann', 'HELD', 1, {SHARD}, now(), now(), 1, number, 1000, 1,"
        f" number, 1000, 'RECORDED', '', 0, '' {many}"
    )
    await fixture.sql(
        "insert into reservation_line (tenant, sale_id, reservation_id, sku, quantity, confirmed_quantity,"
        f" returned_quantity, asked_quantity) select 'default', 'large', number::text, 'lamp', 1, 0, 0, 1 {many}"
    )

    async with asyncio.timeout(SUMS_S), PostgresSnapshots(fixture.processes.postgres).snapshot(SHARD) as snapshot:
        (lamp,) = await snapshot.items(SaleKey("default", "large"))

    assert lamp.lines_held == 30000


async def test_drift_is_counted_where_the_ledger_has_caught_up(fixture: AuditFixture) -> None:
    """By items whose units differ; a shard whose ledger is behind is not compared, nor is one without sales."""
    processes, recorded = fixture.processes, RecordedDrift()
    watch = DriftWatch(
        SHARDS,
        RedisSaleReader(processes.connections),
        PostgresSnapshots(processes.postgres),
        recorded,
        time=lambda: 1_800_000_000.0,
    )

    behind = await watch.count(SHARD)
    await fixture.apply_outbox()
    caught_up = await watch.count(SHARD)
    await fixture.sql("update item set held = held + 1, available = available - 1 where sku = 'lamp'")
    changed = await watch.count(SHARD)
    rounds = asyncio.create_task(watch.run_round())
    await eventually(lambda: SHARD in recorded.items)
    rounds.cancel()

    assert (behind, caught_up, changed) == (None, 0, 1)
    assert recorded.items == {SHARD: 1}


async def test_an_archived_sale_is_no_difference(fixture: AuditFixture) -> None:
    """It is in the ledger alone, as it should be after its end."""
    await fixture.archive_a_sale()

    assert await fixture.audit() == 0

    assert fixture.result["sales"] == 2


async def test_a_sale_that_redis_lost_is_reported(fixture: AuditFixture) -> None:
    """The ledger knows which sales have left Redis; any other is lost there, and one that has left has no holds."""
    sale = await fixture.archive_a_sale()
    await fixture.sql(f"update sale set left_time = null where sale_id = '{sale.sale_id}'")
    lost = await fixture.audit()
    differences = fixture.differences
    await fixture.sql(f"update sale set left_time = now() where sale_id = '{sale.sale_id}'")
    await fixture.sql(f"update item set held = 1, available = available - 1 where sale_id = '{sale.sale_id}'")
    held = await fixture.audit()

    assert (lost, held) == (1, 1)
    assert f"sale {sale} item lamp: is only in the ledger" in differences
    assert f"sale {sale} item lamp: has left Redis, and the ledger's held is 1, its refused 0" in fixture.differences


async def test_a_sale_of_many_reservations_is_read_in_parts(fixture: AuditFixture) -> None:
    """No call blocks Redis for long."""
    await fixture.sell(61, 1500)
    await fixture.apply_outbox()

    assert await fixture.audit() == 0
    assert fixture.result["reservations"] == 1500


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update item set available = available - 1, held = held + 1 where sku = 'lamp'", "available"),
        ("update item set held = held - 1, sold = sold + 1 where sku = 'lamp'", "entries add up to"),
        ("update reservation set state = 'RELEASED' where reservation_id = 'r-2'", "reservation r-2"),
        ("update reservation set revision = 9 where reservation_id = 'r-3'", "revision 9"),
        ("update reservation_line set quantity = 3 where reservation_id = 'r-2' and sku = 'lamp'", "3 lamp"),
        (
            "update reservation_line set confirmed_quantity = 1 where reservation_id = 'r-3' and sku = 'shade'",
            "(1 sold",
        ),
        ("update reservation_line set returned_quantity = 1 where reservation_id = 'r-3'", "1 came back"),
        ("update reservation set expire_time = expire_time + interval '1 s' where reservation_id = 'r-2'", "r-2"),
        ("delete from reservation where reservation_id = 'r-5'", "not in the ledger"),
        ("delete from ledger_entry where seq = 2", "add up to"),
        ("delete from journal where seq = 9", "comes where"),
        ("update journal set payload = payload || '\\x0900' where seq = 9", "hash"),
        ("delete from journal where seq = 101", "ends at commit"),
        ("delete from sale", "no row of it"),
    ],
)
async def test_every_change_of_the_ledger_is_reported(fixture: AuditFixture, statement: str, expected: str) -> None:
    """An audit that misses a kind of change proves nothing."""
    await fixture.apply_outbox()
    await fixture.sql(statement)

    assert await fixture.audit() == 1

    assert expected in json.dumps(fixture.result["differences"])


async def test_a_full_redis_can_be_audited(fixture: AuditFixture) -> None:
    """Reading needs no memory, and an operator may have to audit a Redis that is full."""
    await fixture.apply_outbox()
    async with fixture.processes.connections.acquire() as connection:
        await connection.execute("SCRIPT", "FLUSH")
        await connection.execute("CONFIG", "SET", "maxmemory", "1mb")
    try:
        refused = await fixture.stock.reserve(Reserve(SALE, "r-99", "ann", (Line("lamp", 1),), None))
        assert refused == Failure(ERROR_REASON_LEDGER_BEHIND)

        assert await fixture.audit() == 0
    finally:
        async with fixture.processes.connections.acquire() as connection:
            await connection.execute("CONFIG", "SET", "maxmemory", "0")


async def test_a_record_that_redis_lost_is_reported(fixture: AuditFixture) -> None:
    """A hold never leaves Redis by itself."""
    await fixture.apply_outbox()
    async with fixture.processes.connections.acquire() as connection:
        assert await connection.execute("HDEL", sale_keys(SHARD, SALE).reservations, "r-2") == 1

    assert await fixture.audit() == 1

    assert "are held in Redis" in json.dumps(fixture.result["differences"])


@pytest.mark.parametrize("command", [("ZREM", "r-2"), ("ZINCRBY", 1, "r-2"), ("ZADD", 1, "r-3")])
async def test_a_hold_that_redis_takes_back_at_another_time_is_reported(
    fixture: AuditFixture, command: tuple[str | int, ...]
) -> None:
    """It would keep its units for ever, or lose them too early; and what is no hold any more has no end to come."""
    await fixture.apply_outbox()
    name, *arguments = command
    async with fixture.processes.connections.acquire() as connection:
        await connection.execute(name, sale_keys(SHARD, SALE).expiry, *arguments)

    assert await fixture.audit() == 1

    assert f"sale {SALE} reservation {command[-1]}: is (" in fixture.differences[-1]


async def test_a_sale_that_is_due_after_its_first_hold_ends_is_reported(fixture: AuditFixture) -> None:
    """Nothing would take back its holds, unless it gets calls."""
    await fixture.apply_outbox()
    async with fixture.processes.connections.acquire() as connection:
        await connection.execute("ZADD", shard_keys(SHARD).due, "+inf", f"{SALE.tenant}/{SALE.sale_id}")

    assert await fixture.audit() == 1

    assert fixture.differences == [f"sale {SALE}: is due later than its first hold ends"]


async def test_the_audit_waits_for_a_ledger_behind_until_its_deadline(fixture: AuditFixture) -> None:
    """Different commits cannot be compared; that is no difference."""
    assert await fixture.audit(deadline_s=0.5) == 2

    assert "did not reach the same commit" in str(fixture.result["error"])


async def test_one_sale_can_be_audited(fixture: AuditFixture) -> None:
    """An operator may audit only the sale that just ended."""
    await fixture.apply_outbox()

    assert await fixture.audit(only=SALE) == 0
    assert fixture.result["sales"] == 1

    assert await fixture.audit(only=SaleKey("default", "no-such-sale")) == 2


async def test_a_shard_that_was_never_opened_is_named(valkey: str, database: str, kafka: Kafka) -> None:
    """Exit code 2 and what to do next."""
    fixture = AuditFixture(ShardProcesses(valkey, database, kafka))

    assert await fixture.audit() == 2

    assert "holdfast init" in str(fixture.result["error"])


@pytest.mark.parametrize("shard_count", [SHARDS - 1, SHARDS + 1])
async def test_another_number_of_shards_compares_nothing(fixture: AuditFixture, shard_count: int) -> None:
    """Set to fewer, it would compare some of the shards and report all as equal."""
    await fixture.apply_outbox()

    assert await fixture.audit(shard_count=shard_count) == 2

    assert f"HOLDFAST_SHARDS is {shard_count}, and Redis was initialized for {SHARDS}" in str(fixture.result["error"])


@pytest.mark.parametrize("shard_count", [SHARDS - 1, SHARDS + 1])
async def test_a_ledger_for_another_number_of_shards_compares_nothing(fixture: AuditFixture, shard_count: int) -> None:
    """The settings and Redis agree, and the ledger has another number."""
    await fixture.apply_outbox()
    await fixture.sql(f"update shard_watermark set shards = {shard_count}")

    assert await fixture.audit() == 2

    assert f"the ledger was initialized for {shard_count}" in str(fixture.result["error"])


async def test_an_unreachable_server_ends_the_audit_with_2(fixture: AuditFixture) -> None:
    """Nothing was compared, so the exit code says neither "equal" nor "different"."""
    processes = ShardProcesses("redis://127.0.0.1:1/0", fixture.processes.dsn, fixture.processes.kafka)

    assert await AuditFixture(processes).audit() == 2


async def test_a_frozen_shard_that_differs_is_a_difference(fixture: AuditFixture) -> None:
    """Waiting will not bring both sides to the same commit."""
    epoch = (await fixture.processes.status(SHARD)).epoch
    await fixture.processes.shards.freeze(SHARD, epoch, "CHAIN_BROKEN: a test")

    assert await fixture.audit() == 1

    assert "CHAIN_BROKEN" in json.dumps(fixture.result["differences"])
