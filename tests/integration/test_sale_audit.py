"""AuditSale's comparison on a real Redis and a real ledger: it finds every difference, and never work under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.adapters.ledger.sale_snapshots import QUESTION_S, PostgresSaleSnapshot
from inventory_service.adapters.redis.keys import sale_keys, shard_keys
from inventory_service.domain import time_left
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import NewItem, UpdateSale
from inventory_service.domain.sale_reconciliation import SaleAudit
from tests.integration.audit_fixture import SALE, SHARD
from tests.integration.sale_audit_fixture import HOLD_MS, SaleAuditFixture
from tests.integration.shard_processes import ShardProcesses
from tests.shared_kafka import Kafka
from tests.waiting import LONG_S

KEYS = sale_keys(SHARD, SALE)
IN_A_HURRY_S = 8.0  # waits the caller; a quarter of it is left for a question
ELSEWHERE = ("buyer ", "ledger ")  # subjects that have tests of their own

# What is changed in the ledger, how it is changed back, and what the audit tells: Redis' value, then the ledger's.
IN_THE_LEDGER: list[tuple[str, str, str, str, dict[str, tuple[str, str] | None]]] = [
    ("item", "held = held + 1, available = available - 1", "held = held - 1, available = available + 1", "sku = 'lamp'",
     {"item lamp held": ("20", "21"), "item lamp available": ("960", "959")}),
    ("item", "held = held - 1, sold = sold + 1", "held = held + 1, sold = sold - 1", "sku = 'lamp'",
     {"item lamp held": ("20", "19"), "item lamp sold": ("20", "21")}),
    ("item", "total = total + 1, available = available + 1", "total = total - 1, available = available - 1",
     "sku = 'shade'", {"item shade total": ("5000", "5001"), "item shade available": ("4920", "4921")}),
    ("item", "held = held - 1, refused = refused + 1", "held = held + 1, refused = refused - 1", "sku = 'lamp'",
     {"item lamp held": ("20", "19"), "item lamp refused": ("0", "1")}),
    ("item", "buyer_limit = 7", "buyer_limit = 500", "sku = 'lamp'", {"item lamp buyer_limit": ("500", "7")}),
    ("item", "sku = 'sofa'", "sku = 'shade'", "sku in ('shade', 'sofa')",
     {"item shade": ("present", "missing"), "item sofa": ("missing", "present")}),
    ("sale", "title = 'Sofas'", "title = 'Lamps'", "true", {"sale title": ("Lamps", "Sofas")}),
    ("sale", "paused = true", "paused = false", "true", {"sale paused": ("0", "1")}),
    ("sale", "end_time = '2100-01-01Z'", "end_time = null", "true",
     {"sale end_time": ("none", "2100-01-01T00:00:00.000Z")}),
    ("sale", "etag_index = 5", "etag_index = 0", "true", {"sale etag": ("{epoch}-1-0", "{epoch}-1-5")}),
    ("sale", "sale_id = 'other'", f"sale_id = '{SALE.sale_id}'", "true", {"sale": ("present", "missing")}),
    ("sale", "left_time = now()", "left_time = null", "true", {"sale": ("present", "has left Redis")}),
    ("reservation", "state = 'RELEASED'", "state = 'HELD'", "reservation_id = 'r-2'",
     {"reservation r-2 state": ("HELD", "RELEASED"), "reservation r-2 due time": None}),
    ("reservation", "revision = 9", "revision = 2", "reservation_id = 'r-3'",
     {"reservation r-3 revision": ("2", "9")}),
    ("reservation", "index = 9", "index = 0", "reservation_id = 'r-2'", {"reservation r-2 position": None}),
    ("reservation", "buyer_id = 'mallory'", "buyer_id = 'buyer-2'", "reservation_id = 'r-2'",
     {"reservation r-2 buyer": ("buyer-2", "mallory")}),
    ("reservation", "expire_time = expire_time + interval '1 s'", "expire_time = expire_time - interval '1 s'",
     "reservation_id = 'r-2'", {"reservation r-2 expire_time": None, "reservation r-2 due time": None}),
    ("reservation", "created_index = 9", "created_index = 0", "reservation_id = 'r-1'", {"reservation r-1": None}),
    ("reservation", "reservation_id = 'r-0'", "reservation_id = 'r-2'", "reservation_id in ('r-2', 'r-0')",
     {"reservation r-2": None, "reservation r-0": None}),
    ("reservation_line", "quantity = 3", "quantity = 2", "reservation_id = 'r-2' and sku = 'shade'",
     {"reservation r-2 item shade": ("2 claimed, 0 sold, 0 came back", "3 claimed, 0 sold, 0 came back")}),
    ("reservation_line", "confirmed_quantity = 1", "confirmed_quantity = 2", "reservation_id = 'r-3' and sku = 'shade'",
     {"reservation r-3 item shade": ("2 claimed, 2 sold, 0 came back", "2 claimed, 1 sold, 0 came back")}),
    ("reservation_line", "returned_quantity = 1", "returned_quantity = 0", "reservation_id = 'r-3' and sku = 'lamp'",
     {"reservation r-3 item lamp": ("1 claimed, 1 sold, 0 came back", "1 claimed, 1 sold, 1 came back")}),
    ("reservation_line", "sku = 'sofa'", "sku = 'lamp'", "reservation_id = 'r-3' and sku in ('lamp', 'sofa')",
     {"reservation r-3 item lamp": None, "reservation r-3 item sofa": ("none", "1 claimed, 1 sold, 0 came back")}),
]  # fmt: skip


@pytest.fixture
async def fixture(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[SaleAuditFixture]:
    fixture = SaleAuditFixture(ShardProcesses(valkey, database, kafka))
    await fixture.open()
    yield fixture
    await fixture.close()


async def test_a_sale_without_differences_is_consistent(fixture: SaleAuditFixture) -> None:
    """Held, sold, released, in part, changed, returned, discarded and spent are the same on both sides."""
    await fixture.move_parts()
    await fixture.apply_outbox()

    audit = await fixture.audit_sale()

    assert (audit.differences, audit.items, audit.reservations, audit.is_truncated) == ((), 2, 61, False)
    assert audit.as_of[:3] == (SHARD, *(await fixture.processes.status(SHARD)).head)


async def test_every_change_of_the_ledger_is_found(fixture: SaleAuditFixture) -> None:
    """With the thing that differs as its subject, and both values; what the buyer has then differs too."""
    epoch = (await fixture.processes.status(SHARD)).epoch
    for table, change, change_back, where, expected in IN_THE_LEDGER:
        await fixture.sql(f"update {table} set {change} where {where}")
        found = {subject: values for subject, *values in await fixture.found() if not subject.startswith(ELSEWHERE)}
        await fixture.sql(f"update {table} set {change_back} where {where}")

        assert found.keys() == expected.keys(), change
        for subject, values in expected.items():
            told = [value.format(epoch=epoch) for value in values or found[subject]]
            assert found[subject] == told, change
    assert await fixture.found() == []


async def test_a_live_sale_is_compared_within_the_ledger(fixture: SaleAuditFixture) -> None:
    """Balances against entries, reservations and dead letters, and lines against states, while the sale goes on."""
    hold = "reservation_id = 'r-2' and sku = 'shade'"
    changes = [
        (("ledger_entry", "quantity", hold), [
            ("ledger item shade available", "4920", "4919 by entries"),
            ("ledger item shade held", "40", "41 by entries"),
        ]),
        (("reservation_line", "quantity", hold), [("ledger item shade held", "40", "41 by reservations")]),
        (("reservation_line", "returned_quantity", hold), [
            ("ledger reservation r-2 lines", "HELD",
             "lamp 1 claimed, 0 sold, 0 came back; shade 2 claimed, 0 sold, 1 came back"),
        ]),
        (("item", "total = total + 1, available", "sku = 'shade'"), [
            ("ledger item shade total", "5001", "5000 by entries"),
            ("ledger item shade available", "4921", "4920 by entries"),
        ]),
    ]  # fmt: skip
    for (table, column, where), expected in changes:
        await fixture.sql(f"update {table} set {column} = {column.rpartition(' ')[2]} + 1 where {where}")
        found = [each for each in await fixture.found() if each[0].startswith("ledger ")]
        change_back = column.replace("+", "-")
        await fixture.sql(f"update {table} set {change_back} = {column.rpartition(' ')[2]} - 1 where {where}")

        assert found == expected
    assert await fixture.found() == []


async def test_an_etag_above_the_watermark_is_a_difference(fixture: SaleAuditFixture) -> None:
    """What the ledger has not applied cannot have changed the sale, so to read both again would never end."""
    head = (await fixture.processes.status(SHARD)).head
    await fixture.sql("update sale set etag_seq = etag_seq + 1000")

    async with asyncio.timeout(LONG_S):
        found = await fixture.found()

    assert found == [("sale etag", f"{head.epoch}-1-0", f"{head.epoch}-1001-0")]


async def test_settings_that_change_all_the_time_are_compared_as_they_were(
    fixture: SaleAuditFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading of the ledger has newer settings, and an item more, than what was read in Redis before."""
    snapshot, numbers = fixture.snapshots.snapshot, count()

    @asynccontextmanager
    async def later(shard: int, sale: SaleKey) -> AsyncIterator[PostgresSaleSnapshot | None]:
        number = next(numbers)
        added = (NewItem(f"new-{number}", 3),)
        await fixture.stock.change_sale(
            UpdateSale(SALE, {"title": f"Lamps {number}", "buyer_limit": number + 100}, added)
        )
        await fixture.apply_outbox()
        async with snapshot(shard, sale) as now:
            yield now

    monkeypatch.setattr(fixture.snapshots, "snapshot", later)
    async with asyncio.timeout(2 * LONG_S):  # each audit reads the ledger anew until nothing has changed meanwhile
        as_created = await fixture.audit_sale()
        changed = await fixture.audit_sale()
        await fixture.redis("HSET", KEYS.sale, "item:new-0", "4 0 0")
        lost = await fixture.found()

    assert (as_created.differences, changed.differences) == ((), ())
    assert [subject for subject, *_ in lost] == ["item new-0 total", "item new-0 available"]


async def test_a_ledger_that_falls_silent_is_told_while_the_caller_waits(
    fixture: SaleAuditFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two questions as while one connects, and before the caller's deadline if that comes first."""
    monkeypatch.setattr(time_left, "MARGIN_S", IN_A_HURRY_S * 3 / 8)  # enough on a busy machine

    async def told(deadline_s: float, is_connected: bool) -> tuple[Failure, float]:
        async with fixture.through_proxy() as (audits, proxy):
            if is_connected:
                assert isinstance(await audits.audit(SALE), SaleAudit)
            proxy.halt()
            began = perf_counter()
            return await fixture.audit_failure_within(deadline_s, audits), perf_counter() - began

    failures = await asyncio.gather(
        *(told(deadline_s, known) for deadline_s in (60.0, IN_A_HURRY_S) for known in (True, False))
    )

    assert [failure.reason for failure, _ in failures] == [reasons.ERROR_REASON_LEDGER_UNREACHABLE] * 4
    limits_s = (2 * QUESTION_S, 2 * QUESTION_S, IN_A_HURRY_S, IN_A_HURRY_S)
    assert all(took_s < limit_s for (_, took_s), limit_s in zip(failures, limits_s, strict=True)), failures


async def test_every_change_of_redis_is_found(fixture: SaleAuditFixture) -> None:
    """What was altered or lost there, and holds that would end at another time."""
    record = await fixture.redis("HGET", KEYS.reservations, "r-2")
    sold = await fixture.redis("HGET", KEYS.reservations, "r-3")
    due = await fixture.redis("ZSCORE", KEYS.expiry, "r-2")
    settings = await fixture.redis("HGET", KEYS.sale, "settings")
    lamp = await fixture.redis("HGET", KEYS.sale, "item:lamp")
    assert all(isinstance(value, bytes) for value in (record, sold, due, settings, lamp))
    buyer = await fixture.redis("HGET", KEYS.buyers, "buyer-2")
    due_zset, sale = shard_keys(SHARD).due, str(SALE)
    changes = [
        (("HSET", KEYS.sale, "item:lamp", "961 20 20 500"), ("HSET", KEYS.sale, "item:lamp", lamp),
         ["item lamp total", "item lamp available"]),
        (("HSET", KEYS.sale, "item:lamp", "960 21 19 500"), ("HSET", KEYS.sale, "item:lamp", lamp),
         ["item lamp held", "item lamp sold"]),
        (("HDEL", KEYS.sale, "item:lamp"), ("HSET", KEYS.sale, "item:lamp", lamp), ["item lamp"]),
        (("HDEL", KEYS.reservations, "r-2"), ("HSET", KEYS.reservations, "r-2", record), ["reservation r-2"]),
        (("HDEL", KEYS.reservations, "r-3"), ("HSET", KEYS.reservations, "r-3", sold), ["reservation r-3"]),
        (("HSET", KEYS.reservations, "r-2", sold), ("HSET", KEYS.reservations, "r-2", record), ["reservation r-2"]),
        (("ZREM", KEYS.expiry, "r-2"), ("ZADD", KEYS.expiry, due, "r-2"), ["reservation r-2 due time"]),
        (("ZADD", KEYS.expiry, 1, "r-3"), ("ZREM", KEYS.expiry, "r-3"), ["sale due", "reservation r-3 due time"]),
        (("ZADD", due_zset, "+inf", sale), ("ZADD", due_zset, due, sale), ["sale due"]),
        (("HSET", KEYS.buyers, "buyer-2", "99 0"), ("HSET", KEYS.buyers, "buyer-2", buyer),
         ["buyer buyer-2 held", "buyer buyer-2 sold"]),
        (("HDEL", KEYS.buyers, "buyer-2"), ("HSET", KEYS.buyers, "buyer-2", buyer),
         ["buyer buyer-2 held", "buyer buyer-2 sold"]),
        (("HSET", KEYS.buyers, "buyer-2/lamp", "3 7"), ("HSET", KEYS.buyers, "buyer-2/lamp", "3 3"),
         ["buyer buyer-2 item lamp sold"]),
        (("HDEL", KEYS.buyers, "buyer-2/lamp"), ("HSET", KEYS.buyers, "buyer-2/lamp", "3 3"),
         ["buyer buyer-2 item lamp held", "buyer buyer-2 item lamp sold"]),
        (("HSET", KEYS.buyers, "buyer-2/shade", "6 6"), ("HDEL", KEYS.buyers, "buyer-2/shade"),
         ["buyer buyer-2 item shade held", "buyer buyer-2 item shade sold"]),
        (("HSET", KEYS.buyers, "nobody", "0 1"), ("HDEL", KEYS.buyers, "nobody"), ["buyer nobody sold"]),
        (("HDEL", KEYS.sale, "settings"), ("HSET", KEYS.sale, "settings", settings), ["sale"]),
    ]  # fmt: skip
    for change, change_back, expected in changes:
        await fixture.redis(*change)  # type: ignore[arg-type]
        found = [subject for subject, *_ in await fixture.found()]
        await fixture.redis(*change_back)  # type: ignore[arg-type]

        assert found == expected, change
    assert await fixture.found() == []


async def test_a_refused_order_is_judged_by_its_dead_letter(fixture: SaleAuditFixture) -> None:
    """Its units lie in `refused` in the ledger, and are held or sold in Redis until they come back."""
    await fixture.block("buyer-3")
    await fixture.sell(73, 73)  # is released
    await fixture.sell(80, 80)  # stays held
    await fixture.sell(87, 87)  # is sold
    await fixture.move("r-17", MoveKind.CONFIRM, lines=(Line("shade", 1),))  # a hold from before the block
    await fixture.move("r-59", MoveKind.CONFIRM)
    await fixture.apply_outbox()
    assert await fixture.found() == []

    await fixture.move("r-17", MoveKind.RETURN)
    await fixture.move("r-80", MoveKind.EXTEND, hold_ttl_ms=HOLD_MS + 60_000)
    await fixture.apply_outbox()
    assert await fixture.found() == []
    await fixture.sql("update dead_letter set latest_revision = 7 where reservation_id = 'r-80'")
    await fixture.sql("update dead_letter set reservation_state = 'HELD' where reservation_id = 'r-59'")
    altered = {subject for subject, *_ in await fixture.found()}
    await fixture.sql("update dead_letter set latest_revision = 2 where reservation_id = 'r-80'")
    await fixture.sql("update dead_letter set reservation_state = 'CONFIRMED' where reservation_id = 'r-59'")

    await fixture.compensate("r-59")
    await fixture.compensate("r-80")
    await fixture.compensate("r-87")
    await fixture.apply_outbox()
    assert await fixture.found() == []

    assert altered == {
        *(f"item {sku} {account}" for sku in ("lamp", "shade") for account in ("held", "sold")),
        *(f"reservation r-59 {what}" for what in ("due time", "item lamp", "item shade", "state")),
        *("reservation r-80 revision", "buyer buyer-3 held", "buyer buyer-3 sold"),
        *("buyer buyer-3 item lamp held", "buyer buyer-3 item lamp sold"),
    }


async def test_what_has_left_redis_is_no_difference(fixture: SaleAuditFixture) -> None:
    """Records that are final leave some time after their last change; until then they must be there."""
    await fixture.move_parts()
    await fixture.apply_outbox()
    await fixture.settle()
    await fixture.archive(SALE)

    left = await fixture.audit_sale()
    await fixture.sell(61, 63)
    await fixture.apply_outbox()
    young = await fixture.redis("HDEL", KEYS.reservations, "r-63")
    lost = await fixture.found()

    assert (left.differences, left.reservations) == ((), 19)
    assert (young, [subject for subject, *_ in lost]) == (1, ["reservation r-63"])


async def test_an_archived_sale_is_compared_within_the_ledger(fixture: SaleAuditFixture) -> None:
    """Balances against entries, reservations and dead letters, and lines against states."""
    sale = await fixture.archive_a_sale()
    equal = await fixture.audit_sale(sale)
    await fixture.sql("update item set sold = 1, available = 4 where sale_id <> 'lamp-sale'")
    balances = await fixture.found(sale)
    await fixture.sql("update item set sold = 2, available = 3 where sale_id <> 'lamp-sale'")
    await fixture.sql("update reservation set state = 'RELEASED' where sale_id <> 'lamp-sale'")
    lines = await fixture.found(sale)
    await fixture.sql("update reservation set state = 'HELD' where sale_id <> 'lamp-sale'")
    held = await fixture.found(sale)

    assert (equal.differences, equal.items, equal.reservations) == ((), 1, 1)
    assert equal.as_of[:3] == (SHARD, *(await fixture.processes.status(SHARD)).head)
    assert balances == [
        ("ledger item lamp available", "4", "3 by entries"),
        ("ledger item lamp sold", "1", "2 by entries, 2 by reservations"),
    ]
    assert lines == [
        ("ledger item lamp sold", "2", "0 by reservations"),
        ("ledger reservation r-1 lines", "RELEASED", "lamp 2 claimed, 2 sold, 0 came back"),
    ]
    assert [subject for subject, *_ in held] == [
        "ledger item lamp held",
        "ledger item lamp sold",
        "ledger reservation r-1 lines",
    ]


async def test_an_audit_waits_for_the_ledger_and_ends_with_the_callers_deadline(fixture: SaleAuditFixture) -> None:
    """Until the ledger has applied what Redis had, nothing can be compared, and half an answer would be none."""
    await fixture.sell(61, 62)
    late = await fixture.audit_failure_within(0.5)
    waiting = asyncio.create_task(fixture.audit_sale())
    await asyncio.sleep(0)
    second = await fixture.audit_failure()
    await fixture.apply_outbox()

    assert (await waiting).differences == ()
    assert (late.reason, second.reason) == (
        reasons.ERROR_REASON_DEADLINE_TOO_SHORT,
        reasons.ERROR_REASON_OVERLOADED,
    )


async def test_a_shard_that_does_not_serve_is_compared_unless_its_ledger_cannot_catch_up(
    fixture: SaleAuditFixture,
) -> None:
    """A frozen row below what Redis had never gets there."""
    epoch = (await fixture.processes.status(SHARD)).epoch
    await fixture.sql("update shard_watermark set frozen_reason = 'NEGATIVE_BALANCE: a test'")
    level = await fixture.audit_sale()
    await fixture.sell(61, 61)
    frozen = await fixture.audit_failure()
    await fixture.sql("update shard_watermark set frozen_reason = null")
    await fixture.processes.shards.freeze(SHARD, epoch, "CHAIN_BROKEN: a test")
    frozen_in_redis = await fixture.audit_failure()
    await fixture.apply_outbox()

    assert level.differences == ()
    assert frozen == (reasons.ERROR_REASON_SHARD_NOT_SERVING, {"frozen_reason": "NEGATIVE_BALANCE: a test"}, None, None)
    assert frozen_in_redis.metadata == {"frozen_reason": "CHAIN_BROKEN: a test"}
    assert await fixture.found() == []


async def test_another_history_is_not_compared(fixture: SaleAuditFixture) -> None:
    """A Redis whose commit the ledger never takes would differ in all that came after they parted."""
    await fixture.redis("HSET", shard_keys(SHARD).meta, "hash", "0" * 40)
    other = await fixture.audit_failure()
    await fixture.redis("FLUSHALL")
    blank = await fixture.audit_failure()
    unknown = await fixture.audit_failure(SaleKey("default", "no-sale"))

    not_serving = reasons.ERROR_REASON_SHARD_NOT_SERVING
    assert [failure.reason for failure in (other, blank, unknown)] == [not_serving] * 3


async def test_an_unknown_sale_is_not_found(fixture: SaleAuditFixture) -> None:
    """However far the ledger is: Redis keeps a sale at least until the ledger has it."""
    await fixture.sell(61, 61)

    failure = await fixture.audit_failure(SaleKey("default", "no-sale"))

    assert (failure.reason, failure.metadata) == (reasons.ERROR_REASON_SALE_NOT_FOUND, {"sale_id": "no-sale"})


async def test_more_than_a_thousand_differences_are_cut_off(fixture: SaleAuditFixture) -> None:
    """The response stays small, and says so."""
    for number in range(1000):
        held = await fixture.stock.reserve(Reserve(SALE, f"s-{number}", "ann", (Line("shade", 1),), None))
        assert isinstance(held, Granted)
    await fixture.apply_outbox()
    await fixture.sql("delete from reservation")

    audit = await fixture.audit_sale()

    assert (len(audit.differences), audit.is_truncated, audit.reservations) == (1000, True, 1060)
