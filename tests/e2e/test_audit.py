"""`holdfast audit` on a stack: many sales over all shards agree, and changed stock is reported."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.ledger_consistency import inconsistencies
from tests.servers import connected
from tests.stack_fixture import StackFixture

SALES, LAMPS, BUYERS = 32, 15, 20
UNREACHABLE_DSN = "postgresql://127.0.0.1:1/nowhere"


async def test_redis_and_the_ledger_agree_on_many_sales_over_all_shards(stack: StackFixture) -> None:
    """Promises 1 and 4: sold, released and held units are equal in Redis and in the ledger, in every shard."""
    shards = range(stack.running.shards)
    sales = [
        await stack.open_sale({"lamp": LAMPS, "shade": 40, "bulb": 60}, shard) for shard in shards for _ in range(2)
    ]

    sold = await asyncio.gather(*(buy_and_release(stack, sale) for sale in sales))
    audit = await stack.run("audit", "--json")

    assert sold == [LAMPS] * SALES
    assert audit.code == 0, audit.stdout
    found = json.loads(audit.stdout)
    assert found["consistent"]
    assert found["shards"] == stack.running.shards
    assert found["sales"] >= SALES
    async with connected(stack.running.addresses.postgres_dsn) as db:
        assert await inconsistencies(db) == []


async def buy_and_release(stack: StackFixture, sale: str) -> int:
    """More buyers than lamps; a third of the holds is confirmed, a third released. Return how many were granted."""
    lines = {"lamp": 1, "shade": 2, "bulb": 3}
    answers = await asyncio.gather(
        *(stack.reserve(sale, f"r-{number}", lines, f"buyer-{number}") for number in range(BUYERS))
    )
    granted = [answer.reservation.reservation_id for answer in answers if answer.HasField("reservation")]
    buying, leaving = granted[::3], granted[1::3]
    await asyncio.gather(
        *(stack.confirm(sale, name) for name in buying), *(stack.release(sale, name) for name in leaving)
    )
    return len(granted)


async def test_an_extra_unit_in_redis_is_reported(stack: StackFixture) -> None:
    """Promise 4: one unit too many is one buyer too many."""
    sale = await sale_of_one_shade(stack)

    async with changed_in_redis(stack, sale, "shade", "6 0 0"):
        audit = await stack.run("audit", sale, "--json")

    assert audit.code == 1
    [difference] = json.loads(audit.stdout)["differences"]
    assert difference == {
        "where": f"sale default/{sale} item shade",
        "what": "available 6 in Redis, 5 in the ledger",
    }


async def test_a_changed_balance_in_the_ledger_is_reported(stack: StackFixture) -> None:
    """The audit also compares balances with the ledger's entries, so that equal errors on both sides are found."""
    sale = await sale_of_one_shade(stack)

    await stack.ledger.execute(f"update item set available = 4, sold = 1 where sale_id = '{sale}' and sku = 'shade'")
    audit = await stack.run("audit")
    await stack.ledger.execute(f"update item set available = 5, sold = 0 where sale_id = '{sale}' and sku = 'shade'")

    assert audit.code == 1
    assert f"sale default/{sale} item shade" in audit.stdout
    assert "available 5 in Redis, 4 in the ledger" in audit.stdout
    assert (await stack.run("audit")).code == 0


@pytest.mark.parametrize(
    ("variable", "address", "name"),
    [
        ("HOLDFAST_REDIS_URL", "redis://127.0.0.1:1/0", "Redis"),
        ("HOLDFAST_POSTGRES_DSN", UNREACHABLE_DSN, "Postgres"),
    ],
)
async def test_an_audit_without_a_server_exits_with_2(
    stack: StackFixture, variable: str, address: str, name: str
) -> None:
    """Neither "they agree" nor "they differ": one line says which server does not answer and what to do."""
    audit = await stack.run("audit", **{variable: address})

    assert audit.code == 2
    [line] = audit.stdout.splitlines()
    assert line.startswith(f"The audit failed: {name} does not answer")
    assert "start it" in line


async def sale_of_one_shade(stack: StackFixture) -> str:
    """A sale without reservations that the ledger has recorded."""
    sale = await stack.open_sale({"lamp": 3, "shade": 5})
    await stack.settled(sale)
    return sale


@asynccontextmanager
async def changed_in_redis(stack: StackFixture, sale: str, sku: str, stock: str) -> AsyncIterator[None]:
    """An item's stock in Redis is another inside the block."""
    key, field = f"holdfast:{{{stack.shard_of(sale)}}}:sale:default/{sale}", f"item:{sku}"
    async with stack.redis() as redis:
        before = await redis.hget(key, field)
        await redis.hset(key, field, stock)
        try:
            yield
        finally:
            await redis.hset(key, field, before)
