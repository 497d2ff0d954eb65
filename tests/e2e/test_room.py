"""A ledger that stays away for long: no new orders are taken at some point, and they are again when it is back."""

import asyncio
from itertools import count

from grpc import StatusCode
from grpc.aio import AioRpcError
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.e2e.conftest import MEMORY_SHARE, OUTBOX_LIMIT, RETENTION_S
from tests.e2e.ledger import Row
from tests.e2e.shop import Shop, Stock
from tests.integration.served import Told, refusal_of, told
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
GROWTH_BYTES = 1_000_000  # until that share is used: far more than its own buffers come and go
AT_ONCE = 100
MANY = 1_000_000  # units, so that stock is never the reason
DRAINS_S = 60.0


async def test_an_outbox_that_is_full_is_drained_and_filled_again(forgetful: Shop) -> None:
    """One shard owes the ledger as much as it may; the other goes on selling. Nothing that was taken is lost."""
    full, other = await forgetful.open_sale(MANY, shard=0), await forgetful.open_sale(shard=1)
    await forgetful.settled(full)

    async with forgetful.without("persist"):
        taken = await sell_until_refused(forgetful, full)
        refused = await refusal_of(forgetful.reserve(full, "one-more"))
        repeated = await forgetful.reserve(full, "r-0")
        confirmed = await forgetful.confirm(full, "r-0")
        elsewhere = await forgetful.reserve(other, "r-0")

    await eventually(lambda: takes_orders(forgetful, full), DRAINS_S)
    await forgetful.settled(full)

    assert taken == OUTBOX_LIMIT
    assert in_words(refused) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert (repeated.replayed, repeated.reservation.state) == (True, HELD)
    assert confirmed.reservation.state == CONFIRMED
    assert elsewhere.reservation.state == HELD
    assert await forgetful.stock(full) == Stock(available=MANY - taken - 1, held=taken, sold=1)
    assert await forgetful.ledger.row(full, f"r-{taken - 1}") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    audit = await forgetful.run("audit", "--sale", full, HOLDFAST_RECORD_RETENTION_S=RETENTION_S)
    assert audit.code == 0, audit.said


async def test_new_orders_wait_while_redis_is_short_of_memory(forgetful: Shop) -> None:
    """The outbox of a ledger that is away fills Redis; before Redis refuses anything, Reserve does, and mends."""
    sale = await forgetful.open_sale(MANY)
    await forgetful.reserve(sale, "known")
    await forgetful.settled(sale)
    known = await forgetful.reserve(sale, "known")  # as it stands once the ledger has it

    async with forgetful.redis() as redis:
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int((used + GROWTH_BYTES) / MEMORY_SHARE))
        try:
            async with forgetful.without("persist"):
                refused = await grow_until_refused(forgetful, sale)
                share = await forgetful.shown("serve", "holdfast_redis_memory_used_ratio")
                in_use = (await redis.info("memory"))["used_memory"]
                commits = await redis.xlen(f"holdfast:{{{forgetful.shard_of(sale)}}}:outbox")
                repeated = await forgetful.reserve(sale, "known")
                confirmed = await forgetful.confirm(sale, "known")
            await eventually(lambda: takes_orders(forgetful, sale), DRAINS_S)
        finally:
            await redis.config_set("maxmemory", 0)

    assert in_words(refused) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert MEMORY_SHARE <= share < 1
    assert commits < OUTBOX_LIMIT, "the outbox was full as well"
    assert in_use < (used + GROWTH_BYTES) / MEMORY_SHARE, "Redis itself would have refused as well"
    assert (repeated.replayed, repeated.reservation) == (True, known.reservation)
    assert confirmed.reservation.state == CONFIRMED


async def sell_until_refused(shop: Shop, sale: str) -> int:
    """Reserve one after the other, so that each makes a commit of its own: how many were taken."""
    for number in count():
        try:
            await shop.reserve(sale, f"r-{number}")
        except AioRpcError as error:
            if told(error).reason == "LEDGER_BEHIND":
                return number
            raise
    raise AssertionError


async def grow_until_refused(shop: Shop, sale: str) -> Told:
    """Hold and give back with many words until a Reserve is refused: how it was."""
    for first in count(step=AT_ONCE):
        names = [f"{'long' * 10}-{number}" for number in range(first, first + AT_ONCE)]
        held = await asyncio.gather(*(shop.reserve(sale, name) for name in names), return_exceptions=True)
        refused = [told for told in held if isinstance(told, AioRpcError)]
        if refused:
            return await refusal_of(failing(refused[0]))
        await asyncio.gather(*(shop.release(sale, name) for name in names))
    raise AssertionError


async def failing(error: AioRpcError) -> None:
    """A call that ended so."""
    raise error


async def takes_orders(shop: Shop, sale: str) -> bool:
    """A new order is taken."""
    try:
        return (await shop.reserve(sale, "after")).reservation.state == HELD
    except AioRpcError:
        return False


def in_words(told: Told) -> tuple[StatusCode, str, bool]:
    """What a caller tells a refusal by, and whether to ask again."""
    return told.code, told.reason, told.retries
