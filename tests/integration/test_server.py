"""The server on a real Redis and ledger, called over gRPC: responses and errors."""

import asyncio
import time
from collections import Counter
from typing import Any

import grpc
import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import RESERVATION_STATE_RELEASED as RELEASED
from holdfast.inventory.v1.sale_pb2 import Item, SaleState
from redis.asyncio import Redis

from inventory_service.adapters.redis.keys import shard_keys
from tests.inventory_server import (
    SHARDS,
    Caller,
    call_error,
    calling,
    error_of,
    open_shards,
    reserve_request,
    running_server,
    until_judged,
)
from tests.servers import StartValkey


async def reserve_at_once(valkey: str, caller: Caller, count: int) -> list[Any]:
    """The results of so many Reserves, all of which the server has begun before Redis runs the first."""
    await caller.channel.channel_ready()  # calls sent before it is ready may overtake one another
    async with Redis.from_url(valkey) as redis:
        await redis.client_pause(60_000, all=False)  # writes alone
        try:
            calls_in_flight = [caller.stock.Reserve(reserve_request(f"r-{number}")) for number in range(count)]
            with pytest.raises(grpc.aio.AioRpcError):
                await caller.stock.Reserve(calls.ReserveRequest())  # on the same connection, so it is accepted last
        finally:
            await redis.client_unpause()
    return await asyncio.gather(*calls_in_flight, return_exceptions=True)


async def test_a_reservation_is_made_repeated_confirmed_and_read(caller: Caller) -> None:
    """The whole life of a hold that ends well; each call answers with the same reservation."""
    await caller.create_sale(units=5)

    held = await caller.reserve("r-1", quantity=2)
    again = await caller.reserve("r-1", quantity=2)
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    confirmed = await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))
    found = await caller.stock.GetReservation(calls.GetReservationRequest(**name))
    sale = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))

    assert (held.reservation.state, held.replayed, again.replayed) == (1, False, True)
    assert again.reservation == held.reservation
    assert (confirmed.reservation.state, confirmed.reservation.lines[0].confirmed_quantity) == (2, 2)
    assert found.reservation == confirmed.reservation
    assert [(item.total, item.available, item.held, item.sold) for item in sale.sale.items] == [(5, 3, 0, 2)]


async def test_a_released_id_is_rejected_and_its_unit_is_free(caller: Caller) -> None:
    """A released id cannot be reserved again; its unit can, by another."""
    await caller.create_sale(units=1)
    await caller.reserve("r-1")

    released = await caller.stock.ReleaseReservation(
        calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-1", reason="changed my mind")
    )
    ended = await caller.reserve("r-1")
    other = await caller.reserve("r-2")

    assert (released.reservation.state, released.reservation.note) == (3, "changed my mind")
    assert (ended.rejection.reason, ended.replayed, ended.rejection.ended.state) == (8, True, 3)
    assert other.reservation.state == 1


async def test_sold_out_is_a_response_and_no_error(caller: Caller) -> None:
    """The rejection names the shortages."""
    await caller.create_sale(units=1)
    await caller.reserve("r-1")

    answer = await caller.reserve("r-2")

    assert answer.rejection.reason == 1
    assert [(line.sku, line.requested, line.held) for line in answer.rejection.shortages] == [("lamp", 1, 1)]


async def test_a_hundred_buyers_get_only_ten_units(caller: Caller) -> None:
    """Promise 1, no oversell: ten of them get one, however their requests are batched."""
    await caller.create_sale(units=10)

    answers = await asyncio.gather(*(caller.reserve(f"r-{n}") for n in range(100)))

    assert sum(answer.HasField("reservation") for answer in answers) == 10
    sale = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))
    assert [(item.available, item.held) for item in sale.sale.items] == [(0, 10)]


async def test_concurrent_requests_share_script_calls(caller: Caller, valkey: str) -> None:
    """Fifty requests at once make far fewer commits than fifty."""
    await caller.create_sale(units=50)

    answers = await reserve_at_once(valkey, caller, 50)

    held = [answer.reservation for answer in answers if isinstance(answer, calls.ReserveResponse)]
    assert len(held) == 50
    assert len({(reservation.position.epoch, reservation.position.seq) for reservation in held}) <= 5


async def test_a_sale_made_twice_is_one_sale(caller: Caller) -> None:
    """An operator may repeat the call."""
    sale = admin.CreateSaleRequest(sale={"sale_id": "s", "items": [Item(sku="a", total=1)]})

    first, second = await caller.admin.CreateSale(sale), await caller.admin.CreateSale(sale)

    assert (first.replayed, second.replayed) == (False, True)
    assert second.sale == first.sale


async def test_a_sale_is_paused_changed_and_closed(caller: Caller) -> None:
    """Each change names the etag that its caller has read; an older one is ABORTED, and a closed sale stays closed."""
    await caller.create_sale(units=3)
    name: Any = {"sale_id": "lamp-sale"}
    await caller.reserve("r-1")

    paused = (await caller.admin.PauseSale(admin.PauseSaleRequest(**name, reason="check"))).sale
    other: Any = {"title": "Other", "etag": paused.etag, "return_window": {"seconds": 90_000}}
    update = admin.UpdateSaleRequest(sale={**name, **other}, update_mask={"paths": ["title", "return_window"]})
    updated = await caller.admin.UpdateSale(update)
    repeated = await caller.admin.UpdateSale(update)
    late = await error_of(caller.admin.ResumeSale(admin.ResumeSaleRequest(**name, etag=paused.etag)))
    closed = await caller.admin.CloseSale(admin.CloseSaleRequest(**name, release_holds=True, reason="over"))
    resumed = await error_of(caller.admin.ResumeSale(admin.ResumeSaleRequest(**name)))
    released = await caller.stock.GetReservation(calls.GetReservationRequest(**name, reservation_id="r-1"))

    assert (paused.state, paused.paused) == (SaleState.SALE_STATE_PAUSED, True)
    assert (updated.sale.title, updated.sale.return_window.seconds) == ("Other", 90_000)
    assert (updated.replayed, repeated.replayed, repeated.sale.etag) == (False, True, updated.sale.etag)
    assert (late.code, late.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert (closed.sale.state, closed.sale.HasField("close_time")) == (SaleState.SALE_STATE_CLOSED, True)
    assert (resumed.code, resumed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_SALE_STATE")
    assert resumed.metadata == {"sale_id": "lamp-sale", "state": "SALE_STATE_CLOSED"}
    assert (released.reservation.state, released.reservation.note) == (RELEASED, "over")


async def test_stock_is_adjusted_once_for_each_id(caller: Caller) -> None:
    """A repeat hears the adjustment as it was made, beside the item as it stands; what is held stays."""
    await caller.create_sale(units=3)
    await caller.reserve("r-1")
    request = admin.AdjustStockRequest(
        sale_id="lamp-sale", sku="lamp", adjustment_id="a-1", delta=2, expected_total=3, reason="found"
    )

    first, again = await caller.admin.AdjustStock(request), await caller.admin.AdjustStock(request)
    low = await error_of(caller.admin.AdjustStock(_other(request, adjustment_id="a-2", new_total=0)))
    other = await error_of(caller.admin.AdjustStock(_other(request, new_total=9)))

    assert (first.replayed, again.replayed, again.adjustment) == (False, True, first.adjustment)
    assert (first.adjustment.delta, first.adjustment.total_after, first.item.available) == (2, 5, 4)
    assert (low.code, low.reason) == (grpc.StatusCode.ABORTED, "TOTAL_MISMATCH")
    assert low.metadata == {"sale_id": "lamp-sale", "sku": "lamp", "total": "5"}
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ADJUSTMENT_ID_REUSED")


def _other(request: admin.AdjustStockRequest, **fields: Any) -> admin.AdjustStockRequest:
    other = admin.AdjustStockRequest()
    other.CopyFrom(request)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


async def test_unknown_ids_are_not_found(caller: Caller) -> None:
    """Sale, item and reservation each have their reason."""
    await caller.create_sale()
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-9"}
    sofa = reserve_request("r-1")
    sofa.lines[0].sku = "sofa"

    sale = await error_of(caller.reserve("r-1", sale_id="no-sale"))
    get_sale = await error_of(caller.stock.GetSale(calls.GetSaleRequest(sale_id="no-sale")))
    item = await error_of(caller.stock.Reserve(sofa))
    get = await error_of(caller.stock.GetReservation(calls.GetReservationRequest(**name)))
    confirm = await error_of(caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name)))
    release = await error_of(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)))

    assert {error.code for error in (sale, get_sale, item, get, confirm, release)} == {grpc.StatusCode.NOT_FOUND}
    assert sale.metadata == {"sale_id": "no-sale", "reservation_id": "r-1"}
    assert (sale.reason, get_sale.reason, item.reason) == ("SALE_NOT_FOUND", "SALE_NOT_FOUND", "ITEM_NOT_FOUND")
    assert item.metadata["sku"] == "sofa"
    assert [error.reason for error in (get, confirm, release)] == ["RESERVATION_NOT_FOUND"] * 3
    assert get.metadata == name


async def test_an_id_with_another_body_is_rejected(caller: Caller) -> None:
    """For a reservation and for a sale."""
    await caller.create_sale()
    await caller.reserve("r-1")

    reservation = await error_of(caller.reserve("r-1", quantity=2))
    sale = await error_of(caller.create_sale(units=11))

    assert (reservation.code, reservation.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RESERVATION_ID_REUSED")
    assert reservation.metadata == {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    assert (sale.code, sale.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SALE_ID_REUSED")


async def test_a_wrong_state_comes_with_the_reservation(caller: Caller) -> None:
    """A confirmed one cannot be released."""
    await caller.create_sale()
    await caller.reserve("r-1")
    name: Any = {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    await caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))

    error = await error_of(caller.stock.ReleaseReservation(calls.ReleaseReservationRequest(**name)))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_RESERVATION_STATE")
    assert error.metadata["state"] == "RESERVATION_STATE_CONFIRMED"
    assert error.reservation is not None
    assert error.reservation.reservation_id == "r-1"


async def test_a_sale_without_holds_rejects_a_hold_ttl(caller: Caller) -> None:
    """A Reserve without one is confirmed at once."""
    await caller.create_sale(hold_ttl={"seconds": 0})
    timed = reserve_request("r-1")
    timed.hold_ttl.seconds = 60

    error = await error_of(caller.stock.Reserve(timed))
    bought = await caller.reserve("r-1")

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SALE_WITHOUT_HOLDS")
    assert (bought.reservation.state, bought.reservation.HasField("expire_time")) == (2, False)


async def test_a_stopped_redis_is_store_unreachable(start_valkey: StartValkey, database: str) -> None:
    """Nothing was done, and the server serves again once Redis is back and its shards are open."""
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with running_server(valkey.address, database) as address, calling(address) as caller:
        await caller.create_sale()

        valkey.stop()
        error = await error_of(caller.reserve("r-1"))
        valkey.start()
        await open_shards(valkey.address, epoch=2)
        again = await until_judged(lambda: caller.reserve("r-1"))  # its restart may take so long that the breaker opens

    assert (error.code, error.reason, error.retries) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNREACHABLE", True)
    assert (again.HasField("reservation"), again.replayed) == (True, False)


async def test_a_full_queue_is_overloaded_and_changes_nothing(caller: Caller, valkey: str, database: str) -> None:
    """RESOURCE_EXHAUSTED with a retry delay; the other calls are served."""
    await caller.create_sale(units=1000)
    async with running_server(valkey, database, queue_limit=1) as address, calling(address) as crowd:
        answers = await reserve_at_once(valkey, crowd, 50)

    refused = [call_error(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    held = [answer for answer in answers if isinstance(answer, calls.ReserveResponse)]
    assert {(error.code, error.reason, error.retries) for error in refused} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", True)
    }
    sale = await caller.stock.GetSale(calls.GetSaleRequest(sale_id="lamp-sale"))
    assert sale.sale.items[0].held == len(held) > 0


async def test_three_thousand_calls_at_once_are_all_judged(caller: Caller) -> None:
    """gRPC itself would end hundreds of them as CANCELLED, and leave their callers in doubt."""
    await caller.create_sale(units=1)

    answers = await asyncio.gather(*(caller.reserve(f"r-{number}") for number in range(3000)))

    outcomes = Counter(answer.WhichOneof("outcome") for answer in answers)
    assert outcomes == {"reservation": 1, "rejection": 2999}


async def test_a_call_past_its_deadline_is_not_begun(caller: Caller) -> None:
    """Its caller is gone before a response could reach it; the server or gRPC ends it."""
    await caller.create_sale()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.stock.Reserve(reserve_request("r-1"), timeout=0.001)

    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_shard_whose_time_is_ahead_serves_no_call_unless_it_is_allowed(
    caller: Caller, valkey: str, database: str
) -> None:
    """A hold would last an hour longer than it says. The error has the reason, and a setting is the way out."""
    await caller.create_sale()
    ahead_ms = round(time.time() * 1000) + 3_600_000
    async with Redis.from_url(valkey) as redis:
        for shard in range(SHARDS):
            await redis.hset(shard_keys(shard).meta, "time", str(ahead_ms))

    refused = await error_of(caller.reserve("r-1"))
    async with running_server(valkey, database, max_clock_ahead_s=7200) as address, calling(address) as allowed:
        held = await allowed.reserve("r-1")

    assert (refused.code, refused.reason, refused.retries) == (grpc.StatusCode.UNAVAILABLE, "SHARD_NOT_SERVING", True)
    assert "the shard's last commit is dated 3" in refused.metadata["clock"]
    assert held.read_time.ToMilliseconds() == ahead_ms
