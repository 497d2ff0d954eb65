"""The table of changes of a sale, what a repeat and an etag do to them, pause and close, on each implementation."""

from typing import Any

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import RejectionReason

from inventory_service.domain.events import SaleChanged
from inventory_service.domain.results import Failure, Granted, Rejected, field_out_of_bounds
from inventory_service.domain.sale import ActOnSale, SaleRead, SaleRequest, UpdateSale
from tests.contract.requests import SALE, act, create, reserve, update
from tests.contract.sale_states import (
    CHANGED,
    CLOSE,
    CLOSE_AND_RELEASE,
    CLOSED,
    END_MS,
    ENDED,
    OPEN,
    PAUSE,
    PAUSED,
    REPLAYED,
    RESUME,
    SCHEDULED,
    START_MS,
    changed,
    judged,
    outcome_of,
    sale_in,
    sale_of,
    state_of,
    wrong_state,
)
from tests.contract.shards import RedisShard, ShardUnderTest
from tests.sales import make_sale

NOT_THE_ETAG = "1-9-9"


NO_LIMIT = update(buyer_limit=0)
# Whether each request changes the sale in each state, finds that it stands so already, or fails: then nothing.
TABLE: dict[str, tuple[SaleRequest, dict[str, str]]] = {
    "pause": (act(PAUSE), {SCHEDULED: CHANGED, OPEN: CHANGED, PAUSED: REPLAYED, ENDED: CHANGED}),
    "resume": (act(RESUME), {SCHEDULED: REPLAYED, OPEN: REPLAYED, PAUSED: CHANGED, ENDED: REPLAYED}),
    "close": (act(CLOSE), {SCHEDULED: CHANGED, OPEN: CHANGED, PAUSED: CHANGED, ENDED: CHANGED, CLOSED: REPLAYED}),
    "close and release": (
        act(CLOSE_AND_RELEASE),
        {SCHEDULED: CHANGED, OPEN: CHANGED, PAUSED: CHANGED, ENDED: CHANGED, CLOSED: CHANGED},
    ),
    "update any time": (NO_LIMIT, {SCHEDULED: CHANGED, OPEN: CHANGED, PAUSED: CHANGED, ENDED: CHANGED}),
    "update nothing": (
        update(buyer_limit=2, items={"lamp": 99}),
        {SCHEDULED: REPLAYED, OPEN: REPLAYED, PAUSED: REPLAYED, ENDED: REPLAYED, CLOSED: REPLAYED},
    ),
    "update the start": (update(start_time_ms=START_MS + 1), {SCHEDULED: CHANGED}),
    "start now": (
        update(start_time_ms=None),
        {SCHEDULED: CHANGED, OPEN: REPLAYED, PAUSED: REPLAYED, ENDED: REPLAYED, CLOSED: REPLAYED},
    ),
    "have no holds": (update(hold_ttl_ms=0), {SCHEDULED: CHANGED}),
    "update the end": (
        update(end_time_ms=END_MS + 1),
        {SCHEDULED: CHANGED, OPEN: CHANGED, PAUSED: CHANGED, ENDED: CHANGED},
    ),
}


@pytest.mark.parametrize("state", [SCHEDULED, OPEN, PAUSED, ENDED, CLOSED])
@pytest.mark.parametrize("name", TABLE)
async def test_the_table_of_changes(shard: ShardUnderTest, name: str, state: str) -> None:
    """Each request in each state; a change sets etag and update time, and everything else leaves them alone."""
    request, outcomes = TABLE[name]
    before = await sale_in(shard, state)
    assert state_of(before) == state

    outcome = await judged(shard, request)

    assert outcome == outcomes.get(state, wrong_state(state))
    after = await sale_of(shard)
    assert (after.etag != before.etag) == (outcome == CHANGED)
    assert after.update_time_ms == (shard.now_ms if outcome == CHANGED else before.update_time_ms)


@pytest.mark.parametrize(
    "request_", [act(PAUSE), act(CLOSE), act(CLOSE_AND_RELEASE), NO_LIMIT], ids=lambda r: repr(r)[:40]
)
async def test_a_repeat_is_answered_before_its_etag_is_compared(shard: ShardUnderTest, request_: Any) -> None:
    """The library repeats a call whose answer was lost, with the etag of before; any other change needs the new one."""
    before = await sale_in(shard, OPEN)

    first = await changed(shard, request_._replace(etag=before.etag))
    again = await changed(shard, request_._replace(etag=before.etag))

    assert (first.replayed, again.replayed) == (False, True)
    assert again.sale == first.sale
    failed = await judged(shard, update(title="Other", etag=before.etag))
    expected = Failure(ErrorReason.ERROR_REASON_ETAG_MISMATCH)
    assert failed == (expected if not first.sale.settings.close_time_ms else wrong_state(CLOSED))


@pytest.mark.parametrize(
    "request_",
    [act(PAUSE), act(CLOSE), act(CLOSE_AND_RELEASE), NO_LIMIT, update(end_time_ms=START_MS)],
    ids=lambda r: repr(r)[:40],
)
async def test_an_old_etag_stops_a_change(shard: ShardUnderTest, request_: Any) -> None:
    """Before its fields are judged, for the caller decided on other settings."""
    await sale_in(shard, OPEN)

    assert await judged(shard, request_._replace(etag=NOT_THE_ETAG)) == Failure(ErrorReason.ERROR_REASON_ETAG_MISMATCH)


async def test_the_stock_does_not_change_the_etag(shard: ShardUnderTest) -> None:
    """It stands for the settings; the stock of an open sale never stands still."""
    before = await sale_in(shard, OPEN)

    await shard.stock.reserve(reserve("r-1"))

    assert outcome_of(await shard.stock.change_sale(update(title="Other", etag=before.etag))) == CHANGED


async def test_a_paused_sale_sells_nothing_until_it_is_resumed(shard: ShardUnderTest) -> None:
    """The flag also waits for the start, and is told meanwhile."""
    await sale_in(shard, SCHEDULED)
    paused = await changed(shard, act(PAUSE))
    await shard.tick(1000)

    rejected = await shard.stock.reserve(reserve("r-1"))
    resumed = await changed(shard, act(RESUME))
    granted = await shard.stock.reserve(reserve("r-1"))

    assert (state_of(paused.sale), paused.sale.settings.paused) == (SCHEDULED, True)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.retry_after_ms) == (RejectionReason.REJECTION_REASON_SALE_PAUSED, None)
    assert (state_of(resumed.sale), resumed.sale.settings.paused) == (OPEN, False)
    assert isinstance(granted, Granted)


async def test_a_closed_sale_has_ended_for_its_buyers(shard: ShardUnderTest) -> None:
    """For good, and with the moment of the first close."""
    await sale_in(shard, OPEN)
    closed = await changed(shard, act(CLOSE))
    await shard.tick(1)

    rejected = await shard.stock.reserve(reserve("r-1"))
    released = await changed(shard, act(CLOSE_AND_RELEASE))

    assert isinstance(rejected, Rejected)
    assert rejected.reason == RejectionReason.REJECTION_REASON_SALE_ENDED
    assert closed.sale.settings.close_time_ms == released.sale.settings.close_time_ms == START_MS
    assert (closed.sale.settings.release_time_ms, released.sale.settings.release_time_ms) == (0, START_MS + 1)


async def test_a_create_is_repeated_after_an_update(shard: ShardUnderTest) -> None:
    """It is compared with what was asked for at creation, and told the sale as it stands."""
    await sale_in(shard, OPEN)
    updated = await changed(shard, update(title="Other", items={"vase": 1}))

    again = await make_sale(shard.stock, create(start_time_ms=START_MS, end_time_ms=END_MS, buyer_limit=2))

    assert isinstance(again, SaleRead)
    assert (again.replayed, again.sale) == (True, updated.sale)


@pytest.mark.parametrize("request_", [act(PAUSE), act(CLOSE_AND_RELEASE), NO_LIMIT], ids=lambda r: type(r).__name__)
async def test_a_change_of_a_sale_that_is_not_there_is_not_found(
    shard: ShardUnderTest, request_: ActOnSale | UpdateSale
) -> None:
    """Whatever it would change."""
    assert await judged(shard, request_) == Failure(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, {"sale_id": SALE.sale_id})


async def test_an_act_is_told_with_its_reason_and_actor(shard: ShardUnderTest) -> None:
    """For the books; an end that is not set, and a title that is empty, are told too."""
    await make_sale(shard.stock, create(title=""))

    answer = await changed(shard, act(PAUSE, reason="Prüfung", actor="ops"))

    (event,) = (await shard.commits())[-1].events
    assert event == SaleChanged(SALE, answer.sale.settings, (), "Prüfung", "ops")


async def test_only_items_of_a_sale_count_as_items(scripts: RedisShard) -> None:
    """Its hash may have other fields, of a version to come: the thousandth item fits, and reads go on."""
    await make_sale(scripts.stock, create(items={f"lamp-{number}": 1 for number in range(999)}))
    for number in range(20):  # in no order, so some of them are before the settings and others behind
        await scripts.ask("HSET", scripts.keys(SALE).sale, f"later-{number}", "a field of a later version")

    last = await scripts.stock.change_sale(update(items={"vase": 1}))
    above = await scripts.stock.change_sale(update(items={"sofa": 1}))

    assert isinstance(last, SaleRead)
    assert len(last.sale.items) == 1000
    assert above == field_out_of_bounds("items")
