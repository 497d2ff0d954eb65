"""Pausing, resuming, closing and updating sales, on each implementation."""

from typing import Any

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import RejectionReason
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.events import SaleChanged
from inventory_service.domain.results import Failure, Granted, Rejected
from inventory_service.domain.sale import ActOnSale, Item, NewItem, Sale, SaleAction, SaleRead, SaleRequest, UpdateSale
from tests.contract.requests import MINUTE_MS, SALE, act, create, reserve, update
from tests.contract.shards import FIRST_MOMENT_MS, ShardUnderTest
from tests.sales import make_sale

PAUSE, RESUME, CLOSE, CLOSE_AND_RELEASE = SaleAction
CHANGED, REPLAYED = "changed", "replayed"
SCHEDULED, OPEN, PAUSED, ENDED, CLOSED = "SCHEDULED", "OPEN", "PAUSED", "ENDED", "CLOSED"
START_MS, END_MS = FIRST_MOMENT_MS + 1000, FIRST_MOMENT_MS + 2000
NOT_THE_ETAG = "1-9-9"


async def changed(shard: ShardUnderTest, request: SaleRequest) -> SaleRead:
    """Change a sale; fails unless it is changed, or stands so already."""
    answer = await shard.stock.change_sale(request)
    assert isinstance(answer, SaleRead), answer
    return answer


async def sale_in(shard: ShardUnderTest, state: str) -> Sale:
    """Make a sale that is in a state; the settings allow each of them."""
    await make_sale(shard.stock, create(start_time_ms=START_MS, end_time_ms=END_MS, buyer_limit=2))
    if state != SCHEDULED:
        await shard.tick(1000)
    if state in (PAUSED, CLOSED):
        await changed(shard, act(PAUSE if state == PAUSED else CLOSE))
    if state == ENDED:
        await shard.tick(1000)
    return await sale_of(shard)


async def sale_of(shard: ShardUnderTest) -> Sale:
    """The sale as it stands."""
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    return found.sale


def state_of(sale: Sale) -> str:
    """The state of a sale by its short name."""
    return SaleState.Name(SaleState.ValueType(sale.state)).removeprefix("SALE_STATE_")


def wrong_state(state: str) -> Failure:
    """The failure of a request that the sale's state does not allow."""
    return Failure(ErrorReason.ERROR_REASON_WRONG_SALE_STATE, {"state": f"SALE_STATE_{state}"})


def out_of_bounds(field: str) -> Failure:
    """The failure of a request that only the shard can validate."""
    return Failure(ErrorReason.ERROR_REASON_FIELD_OUT_OF_BOUNDS, {"field": field})


def outcome_of(answer: Any) -> Any:
    """What became of a request: CHANGED, REPLAYED, or its failure."""
    if isinstance(answer, SaleRead):
        return REPLAYED if answer.replayed else CHANGED
    return answer


async def judged(shard: ShardUnderTest, request: SaleRequest) -> Any:
    """What becomes of a request; unless it changes the sale, everything stays as it was."""
    kept = await shard.contents()
    outcome = outcome_of(await shard.stock.change_sale(request))
    assert (await shard.contents() == kept) == (outcome != CHANGED), "a change that is none, or none that is one"
    return outcome


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


EVERY_SETTING: dict[str, Any] = {
    "title": "Größer — 灯",
    "start_time_ms": START_MS + 5,
    "end_time_ms": START_MS + 6,
    "hold_ttl_ms": 3 * MINUTE_MS,
    "max_hold_ttl_ms": 4 * MINUTE_MS,
    "buyer_limit": 2**53,
    "attempts_per_minute": 600,
    "return_window_ms": 90 * 86_400_000,
}


async def test_an_update_sets_each_setting_that_it_names(shard: ShardUnderTest) -> None:
    """Alone and all at once; the event has all settings after the change, so that it can be understood alone."""
    settings = (await sale_in(shard, SCHEDULED)).settings
    for name in ("title", "buyer_limit", "attempts_per_minute", "return_window_ms"):
        answer = await changed(shard, update(**{name: EVERY_SETTING[name]}))
        settings = settings._replace(**{name: EVERY_SETTING[name]})
        assert answer.sale.settings == settings

    answer = await changed(shard, UpdateSale(SALE, EVERY_SETTING, (NewItem("vase", 7),), actor="ops"))

    assert answer.sale.settings == settings._replace(**EVERY_SETTING)
    assert answer.sale.items == (Item("lamp", 10, 10, 0, 0), Item("shade", 10, 10, 0, 0), Item("vase", 7, 7, 0, 0))
    (event,) = (await shard.commits())[-1].events
    assert event == SaleChanged(SALE, answer.sale.settings, (NewItem("vase", 7),), reason="", actor="ops")


async def test_an_unset_setting_is_as_at_creation(shard: ShardUnderTest) -> None:
    """No end; the longest life of a hold is the usual one, after the change; a sale that waits for its start begins."""
    await sale_in(shard, SCHEDULED)
    await changed(shard, update(max_hold_ttl_ms=20 * MINUTE_MS))

    answer = await changed(shard, update(start_time_ms=None, end_time_ms=None, hold_ttl_ms=5000, max_hold_ttl_ms=None))

    settings = answer.sale.settings
    assert (settings.start_time_ms, settings.end_time_ms) == (FIRST_MOMENT_MS, None)
    assert (settings.hold_ttl_ms, settings.max_hold_ttl_ms) == (5000, 5000)
    assert state_of(answer.sale) == OPEN
    longest = await changed(shard, update(max_hold_ttl_ms=MINUTE_MS))
    shortest = await changed(shard, update(max_hold_ttl_ms=None))
    assert longest.sale.settings.max_hold_ttl_ms == MINUTE_MS
    assert shortest.sale.settings.max_hold_ttl_ms == 5000


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (update(end_time_ms=START_MS), "end_time"),
        (update(start_time_ms=END_MS), "start_time"),
        (update(start_time_ms=END_MS + 1, end_time_ms=END_MS), "end_time"),
        (update(hold_ttl_ms=10 * MINUTE_MS + 1), "hold_ttl"),
        (update(max_hold_ttl_ms=10 * MINUTE_MS - 1), "max_hold_ttl"),
        (update(hold_ttl_ms=11 * MINUTE_MS, max_hold_ttl_ms=10 * MINUTE_MS), "max_hold_ttl"),
        (update(items={f"sku-{number}": 1 for number in range(999)}), "items"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_settings_that_do_not_go_together_are_out_of_bounds(
    shard: ShardUnderTest, request_: UpdateSale, field: str
) -> None:
    """Only the shard knows the settings that the request leaves alone; nothing is changed by halves."""
    await sale_in(shard, SCHEDULED)

    assert await judged(shard, request_) == out_of_bounds(field)


async def test_a_sale_may_get_as_many_items_as_a_sale_may_have(shard: ShardUnderTest) -> None:
    """Those that it has already are not counted twice."""
    await sale_in(shard, OPEN)

    answer = await changed(shard, update(items={f"sku-{number}": 1 for number in range(998)} | {"lamp": 5}))

    assert len(answer.sale.items) == 1000
    one_more = await shard.stock.change_sale(update(items={"one-more": 1}))
    assert one_more == out_of_bounds("items")


async def test_an_item_that_is_there_is_left_alone(shard: ShardUnderTest) -> None:
    """Only AdjustStock changes a total; of those named, the missing ones are added."""
    await sale_in(shard, OPEN)
    await shard.stock.reserve(reserve("r-1", lamp=2))

    answer = await changed(shard, update(items={"lamp": 99, "vase": 2}))

    assert answer.sale.items[0] == Item("lamp", 10, 8, 2, 0)
    event = (await shard.commits())[-1].events[0]
    assert isinstance(event, SaleChanged)
    assert event.added == (NewItem("vase", 2),)
    assert isinstance(await shard.stock.reserve(reserve("r-2", "b-2", vase=2)), Granted)


async def test_an_end_opens_and_ends_a_sale(shard: ShardUnderTest) -> None:
    """One in the past ends it at once, one in the future, or none, has it sell again."""
    await sale_in(shard, OPEN)
    await shard.tick(500)

    ended = await changed(shard, update(end_time_ms=START_MS + 1))
    open_again = await changed(shard, update(end_time_ms=START_MS + 501))
    await shard.tick(1)
    for_good = await changed(shard, update(end_time_ms=None))

    assert [state_of(each.sale) for each in (ended, open_again, for_good)] == [ENDED, OPEN, OPEN]


async def test_a_start_in_the_past_is_kept_and_opens_the_sale(shard: ShardUnderTest) -> None:
    """As at creation."""
    await sale_in(shard, SCHEDULED)

    answer = await changed(shard, update(start_time_ms=5))

    assert (state_of(answer.sale), answer.sale.settings.start_time_ms) == (OPEN, 5)
    assert await judged(shard, update(start_time_ms=6)) == wrong_state(OPEN)


async def test_a_change_of_the_longest_life_leaves_holds_alone(shard: ShardUnderTest) -> None:
    """They keep the end that their buyers were told."""
    await sale_in(shard, OPEN)
    first = await shard.stock.reserve(reserve("r-1"))

    await changed(shard, update(hold_ttl_ms=1000, max_hold_ttl_ms=1000))
    second = await shard.stock.reserve(reserve("r-2", ttl_ms=5000))

    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert first.reservation.expire_time_ms == START_MS + 10 * MINUTE_MS
    assert second.reservation.expire_time_ms == START_MS + 1000
    found = await shard.stock.find_reservation(SALE, "r-1")
    assert not isinstance(found, Failure)
    assert found.reservation.expire_time_ms == first.reservation.expire_time_ms


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
