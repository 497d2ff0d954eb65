"""Records what this version leaves in Redis and in the ledger, and what callers were told of it last."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.sale_pb2 import Item
from redis.asyncio import Redis

from tests.inventory_server import calling
from tests.servers import connected
from tests.stack_fixture import StackFixture
from tests.stacks import running_stack
from tests.upgrade.recording import ledger_as_sql, redis_as_commands
from tests.waiting import eventually

NO_POISON = "reservation_id <> 'poison'"
DAY = timedelta(hours=24)
A_MOMENT = timedelta(seconds=1)
FORGETS_S = 20.0
SHARDS = "2"  # lamps lie in one, chairs and late in the other
SALES = {
    "lamps": ["bought", "left", "twice", "poison", "refused", "held", "overdue", "open", "open-bought", "late-bought"],
    "chairs": ["bought", "late-held", "late-left"],
    "late": ["bought"],
}


async def record(home: Path) -> dict[str, str]:
    """Live through all that a deploy may find, in stacks at `home`: the files that tell it, by name."""
    async with trading(home, HOLDFAST_RECORD_RETENTION_S="1") as shop:
        await leave_a_past(shop)
    async with trading(home) as shop:
        await leave_what_redis_remembers(shop)
        await leave_open_refusals(shop)
        await leave_what_the_ledger_has_not_seen(shop)
        said = json.dumps(await answers(shop), indent=1)
        await asyncio.to_thread(shop.running.take_down, "serve")
        await asyncio.to_thread(shop.running.take_down, "relay")
        return {"answers.json": f"{said}\n", **await written_down(shop)}
    raise AssertionError("the stack's context manager swallows nothing")


@asynccontextmanager
async def trading(home: Path, **settings: str) -> AsyncIterator[StackFixture]:
    """A stack that keeps its data in `home`; no relay takes overdue holds back."""
    with running_stack(home, print, None, HOLDFAST_SHARDS=SHARDS, HOLDFAST_EXPIRY="off", **settings) as stack:
        async with calling(stack.addresses.listen) as caller:
            yield StackFixture(stack, caller, [])


async def leave_a_past(shop: StackFixture) -> None:
    """What Redis has forgotten: sold, given back, an id that was used twice, and an order that can have no row."""
    chairs = [Item(sku="chair", total=6)]
    await shop.caller.create_sale("lamps", 20, hold_ttl=DAY)
    await shop.caller.create_sale("chairs", 5, items=chairs, hold_ttl=DAY, buyer_limit=3)
    await shop.reserve("lamps", "bought", {"lamp": 2})
    await shop.confirm("lamps", "bought")
    await shop.reserve("lamps", "left")
    await shop.release("lamps", "left")
    await shop.reserve("lamps", "twice", buyer_id="ann")
    await shop.confirm("lamps", "twice")
    await forgotten(shop, "lamps", "bought", "left", "twice")
    await shop.reserve("lamps", "twice", {"lamp": 3}, buyer_id="bob")
    async with shop.ledger.forbidding(NO_POISON):
        await shop.reserve("lamps", "poison")
        await shop.settled("lamps")
    await forgotten(shop, "lamps", "twice", "poison")


async def leave_what_redis_remembers(shop: StackFixture) -> None:
    """A sale, a refusal that has come to its end, holds that live and one that is overdue."""
    await shop.block("mallory")
    await shop.reserve("lamps", "refused", buyer_id="mallory")
    await shop.settled("lamps")
    await shop.reserve("lamps", "held", {"lamp": 2})
    await shop.reserve("lamps", "overdue", hold_ttl=A_MOMENT)
    await shop.reserve("chairs", "bought", {"chair": 3}, buyer_id="carl")
    await shop.confirm("chairs", "bought")
    await shop.settled("lamps")
    await shop.settled("chairs")


async def leave_open_refusals(shop: StackFixture) -> None:
    """Orders that the ledger has refused and whose units have not been given back yet; one was bought meanwhile."""
    await asyncio.to_thread(shop.running.take_down, "compensate")
    await shop.reserve("lamps", "open", {"lamp": 2}, buyer_id="mallory")
    await shop.reserve("lamps", "open-bought", buyer_id="mallory")
    await booked(shop, "lamps", "open-bought", "HELD")
    await shop.confirm("lamps", "open-bought")
    await booked(shop, "lamps", "open-bought", "CONFIRMED")


async def leave_what_the_ledger_has_not_seen(shop: StackFixture) -> None:
    """Commits that are in the outbox alone, a whole sale among them. The last is made after `overdue` was due."""
    await asyncio.to_thread(shop.running.take_down, "persist")
    await shop.reserve("chairs", "late-held", {"chair": 1})
    await shop.reserve("chairs", "late-left", {"chair": 2}, buyer_id="dora")
    await shop.release("chairs", "late-left")
    await shop.caller.create_sale("late", 3, hold_ttl=timedelta(0))
    await shop.reserve("late", "bought")
    overdue = await shop.get("lamps", "overdue")
    await eventually(partial(is_past, shop, overdue.expire_time.ToMilliseconds()))
    await shop.reserve("lamps", "late-bought", {"lamp": 1})
    await shop.confirm("lamps", "late-bought")


async def is_past(shop: StackFixture, time_ms: int) -> bool:
    """Redis' clock is past a moment."""
    async with shop.redis() as redis:
        seconds, microseconds = await redis.time()
    return bool(int(seconds) * 1000 + int(microseconds) / 1000 > time_ms)


async def forgotten(shop: StackFixture, sale_id: str, *reservation_ids: str) -> None:
    """Return when Redis has no record of these any more."""

    async def are_gone() -> bool:
        return not any([await shop.in_redis(sale_id, one) for one in reservation_ids])

    await eventually(are_gone, FORGETS_S)


async def booked(shop: StackFixture, sale_id: str, reservation_id: str, state: str) -> None:
    """Return when the ledger has seen a refused order in a state."""

    async def is_seen() -> bool:
        letters = await shop.ledger.letters(sale_id)
        return any((letter.reservation_id, letter.reservation_state) == (reservation_id, state) for letter in letters)

    await eventually(is_seen)


async def answers(shop: StackFixture) -> dict[str, object]:
    """What callers were told last: every sale and every reservation."""
    said: dict[str, object] = {}
    for sale_id, reservation_ids in SALES.items():
        sale = (await shop.caller.stock.GetSale(calls.GetSaleRequest(sale_id=sale_id))).sale
        reservations = {one: MessageToDict(await shop.get(sale_id, one)) for one in reservation_ids}
        said[sale_id] = {"sale": MessageToDict(sale), "reservations": reservations}
    return said


async def written_down(shop: StackFixture) -> dict[str, str]:
    """Both stores, while no process writes to them."""
    async with connected(shop.running.addresses.postgres_dsn) as db:
        ledger = [line async for line in ledger_as_sql(db)]
    async with Redis.from_url(shop.running.addresses.redis_url) as redis:
        commands = [line async for line in redis_as_commands(redis)]
    return {"ledger.sql": "\n".join([*ledger, ""]), "redis.txt": "\n".join([*commands, ""])}
