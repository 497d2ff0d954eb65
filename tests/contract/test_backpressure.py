"""While the ledger is far behind or Redis is short of memory, no reservation is made and all else is served."""

from collections.abc import Awaitable, Callable

import pytest

from inventory_service.domain.sale import Adjusted, SaleAction, SaleRead
from tests.contract.conftest import OUTBOX_LIMIT
from tests.contract.requests import act, adjust, confirm, create, release, reserve, spend, update
from tests.contract.results import reason_of
from tests.contract.shards import ShardUnderTest
from tests.sales import make_sale


async def let_the_outbox_fill_up(shard: ShardUnderTest) -> None:
    """Spend ids until the shard is as many commits ahead of the ledger as it may be."""
    while (owed := len(await shard.commits())) < OUTBOX_LIMIT:
        for number in range(owed, OUTBOX_LIMIT):
            await shard.stock.move(spend(f"spent-{number}"))


async def let_memory_run_short(shard: ShardUnderTest) -> None:
    """Set what the server's memory watch sets before Redis itself rejects writes."""
    shard.stock.backpressure.memory_is_short = True


SHORTAGES = pytest.mark.parametrize("run_short", [let_the_outbox_fill_up, let_memory_run_short])
RunShort = Callable[[ShardUnderTest], Awaitable[None]]


@SHORTAGES
async def test_known_ids_are_answered_under_backpressure(shard: ShardUnderTest, run_short: RunShort) -> None:
    """A repeat still gets its reservation; for other requests nothing is taken back or granted."""
    await make_sale(shard.stock, create(items={"lamp": 2}))
    await shard.stock.reserve(reserve("held"))
    await shard.stock.reserve(reserve("overdue", ttl_ms=1000))
    await shard.stock.move(spend("spent"))
    await run_short(shard)
    await shard.tick(1000)
    kept = await shard.contents()

    answers = await shard.stock.reserve_many(
        0,
        [
            reserve("held"),
            reserve("overdue", ttl_ms=1000),
            reserve("held", lamp=2),
            reserve("new", sofa=1),
            reserve("new"),
            reserve("spent"),
        ],
    )

    expected = ["REPLAYED", "RESERVATION_ENDED", "RESERVATION_ID_REUSED", "ITEM_NOT_FOUND", "LEDGER_BEHIND"]
    assert [reason_of(answer) for answer in answers] == [*expected, "RESERVATION_ENDED"]
    assert await shard.contents() == kept


async def test_reserve_stops_and_moves_go_on_when_the_ledger_is_far_behind(shard: ShardUnderTest) -> None:
    """Holds can still be confirmed and released, and the ledger's progress ends it."""
    await make_sale(shard.stock, create(items={"lamp": 2000}))
    await shard.stock.reserve(reserve("r-0"))
    await let_the_outbox_fill_up(shard)

    behind = await shard.stock.reserve(reserve("r-1"))
    settled = await shard.stock.move(confirm("r-0"))
    await shard.settle_up_to(500)
    mended = await shard.stock.reserve(reserve("r-1"))

    assert [reason_of(answer) for answer in (behind, settled, mended)] == ["LEDGER_BEHIND", "GRANTED", "GRANTED"]


async def test_reserve_stops_and_moves_go_on_while_memory_is_short(shard: ShardUnderTest) -> None:
    """However few commits the ledger lacks; Reserve works again once there is memory."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(reserve("r-0"))
    await shard.settle_up_to(2)
    await let_memory_run_short(shard)

    short = await shard.stock.reserve(reserve("r-1"))
    settled = await shard.stock.move(release("r-0"))
    shard.stock.backpressure.memory_is_short = False
    mended = await shard.stock.reserve(reserve("r-1"))

    assert [reason_of(answer) for answer in (short, settled, mended)] == ["LEDGER_BEHIND", "GRANTED", "GRANTED"]


@SHORTAGES
async def test_sales_are_changed_under_backpressure(shard: ShardUnderTest, run_short: RunShort) -> None:
    """None of it is a new claim, and a close or a pause must not wait for the ledger."""
    await make_sale(shard.stock, create())
    await run_short(shard)

    adjusted = await shard.stock.change_sale(adjust())
    changes = [await shard.stock.change_sale(request) for request in (act(SaleAction.PAUSE), update(title="Other"))]
    closed = await shard.stock.change_sale(act(SaleAction.CLOSE_AND_RELEASE))

    assert isinstance(adjusted, Adjusted)
    assert [type(answer) for answer in (*changes, closed)] == [SaleRead] * 3
