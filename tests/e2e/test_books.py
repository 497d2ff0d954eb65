"""Many sales at once over every shard, and the audit that says whether Redis and the ledger tell the same of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.books import disagreements
from tests.servers import connected
from tests.stack_fixture import StackFixture

SALES, LAMPS, BUYERS = 32, 15, 20
NOWHERE = "postgresql://127.0.0.1:1/nowhere"


async def test_the_books_of_many_sales_over_all_shards_agree(stack: StackFixture) -> None:
    """Promises 1 and 4: whatever was sold, left or still held, and in whichever shard, both sides have it so."""
    shards = range(stack.running.shards)
    sales = [
        await stack.open_sale({"lamp": LAMPS, "shade": 40, "bulb": 60}, shard) for shard in shards for _ in range(2)
    ]

    sold = await asyncio.gather(*(buyers_come(stack, sale) for sale in sales))
    audit = await stack.run("audit", "--json")

    assert sold == [LAMPS] * SALES
    assert audit.code == 0, audit.said
    found = json.loads(audit.said)
    assert found["consistent"]
    assert found["shards"] == stack.running.shards
    assert found["sales"] >= SALES
    async with connected(stack.running.addresses.postgres_dsn) as db:
        assert await disagreements(db) == []


async def buyers_come(stack: StackFixture, sale: str) -> int:
    """More buyers than there are lamps; of those who get one, a third buys, a third leaves. How many got one."""
    wish = {"lamp": 1, "shade": 2, "bulb": 3}
    answers = await asyncio.gather(
        *(stack.reserve(sale, f"r-{number}", wish, f"buyer-{number}") for number in range(BUYERS))
    )
    granted = [answer.reservation.reservation_id for answer in answers if answer.HasField("reservation")]
    buying, leaving = granted[::3], granted[1::3]
    await asyncio.gather(
        *(stack.confirm(sale, name) for name in buying), *(stack.release(sale, name) for name in leaving)
    )
    return len(granted)


async def test_a_unit_that_redis_made_up_is_found_and_named(stack: StackFixture) -> None:
    """Promise 4: one unit too many is one buyer too many."""
    sale = await sale_of_one_shade(stack)

    async with tampered_in_redis(stack, sale, "shade", "6 0 0"):
        audit = await stack.run("audit", sale, "--json")

    assert audit.code == 1
    [difference] = json.loads(audit.said)["differences"]
    assert difference == {
        "where": f"sale default/{sale} item shade",
        "what": "available 6 in Redis, 5 in the ledger",
    }


async def test_a_balance_that_was_changed_in_the_ledger_is_found_and_named(stack: StackFixture) -> None:
    """The ledger is held against its own entries, too: both sides cannot be wrong in the same way unseen."""
    sale = await sale_of_one_shade(stack)

    await stack.ledger.execute(f"update item set available = 4, sold = 1 where sale_id = '{sale}' and sku = 'shade'")
    audit = await stack.run("audit")
    await stack.ledger.execute(f"update item set available = 5, sold = 0 where sale_id = '{sale}' and sku = 'shade'")

    assert audit.code == 1
    assert f"sale default/{sale} item shade" in audit.said
    assert "available 5 in Redis, 4 in the ledger" in audit.said
    assert (await stack.run("audit")).code == 0


@pytest.mark.parametrize(
    ("variable", "address", "name"),
    [
        ("HOLDFAST_REDIS_URL", "redis://127.0.0.1:1/0", "Redis"),
        ("HOLDFAST_POSTGRES_DSN", NOWHERE, "Postgres"),
    ],
)
async def test_an_audit_without_a_server_exits_with_2(
    stack: StackFixture, variable: str, address: str, name: str
) -> None:
    """Neither "they agree" nor "they differ": one line says which server does not answer and what to do."""
    audit = await stack.run("audit", **{variable: address})

    assert audit.code == 2
    [line] = audit.said.splitlines()
    assert line.startswith(f"The audit failed: {name} does not answer")
    assert "start it" in line


async def sale_of_one_shade(stack: StackFixture) -> str:
    """A sale, booked, of which nothing was sold."""
    sale = await stack.open_sale({"lamp": 3, "shade": 5})
    await stack.settled(sale)
    return sale


@asynccontextmanager
async def tampered_in_redis(stack: StackFixture, sale: str, sku: str, stock: str) -> AsyncIterator[None]:
    """An item's stock in Redis is another inside the block."""
    key, field = f"holdfast:{{{stack.shard_of(sale)}}}:sale:default/{sale}", f"item:{sku}"
    async with stack.redis() as redis:
        before = await redis.hget(key, field)
        await redis.hset(key, field, stock)
        try:
            yield
        finally:
            await redis.hset(key, field, before)
