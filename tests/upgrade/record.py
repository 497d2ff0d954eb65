"""Records the data that this version leaves in Redis and in the ledger, and the last responses to callers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.sale_pb2 import Item
from redis.asyncio import Redis

from tests.repeated_calls import calling_until_answered
from tests.servers import connected
from tests.stack_fixture import StackFixture
from tests.stacks import running_stack
from tests.upgrade.dump import ledger_as_sql, redis_as_commands
from tests.waiting import eventually

NO_POISON = "reservation_id <> 'poison'"
DAY = timedelta(hours=24)
A_MOMENT = timedelta(seconds=1)
ARCHIVES_S = 60.0
SHARDS = "2"  # lamps lie in one, chairs and late in the other
SALES = {
    "lamps": ["bought", "left", "twice", "poison", "refused", "held", "overdue", "open", "open-bought", "late-bought"],
    "chairs": ["bought", "late-held", "late-left"],
    "late": ["bought"],
    "closed": ["released"],
}
ADJUSTMENT = admin.AdjustStockRequest(
    sale_id="chairs", sku="chair", adjustment_id="a-1", new_total=6, expected_total=5, reason="found"
)


async def record(home: Path) -> dict[str, str]:
    """Make every kind of record that a deploy may find, in stacks at `home`; return the recording's files by name."""
    async with recorded_stack(home, HOLDFAST_RECORD_RETENTION_S="1") as fixture:
        await make_archived_records(fixture)
    async with recorded_stack(home) as fixture:
        await make_records_in_redis(fixture)
        await make_open_refusals(fixture)
        await make_unapplied_commits(fixture)
        answers_json = json.dumps(await answers(fixture), indent=1)
        await asyncio.to_thread(fixture.running.take_down, "serve")
        await asyncio.to_thread(fixture.running.take_down, "relay")
        return {"answers.json": f"{answers_json}\n", **await dump(fixture)}
    raise AssertionError("the stack's context manager swallows nothing")


@asynccontextmanager
async def recorded_stack(home: Path, **settings: str) -> AsyncIterator[StackFixture]:
    """A stack that keeps its data in `home`; no relay takes overdue holds back."""
    with running_stack(home, print, None, HOLDFAST_SHARDS=SHARDS, HOLDFAST_EXPIRY="off", **settings) as stack:
        async with calling_until_answered(stack.addresses.listen) as caller:
            yield StackFixture(stack, caller, [])


async def make_archived_records(fixture: StackFixture) -> None:
    """Archived records: sold, released, an id that was used twice, and an order without a row in the ledger."""
    chairs = [Item(sku="chair", total=5)]
    await fixture.caller.create_sale("lamps", 20, hold_ttl=DAY)
    await fixture.caller.create_sale("chairs", 5, items=chairs, hold_ttl=DAY, buyer_limit=3)
    await fixture.reserve("lamps", "bought", {"lamp": 2})
    await fixture.confirm("lamps", "bought")
    await fixture.reserve("lamps", "left")
    await fixture.release("lamps", "left")
    await fixture.reserve("lamps", "twice", buyer_id="ann")
    await fixture.confirm("lamps", "twice")
    await wait_until_archived(fixture, "lamps", "bought", "left", "twice")
    await fixture.reserve("lamps", "twice", {"lamp": 3}, buyer_id="bob")
    async with fixture.ledger.forbidding(NO_POISON):
        await fixture.reserve("lamps", "poison")
        await fixture.settled("lamps")
    await wait_until_archived(fixture, "lamps", "twice", "poison")


async def make_records_in_redis(fixture: StackFixture) -> None:
    """Sales, one of them closed, a compensated order, holds, an overdue one, and an adjustment, all still in Redis."""
    await fixture.caller.admin.AdjustStock(ADJUSTMENT)
    await fixture.caller.create_sale("closed", 3, hold_ttl=DAY)
    await fixture.reserve("closed", "released")
    await fixture.caller.admin.CloseSale(admin.CloseSaleRequest(sale_id="closed", release_holds=True, reason="over"))
    await fixture.refuse_orders_of("mallory")
    await fixture.reserve("lamps", "refused", buyer_id="mallory")
    await fixture.settled("lamps")
    await fixture.reserve("lamps", "held", {"lamp": 2})
    await fixture.reserve("lamps", "overdue", hold_ttl=A_MOMENT)
    await fixture.reserve("chairs", "bought", {"chair": 3}, buyer_id="carl")
    await fixture.confirm("chairs", "bought")
    await fixture.settled("lamps")
    await fixture.settled("chairs")


async def make_open_refusals(fixture: StackFixture) -> None:
    """Orders that the ledger has refused and whose units have not been given back yet; one was bought meanwhile."""
    await asyncio.to_thread(fixture.running.take_down, "compensate")
    await fixture.reserve("lamps", "open", {"lamp": 2}, buyer_id="mallory")
    await fixture.reserve("lamps", "open-bought", buyer_id="mallory")
    await wait_until_refused(fixture, "lamps", "open-bought", "HELD")
    await fixture.confirm("lamps", "open-bought")
    await wait_until_refused(fixture, "lamps", "open-bought", "CONFIRMED")


async def make_unapplied_commits(fixture: StackFixture) -> None:
    """Commits that are in the outbox alone, a whole sale among them. The last is made after `overdue` was due."""
    await asyncio.to_thread(fixture.running.take_down, "persist")
    await fixture.reserve("chairs", "late-held", {"chair": 1})
    await fixture.reserve("chairs", "late-left", {"chair": 2}, buyer_id="dora")
    await fixture.release("chairs", "late-left")
    await fixture.caller.create_sale("late", 3, hold_ttl=timedelta(0))
    await fixture.reserve("late", "bought")
    overdue = await fixture.get("lamps", "overdue")
    await eventually(partial(is_past, fixture, overdue.expire_time.ToMilliseconds()))
    await fixture.reserve("lamps", "late-bought", {"lamp": 1})
    await fixture.confirm("lamps", "late-bought")


async def is_past(fixture: StackFixture, time_ms: int) -> bool:
    """Redis' clock is past a moment."""
    async with fixture.redis() as redis:
        seconds, microseconds = await redis.time()
    return bool(int(seconds) * 1000 + int(microseconds) / 1000 > time_ms)


async def wait_until_archived(fixture: StackFixture, sale_id: str, *reservation_ids: str) -> None:
    """Return when Redis has no record of these any more."""

    async def are_archived() -> bool:
        return not any([await fixture.in_redis(sale_id, one) for one in reservation_ids])

    await eventually(are_archived, ARCHIVES_S)


async def wait_until_refused(fixture: StackFixture, sale_id: str, reservation_id: str, state: str) -> None:
    """Return when the dead letter of an order has this state."""

    async def is_seen() -> bool:
        dead_letters = await fixture.ledger.dead_letters(sale_id)
        return any(
            (dead_letter.reservation_id, dead_letter.reservation_state) == (reservation_id, state)
            for dead_letter in dead_letters
        )

    await eventually(is_seen)


async def answers(fixture: StackFixture) -> dict[str, object]:
    """The last responses: every sale and every reservation."""
    responses: dict[str, object] = {}
    for sale_id, reservation_ids in SALES.items():
        sale = (await fixture.caller.stock.GetSale(calls.GetSaleRequest(sale_id=sale_id))).sale
        reservations = {one: MessageToDict(await fixture.get(sale_id, one)) for one in reservation_ids}
        responses[sale_id] = {"sale": MessageToDict(sale), "reservations": reservations}
    return responses


async def dump(fixture: StackFixture) -> dict[str, str]:
    """Dump both stores, while no process writes to them."""
    async with connected(fixture.running.addresses.postgres_dsn) as db:
        ledger = [line async for line in ledger_as_sql(db)]
    async with Redis.from_url(fixture.running.addresses.redis_url) as redis:
        commands = [line async for line in redis_as_commands(redis)]
    return {"ledger.sql": "\n".join([*ledger, ""]), "redis.txt": "\n".join([*commands, ""])}
