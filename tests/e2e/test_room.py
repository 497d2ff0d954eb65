"""A ledger that stays away for long: no new orders are taken at some point, and they are again when it is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError
from holdfast.inventory.v1 import reservation_pb2 as states

from tests.e2e.conftest import running
from tests.e2e.ledger import Row
from tests.e2e.shop import Shop, Stock
from tests.integration.served import Told, calling, refusal_of, told
from tests.waiting import eventually

HELD, CONFIRMED = states.RESERVATION_STATE_HELD, states.RESERVATION_STATE_CONFIRMED
OUTBOX_LIMIT = 500  # commits
SHARE = 0.8  # of Redis' memory
GROWTH_BYTES = 1_000_000  # until that share is used: far more than its own buffers come and go
AT_ONCE = 100
MANY = 1_000_000  # units, so that stock is never the reason
DRAINS_S = 60.0


@asynccontextmanager
async def shop_with(folder: Path, **settings: str) -> AsyncIterator[Shop]:
    """A shop of two shards with little room of one kind, so that nothing but the other kind can be what is short."""
    with running(folder, HOLDFAST_SHARDS="2", **settings) as started:
        async with calling(started.stack.addresses.listen) as caller:
            yield Shop(started.stack, caller, started.log)


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Shop]:
    """An outbox takes few commits."""
    async with shop_with(tmp_path, HOLDFAST_OUTBOX_LIMIT=str(OUTBOX_LIMIT)) as shop:
        yield shop


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[Shop]:
    """Part of Redis' memory is kept free."""
    async with shop_with(tmp_path, HOLDFAST_MEMORY_SHARE=str(SHARE)) as shop:
        yield shop


async def test_an_outbox_that_is_full_is_drained_and_filled_again(small: Shop) -> None:
    """One shard owes the ledger as much as it may; the other goes on selling. Nothing that was taken is lost."""
    full, other = await small.open_sale(MANY, shard=0), await small.open_sale(shard=1)
    await small.settled(full)

    async with small.without("persist"):
        taken = await sell_until_refused(small, full)
        refused = await refusal_of(small.reserve(full, "one-more"))
        repeated = await small.reserve(full, "r-0")
        confirmed = await small.confirm(full, "r-0")
        elsewhere = await small.reserve(other, "r-0")

    await eventually(lambda: takes_orders(small, full), DRAINS_S)
    await small.settled(full)

    assert taken == OUTBOX_LIMIT
    assert in_words(refused) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert (repeated.replayed, repeated.reservation.state) == (True, HELD)
    assert confirmed.reservation.state == CONFIRMED
    assert elsewhere.reservation.state == HELD
    assert await small.stock(full) == Stock(available=MANY - taken - 1, held=taken, sold=1)
    assert await small.ledger.row(full, f"r-{taken - 1}") == Row("ann", "HELD", "RECORDED", "", "1 lamp")
    audit = await small.run("audit")
    assert audit.code == 0, audit.said


async def test_new_orders_wait_while_redis_is_short_of_memory(tight: Shop) -> None:
    """The outbox of a ledger that is away fills Redis; before Redis refuses anything, Reserve does, and mends."""
    sale = await tight.open_sale(MANY)
    await tight.reserve(sale, "known")
    await tight.settled(sale)
    known = await tight.reserve(sale, "known")  # as it stands once the ledger has it

    async with tight.redis() as redis:
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int((used + GROWTH_BYTES) / SHARE))
        try:
            async with tight.without("persist"):
                refused = await grow_until_refused(tight, sale)
                share = await tight.shown("serve", "holdfast_redis_memory_used_ratio")
                in_use = (await redis.info("memory"))["used_memory"]
                repeated = await tight.reserve(sale, "known")
                confirmed = await tight.confirm(sale, "known")
            await eventually(lambda: takes_orders(tight, sale), DRAINS_S)
        finally:
            await redis.config_set("maxmemory", 0)

    assert in_words(refused) == (StatusCode.UNAVAILABLE, "LEDGER_BEHIND", True)
    assert SHARE <= share < 1
    assert in_use < (used + GROWTH_BYTES) / SHARE, "Redis itself would have refused as well"
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
