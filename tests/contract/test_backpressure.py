"""While the ledger is far behind, or Redis short of memory: no new orders, and all else is answered; on each body."""

from collections.abc import Awaitable, Callable

import pytest

from tests.contract.answers import reason_of
from tests.contract.bodies import Body
from tests.contract.conftest import OUTBOX_LIMIT
from tests.contract.requests import confirm, create, release, reserve, spend
from tests.sales import make_sale


async def let_the_outbox_fill_up(body: Body) -> None:
    """Spend ids until the ledger is owed as many commits as it may be."""
    while (owed := len(await body.commits())) < OUTBOX_LIMIT:
        for number in range(owed, OUTBOX_LIMIT):
            await body.stock.move(spend(f"spent-{number}"))


async def let_memory_run_short(body: Body) -> None:
    """As the server sees it before Redis itself refuses anything."""
    body.stock.backpressure.memory_is_short = True


SHORTAGES = pytest.mark.parametrize("run_short", [let_the_outbox_fill_up, let_memory_run_short])
RunShort = Callable[[Body], Awaitable[None]]


@SHORTAGES
async def test_known_ids_are_answered_while_there_is_no_room(body: Body, run_short: RunShort) -> None:
    """A caller in doubt still hears what became of its order; nothing is taken back or granted for the others."""
    await make_sale(body.stock, create(items={"lamp": 2}))
    await body.stock.reserve(reserve("held"))
    await body.stock.reserve(reserve("overdue", ttl_ms=1000))
    await body.stock.move(spend("spent"))
    await run_short(body)
    await body.tick(1000)
    kept = await body.contents()

    answers = await body.stock.reserve_many(
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

    said = ["REPLAYED", "RESERVATION_ENDED", "RESERVATION_ID_REUSED", "ITEM_NOT_FOUND", "LEDGER_BEHIND"]
    assert [reason_of(answer) for answer in answers] == [*said, "RESERVATION_ENDED"]
    assert await body.contents() == kept


async def test_reserve_stops_and_settling_goes_on_when_the_ledger_is_far_behind(body: Body) -> None:
    """Before Redis itself refuses, Reserve does; what is held can still be settled, and it mends by itself."""
    await make_sale(body.stock, create(items={"lamp": 2000}))
    await body.stock.reserve(reserve("r-0"))
    await let_the_outbox_fill_up(body)

    behind = await body.stock.reserve(reserve("r-1"))
    settled = await body.stock.move(confirm("r-0"))
    await body.settle_up_to(500)
    mended = await body.stock.reserve(reserve("r-1"))

    assert [reason_of(answer) for answer in (behind, settled, mended)] == ["LEDGER_BEHIND", "GRANTED", "GRANTED"]


async def test_reserve_stops_and_settling_goes_on_while_memory_is_short(body: Body) -> None:
    """However little waits for the ledger; and it is as before once there is memory again."""
    await make_sale(body.stock, create())
    await body.stock.reserve(reserve("r-0"))
    await body.settle_up_to(2)
    await let_memory_run_short(body)

    short = await body.stock.reserve(reserve("r-1"))
    settled = await body.stock.move(release("r-0"))
    body.stock.backpressure.memory_is_short = False
    mended = await body.stock.reserve(reserve("r-1"))

    assert [reason_of(answer) for answer in (short, settled, mended)] == ["LEDGER_BEHIND", "GRANTED", "GRANTED"]
