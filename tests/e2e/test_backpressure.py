"""Backpressure: Reserve fails with LEDGER_BEHIND while the outbox or Redis is full, and works again afterwards."""

import asyncio
from itertools import count

from grpc import StatusCode
from grpc.aio import AioRpcError
from holdfast.inventory.v1 import reservation_pb2 as states
from redis.asyncio import Redis

from tests.e2e.conftest import MEMORY_SHARE, OUTBOX_LIMIT
from tests.inventory_server import CallError, call_error, error_of
from tests.ledger_rows import Row
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
GROWTH_BYTES = 600_000  # of the outbox: far more than Redis' own buffers come and go
OVER = 1.05  # of the share is used then
AT_ONCE = 50
MANY = 1_000_000  # units, so that stock is never the reason
LARGE = {f"{'long' * 10}-{number}": 1 for number in range(20)}  # lines of an order whose commit takes some KiB
DRAINS_S = 60.0


async def test_reserve_fails_while_the_outbox_is_full(archiving: StackFixture) -> None:
    """The other shard goes on selling, and no acknowledged order is lost."""
    full, other = await archiving.open_sale(MANY, shard=0), await archiving.open_sale(shard=1)
    await archiving.settled(full)

    async with archiving.without("persist"):
        granted = await sell_until_rejected(archiving, full)
        waiting = await archiving.outbox_length(0)  # a sale that another test left may have been archived meanwhile
        rejected = await error_of(archiving.reserve(full, "one-more"))
        repeated = await archiving.reserve(full, "r-0")
        confirmed = await archiving.confirm(full, "r-0")
        elsewhere = await archiving.reserve(other, "r-0")

    await eventually(lambda: grants(archiving, full), DRAINS_S)
    await archiving.settled(full)

    assert waiting == OUTBOX_LIMIT
    assert OUTBOX_LIMIT / 2 < granted <= OUTBOX_LIMIT
    assert code_and_reason(rejected) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert (repeated.replayed, repeated.reservation.state) == (True, HELD)
    assert confirmed.reservation.state == CONFIRMED
    assert elsewhere.reservation.state == HELD
    assert await archiving.stock(full) == Stock(available=MANY - granted - 1, held=granted, sold=1)
    assert await archiving.ledger.row(full, f"r-{granted - 1}") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    audit = await archiving.run("audit", full)
    assert audit.code == 0, audit.stdout


async def test_reserve_fails_while_redis_is_short_of_memory(archiving: StackFixture) -> None:
    """The outbox grows while no persister runs; Reserve fails before Redis does, until the outbox is drained."""
    sale = await archiving.open_sale(dict.fromkeys(("lamp", *LARGE), MANY))
    await archiving.reserve(sale, "known")
    await archiving.settled(sale)
    known = await archiving.reserve(sale, "known")  # as it stands once the ledger has it

    async with archiving.redis() as redis:
        try:
            async with archiving.without("persist"):
                limit = int(await grow(archiving, sale, redis) / MEMORY_SHARE / OVER)
                await redis.config_set("maxmemory", limit)
                rejected = await next_rejection(archiving, sale)
                share = await archiving.metric("serve", "holdfast_redis_memory_used_ratio")
                in_use = (await redis.info("memory"))["used_memory"]
                commits = await archiving.outbox_length(archiving.shard_of(sale))
                repeated = await archiving.reserve(sale, "known")
                confirmed = await archiving.confirm(sale, "known")
            await eventually(lambda: grants(archiving, sale), DRAINS_S)
        finally:
            await redis.config_set("maxmemory", 0)

    assert code_and_reason(rejected) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert MEMORY_SHARE <= share < 1
    assert commits < OUTBOX_LIMIT, "the outbox was full as well"
    assert in_use < limit, "Redis itself would have refused as well"
    assert (repeated.replayed, repeated.reservation) == (True, known.reservation)
    assert confirmed.reservation.state == CONFIRMED


async def sell_until_rejected(stack: StackFixture, sale: str) -> int:
    """Reserve one after the other, so that each makes a commit of its own; return how many were granted."""
    for number in count():
        try:
            await stack.reserve(sale, f"r-{number}")
        except AioRpcError as error:
            if call_error(error).reason == "LEDGER_BEHIND":
                return number
            raise
    raise AssertionError


async def grow(stack: StackFixture, sale: str, redis: Redis) -> int:
    """Reserve and release large orders until Redis uses much more memory than before; return how much in all."""
    used = before = await counted_memory(redis)
    for first in count(step=AT_ONCE):
        if used >= before + GROWTH_BYTES:
            return used
        names = [f"large-{number}" for number in range(first, first + AT_ONCE)]
        await asyncio.gather(*(stack.reserve(sale, name, LARGE) for name in names))
        await asyncio.gather(*(stack.release(sale, name) for name in names))
        used = await counted_memory(redis)
    raise AssertionError


async def counted_memory(redis: Redis) -> int:
    """The bytes in use as Redis counts them before it rejects a write."""
    memory = await redis.info("memory")
    return int(memory["used_memory"] - memory["mem_not_counted_for_evict"])


async def next_rejection(stack: StackFixture, sale: str) -> CallError:
    """The error of the first Reserve that fails, each with an id of its own: a known id is answered in any case."""
    numbers, errors = count(), list[AioRpcError]()

    async def is_rejected() -> bool:
        try:
            await stack.reserve(sale, f"more-{next(numbers)}")
        except AioRpcError as error:
            errors.append(error)
        return bool(errors)

    await eventually(is_rejected)
    return await error_of(failing(errors[0]))


async def failing(error: AioRpcError) -> None:
    """A call that fails with this error."""
    raise error


async def grants(stack: StackFixture, sale: str) -> bool:
    """A new reservation is granted."""
    try:
        return (await stack.reserve(sale, "after")).reservation.state == HELD
    except AioRpcError:
        return False


def code_and_reason(error: CallError) -> tuple[StatusCode, str, bool]:
    """The code and the reason of an error, and whether it says to retry."""
    return error.code, error.reason, error.retries
