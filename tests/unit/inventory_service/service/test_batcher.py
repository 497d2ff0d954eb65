"""The batcher: when it sends a call, how large that is, and what it observes of it."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from inventory_service.domain.archive import ReturnArchived
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale import ActOnSale, AdjustStock, CreateSale, SaleAction, UpdateSale
from inventory_service.service.batcher import CALL_KINDS, Batcher
from tests.unit.inventory_service.service.manual_stock import (
    LIMITS,
    SALE,
    BatcherFixture,
    ManualClock,
    ManualStock,
    name_of,
    reserve,
    settle,
)


async def test_a_lone_request_goes_at_once(fixture: BatcherFixture) -> None:
    """It would gain nothing from the interval that gathers concurrent requests."""
    for n in range(3):
        answer = fixture.batcher.reserve(reserve(f"r-{n}"))
        await settle()
        await fixture.store.answer()
        assert name_of(answer.result()) == f"r-{n}"

    assert fixture.store.calls == [("reserve", ["r-0"]), ("reserve", ["r-1"]), ("reserve", ["r-2"])]


async def test_a_busy_shard_gathers_requests_until_its_interval_ends(fixture: BatcherFixture) -> None:
    """Otherwise a fast Redis would get calls of two requests each."""
    await fixture.make_busy()

    for n in range(3):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    assert fixture.store.calls == []
    await fixture.clock.pass_ms(4)

    assert fixture.store.calls == [("reserve", ["r-0", "r-1", "r-2"])]


async def test_enough_waiting_requests_are_sent_before_the_interval_ends(fixture: BatcherFixture) -> None:
    """A full call gains nothing by waiting."""
    await fixture.make_busy()

    for n in range(4):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()

    assert fixture.store.calls == [("reserve", ["r-0", "r-1", "r-2", "r-3"])]


async def test_where_all_callers_waited_for_one_call_half_of_them_are_enough_for_the_next(
    fixture: BatcherFixture,
) -> None:
    """They come back together: the first half is judged while the server has work with the second."""
    await fixture.make_busy()
    for n in range(4):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    await fixture.store.answer()

    for n in range(4, 8):
        fixture.batcher.reserve(reserve(f"r-{n}"))
        await settle()

    assert fixture.store.calls == [("reserve", ["r-0", "r-1", "r-2", "r-3"]), ("reserve", ["r-4", "r-5"])]
    await fixture.store.answer()


async def test_where_others_wait_a_call_takes_one_more_than_the_last_until_it_is_full(fixture: BatcherFixture) -> None:
    """While the server has other work a larger call costs each request less, and no caller waits for nothing."""
    await fixture.make_busy()
    fixture.set_enough(2)

    for n in range(12):
        fixture.batcher.reserve(reserve(f"r-{n}"))
        await settle()
        if fixture.waiting() == 1 and fixture.store.open:  # another one has come while the call was under way
            await fixture.store.answer()
    sizes = [len(names) for _, names in fixture.store.calls]

    assert sizes == [2, 3, 4]


async def test_requests_for_another_shard_are_others_too() -> None:
    """The server has work with them, so a larger call gains something."""
    stores, clock = [ManualStock(), ManualStock()], ManualClock()
    both = OneForEachShard(stores)
    batcher = Batcher(both, lambda sale: int(sale.sale_id), lambda *_: None, LIMITS, clock)  # type: ignore[arg-type]
    for n in range(4):
        batcher.reserve(reserve(f"r-{n}")._replace(sale=SaleKey("default", "0")))
    batcher.reserve(reserve("other")._replace(sale=SaleKey("default", "1")))
    await settle()
    await stores[0].answer()
    await clock.pass_ms(4)
    await stores[0].answer()  # a call of three, while that of the other shard is under way

    for n in range(4, 7):
        batcher.reserve(reserve(f"r-{n}")._replace(sale=SaleKey("default", "0")))
    await settle()

    assert stores[0].open is None
    await clock.pass_ms(4)
    assert stores[0].calls[-1] == ("reserve", ["r-4", "r-5", "r-6"])


class OneForEachShard:
    """A stock whose calls go to that of their shard."""

    def __init__(self, stocks: Sequence[ManualStock]) -> None:
        self._stocks = stocks

    async def reserve_many(self, shard: int, requests: Sequence[Any]) -> Any:
        return await self._stocks[shard].reserve_many(shard, requests)


async def test_one_call_of_a_shard_is_in_flight_at_a_time(fixture: BatcherFixture) -> None:
    """The order of requests within a shard depends on it."""
    fixture.batcher.reserve(reserve("r-0"))
    for n in range(1, 10):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    await fixture.clock.pass_ms(50)
    assert len(fixture.store.calls) == 1

    await fixture.store.answer()

    assert fixture.store.calls[1] == ("reserve", [f"r-{n}" for n in range(1, 9)])


async def test_the_next_call_goes_before_the_callers_of_the_last_one_go_on(fixture: BatcherFixture) -> None:
    """Redis has work while the server makes their answers."""
    calls_seen: list[int] = []
    first = fixture.batcher.reserve(reserve("first"))
    first.add_done_callback(lambda _: calls_seen.append(len(fixture.store.calls)))
    await settle()
    for n in range(4):
        fixture.batcher.reserve(reserve(f"r-{n}"))

    await fixture.store.answer()

    assert calls_seen == [2]


async def test_a_call_is_bounded_by_lines_too(fixture: BatcherFixture) -> None:
    """A script call must not block Redis for long; the limit is ten lines here."""
    await fixture.make_busy()

    for n in range(4):
        fixture.batcher.reserve(reserve(f"r-{n}", lines=4))
    await settle()
    await fixture.store.answer()
    await fixture.clock.pass_ms(4)

    assert fixture.store.calls == [("reserve", ["r-0", "r-1"]), ("reserve", ["r-2", "r-3"])]


async def test_every_call_is_observed(fixture: BatcherFixture) -> None:
    """Batch sizes and script times are metrics."""
    await fixture.make_busy()

    for n in range(4):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()
    await fixture.store.answer()
    calls: list[Coroutine[Any, Any, Any]] = [
        fixture.batcher.find_sale(SALE),
        fixture.batcher.find_reservation(SALE, "r-1"),
        fixture.batcher.change_sale(ActOnSale(SALE, SaleAction.PAUSE)),
        fixture.batcher.change_sale(UpdateSale(SALE, {}, ())),
        fixture.batcher.change_sale(CreateSale(SALE, "", None, None, 0, 0, 0, ())),
        fixture.batcher.change_sale(AdjustStock(SALE, "a-1", "lamp", 1, None)),
        fixture.batcher.return_archived(cast(ReturnArchived, None)),
    ]
    for call in calls:
        answer = asyncio.ensure_future(call)
        await settle()
        await fixture.store.answer()
        assert answer.done()

    singles = ["read", "read", "change_sale", "change_sale", "create_sale", "adjust_stock", "return_archived"]
    assert fixture.observed == [("reserve", 4), *((kind, 1) for kind in singles)]
    assert {kind for kind, _ in fixture.observed} <= set(CALL_KINDS)
