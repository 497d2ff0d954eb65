"""A ledger that stays away for long: no new orders are taken at some point, and they are again when it is back."""

import asyncio
from itertools import count

from grpc import StatusCode
from grpc.aio import AioRpcError
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.e2e.conftest import MEMORY_SHARE, OUTBOX_LIMIT, RETENTION_S
from tests.inventory_server import Told, refusal_of, told
from tests.ledger_rows import Row
from tests.stack_fixture import StackFixture, Stock
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
GROWTH_BYTES = 1_000_000  # until that share is used: far more than its own buffers come and go
AT_ONCE = 100
MANY = 1_000_000  # units, so that stock is never the reason
DRAINS_S = 60.0


async def test_an_outbox_that_is_full_is_drained_and_filled_again(archiving: StackFixture) -> None:
    """One shard owes the ledger as much as it may; the other goes on selling. Nothing that was taken is lost."""
    full, other = await archiving.open_sale(MANY, shard=0), await archiving.open_sale(shard=1)
    await archiving.settled(full)

    async with archiving.without("persist"):
        taken = await sell_until_refused(archiving, full)
        refused = await refusal_of(archiving.reserve(full, "one-more"))
        repeated = await archiving.reserve(full, "r-0")
        confirmed = await archiving.confirm(full, "r-0")
        elsewhere = await archiving.reserve(other, "r-0")

    await eventually(lambda: takes_orders(archiving, full), DRAINS_S)
    await archiving.settled(full)

    assert taken == OUTBOX_LIMIT
    assert in_words(refused) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert (repeated.replayed, repeated.reservation.state) == (True, HELD)
    assert confirmed.reservation.state == CONFIRMED
    assert elsewhere.reservation.state == HELD
    assert await archiving.stock(full) == Stock(available=MANY - taken - 1, held=taken, sold=1)
    assert await archiving.ledger.row(full, f"r-{taken - 1}") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    audit = await archiving.run("audit", full, "--retention", RETENTION_S)
    assert audit.code == 0, audit.said


async def test_new_orders_wait_while_redis_is_short_of_memory(archiving: StackFixture) -> None:
    """The outbox of a ledger that is away fills Redis; before Redis refuses anything, Reserve does, and mends."""
    sale = await archiving.open_sale(MANY)
    await archiving.reserve(sale, "known")
    await archiving.settled(sale)
    known = await archiving.reserve(sale, "known")  # as it stands once the ledger has it

    async with archiving.redis() as redis:
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int((used + GROWTH_BYTES) / MEMORY_SHARE))
        try:
            async with archiving.without("persist"):
                refused = await grow_until_refused(archiving, sale)
                share = await archiving.shown("serve", "holdfast_redis_memory_used_ratio")
                in_use = (await redis.info("memory"))["used_memory"]
                commits = await redis.xlen(f"holdfast:{{{archiving.shard_of(sale)}}}:outbox")
                repeated = await archiving.reserve(sale, "known")
                confirmed = await archiving.confirm(sale, "known")
            await eventually(lambda: takes_orders(archiving, sale), DRAINS_S)
        finally:
            await redis.config_set("maxmemory", 0)

    assert in_words(refused) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert 0.9 * MEMORY_SHARE <= share < 1  # once calls are refused, Redis frees their buffers
    assert commits < OUTBOX_LIMIT, "the outbox was full as well"
    assert in_use < (used + GROWTH_BYTES) / MEMORY_SHARE, "Redis itself would have refused as well"
    assert (repeated.replayed, repeated.reservation) == (True, known.reservation)
    assert confirmed.reservation.state == CONFIRMED


async def sell_until_refused(stack: StackFixture, sale: str) -> int:
    """Reserve one after the other, so that each makes a commit of its own: how many were taken."""
    for number in count():
        try:
            await stack.reserve(sale, f"r-{number}")
        except AioRpcError as error:
            if told(error).reason == "LEDGER_BEHIND":
                return number
            raise
    raise AssertionError


async def grow_until_refused(stack: StackFixture, sale: str) -> Told:
    """Hold and give back with many words until a Reserve is refused: how it was."""
    for first in count(step=AT_ONCE):
        names = [f"{'long' * 10}-{number}" for number in range(first, first + AT_ONCE)]
        held = await asyncio.gather(*(stack.reserve(sale, name) for name in names), return_exceptions=True)
        refused = [told for told in held if isinstance(told, AioRpcError)]
        if refused:
            return await refusal_of(failing(refused[0]))
        await asyncio.gather(*(stack.release(sale, name) for name in names))
    raise AssertionError


async def failing(error: AioRpcError) -> None:
    """A call that ended so."""
    raise error


async def takes_orders(stack: StackFixture, sale: str) -> bool:
    """A new order is taken."""
    try:
        return (await stack.reserve(sale, "after")).reservation.state == HELD
    except AioRpcError:
        return False


def in_words(told: Told) -> tuple[StatusCode, str, bool]:
    """What a caller tells a refusal by, and whether to ask again."""
    return told.code, told.reason, told.retries
