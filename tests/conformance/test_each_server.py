"""What takes time, comes in streams or is of gRPC itself: the server for tests and a real one do the same."""

import itertools
import os
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import (
    LEDGER_STATE_PENDING,
    REJECTION_REASON_RESERVATION_ENDED,
    REJECTION_REASON_SALE_NOT_STARTED,
    RESERVATION_STATE_EXPIRED,
    RESERVATION_STATE_HELD,
    RESERVATION_STATE_RELEASED,
)
from holdfast.inventory.v1.sale_pb2 import Item

from tests.conformance.servers import ServerUnderTest, ask
from tests.inventory_server import call_error, error_of, reserve_request, status_error
from tests.methods import METHODS
from tests.waiting import eventually

WAITS_S = (1, 5, 25)  # short enough to wait for, and longer where a machine needs longer for two calls
_numbers = itertools.count()


@pytest.fixture
def sale_id() -> str:
    """That no other test has used."""
    return f"c{os.getpid()}-{next(_numbers)}"


async def test_a_sale_starts_in_time(server: ServerUnderTest, sale_id: str) -> None:
    """Before, it says how long that is to be waited for."""
    for wait_s in WAITS_S:
        now, later = await read_time(server, f"{sale_id}-{wait_s}"), f"{sale_id}-{wait_s}-later"
        start_time = now + timedelta(seconds=wait_s)
        await server.caller.create_sale(later, start_time=start_time)
        early = await server.caller.reserve("r-1", sale_id=later)
        if early.HasField("rejection"):
            break
    await server.pass_time(timedelta(seconds=wait_s + 0.05))
    started = await server.caller.reserve("r-1", sale_id=later)

    assert early.rejection.reason == REJECTION_REASON_SALE_NOT_STARTED
    assert timedelta(0) < early.rejection.retry_after.ToTimedelta() <= timedelta(seconds=wait_s)
    assert started.HasField("reservation")


async def test_time_ends_a_hold(server: ServerUnderTest, sale_id: str) -> None:
    """One that ran out is EXPIRED in every answer, its unit is free, and its id is used up."""
    for wait_s in WAITS_S:
        sale = f"{sale_id}-{wait_s}"
        await server.caller.create_sale(sale, units=1, hold_ttl=timedelta(seconds=wait_s))
        await server.caller.reserve("r-1", sale_id=sale)
        request = calls.WatchReservationRequest(sale_id=sale, reservation_id="r-1")
        watch = aiter(server.caller.stock.WatchReservation(request))
        first = await anext(watch)
        if first.reservation.state == RESERVATION_STATE_HELD:
            break
    await server.pass_time(timedelta(seconds=wait_s + 0.05))
    rest = [message async for message in watch]
    again = await server.caller.reserve("r-1", sale_id=sale)
    other = await server.caller.reserve("r-2", sale_id=sale)

    assert first.reservation.state == RESERVATION_STATE_HELD
    assert rest[-1].reservation.state == RESERVATION_STATE_EXPIRED
    assert rest[-1].reservation.ledger_state != LEDGER_STATE_PENDING
    assert again.rejection.reason == REJECTION_REASON_RESERVATION_ENDED
    assert other.HasField("reservation")


async def read_time(server: ServerUnderTest, sale_id: str) -> datetime:
    """The server's clock."""
    await server.caller.create_sale(sale_id)
    return (await server.caller.stock.GetSale(calls.GetSaleRequest(sale_id=sale_id))).read_time.ToDatetime()


async def test_a_watch_of_a_sale_begins_with_the_whole_and_ends_with_it(server: ServerUnderTest, sale_id: str) -> None:
    """In between it has the items that changed; it ends OK once the sale is closed and nothing is held."""
    items = [Item(sku="lamp", total=5), Item(sku="bulb", total=5)]
    await server.caller.create_sale(sale_id, items=items)
    watch = aiter(server.caller.stock.WatchSale(calls.WatchSaleRequest(sale_id=sale_id)))

    first = await anext(watch)
    await server.caller.reserve("r-1", sale_id=sale_id)
    second = await anext(watch)
    await server.caller.admin.CloseSale(admin.CloseSaleRequest(sale_id=sale_id, release_holds=True))
    last = [message async for message in watch][-1]
    released = calls.GetReservationRequest(sale_id=sale_id, reservation_id="r-1")

    assert (first.snapshot, [item.sku for item in first.sale.items]) == (True, ["bulb", "lamp"])
    assert (second.snapshot, [(item.sku, item.held) for item in second.sale.items]) == (False, [("lamp", 1)])
    assert (last.snapshot, sum(item.held for item in last.sale.items)) == (True, 0)
    assert (await server.caller.stock.GetReservation(released)).reservation.state == RESERVATION_STATE_RELEASED


async def test_a_stream_answers_every_message_and_then_ends(server: ServerUnderTest, sale_id: str) -> None:
    """More messages than the window holds, for fewer units than are asked for; the same again are replayed."""
    await server.caller.create_sale(sale_id, units=10)
    requests = [
        calls.StreamReserveRequest(correlation_id=number, request=reserve_request(f"r-{number}", sale_id=sale_id))
        for number in range(300)
    ]

    first = await ask(server, "StreamReserve", *(request.SerializeToString() for request in requests))
    again = await ask(server, "StreamReserve", *(request.SerializeToString() for request in requests[:10]))

    assert sorted(answer.correlation_id for answer in first) == list(range(300))
    held = {answer.correlation_id for answer in first if answer.result.response.HasField("reservation")}
    assert len(held) == 10
    assert {answer.correlation_id for answer in again if answer.result.response.replayed} == held & set(range(10))


async def test_a_batch_answers_in_its_order(server: ServerUnderTest, sale_id: str) -> None:
    """Equal requests have one answer, and of two with one id and other bodies the second is refused."""
    await server.caller.create_sale(sale_id, units=10)
    one, other = (reserve_request("r-1", quantity, sale_id) for quantity in (1, 2))
    request = calls.BatchReserveRequest(requests=[one, other, one, calls.ReserveRequest()])

    [answer] = await ask(server, "BatchReserve", request.SerializeToString())
    results = list(answer.results)
    empty = await error_of(server.caller.stock.BatchReserve(calls.BatchReserveRequest()))
    large = await error_of(server.caller.stock.BatchReserve(calls.BatchReserveRequest(requests=[one] * 501)))

    assert results[0] == results[2]
    assert results[0].response.reservation.lines[0].quantity == 1
    assert status_error(results[1].status).reason == "RESERVATION_ID_REUSED"
    assert status_error(results[3].status).fields == ["sale_id", "reservation_id", "buyer_id", "lines"]
    assert [(each.reason, each.fields) for each in (empty, large)] == [("FIELD_OUT_OF_BOUNDS", ["requests"])] * 2


async def test_lists_go_on_behind_what_they_told_last(server: ServerUnderTest, sale_id: str) -> None:
    """Newest first; a token is of one selection, and what was made before `complete_time` is there."""
    await server.caller.create_sale(sale_id, units=10)
    for number in range(5):
        await server.pass_time(timedelta(milliseconds=2))
        last = await server.caller.reserve(f"r-{number}", sale_id=sale_id)
    selection: Any = {"sale_id": sale_id, "page_size": 2}

    at_least = calls.ListReservationsRequest(**selection, at_least=last.reservation.position)
    pages = [await server.caller.stock.ListReservations(at_least)]
    while token := pages[-1].next_page_token:
        request = calls.ListReservationsRequest(**selection, page_token=token)
        pages.append(await server.caller.stock.ListReservations(request))
    elsewhere = calls.ListReservationsRequest(buyer_id="ann", page_token=pages[0].next_page_token)
    wrong = await error_of(server.caller.stock.ListReservations(elsewhere))

    ids = [reservation.reservation_id for page in pages for reservation in page.reservations]
    assert ids == [f"r-{number}" for number in reversed(range(5))]
    assert wrong.fields == ["page_token"]
    made_at = last.reservation.create_time.ToNanoseconds()
    assert pages[0].complete_time.ToNanoseconds() >= made_at


async def test_an_order_is_pending_and_then_recorded(server: ServerUnderTest, sale_id: str) -> None:
    """Its watch ends with that, once it is sold."""
    await server.caller.create_sale(sale_id)
    name: Any = {"sale_id": sale_id, "reservation_id": "r-1"}
    made = await server.caller.reserve("r-1", sale_id=sale_id)
    sold = await server.caller.stock.ConfirmReservation(calls.ConfirmReservationRequest(**name))

    watch = server.caller.stock.WatchReservation(calls.WatchReservationRequest(**name))
    *_, last = [message async for message in watch]

    assert made.reservation.ledger_state == sold.reservation.ledger_state == LEDGER_STATE_PENDING
    assert last.reservation.ledger_state != LEDGER_STATE_PENDING
    assert last.reservation.revision == sold.reservation.revision == 2


async def test_what_is_of_grpc_itself(server: ServerUnderTest) -> None:
    """Unknown methods, requests that are too large, health, and reflection."""
    channel: Any = server.caller.channel
    health: Any = health_pb2_grpc.HealthStub(channel)
    names = ["", *{method.containing_service.full_name for method in METHODS.values()}, "liveness"]

    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await channel.unary_unary("/holdfast.inventory.v1.InventoryService/Buy")(b"")
    with pytest.raises(grpc.aio.AioRpcError) as large:
        await channel.unary_unary("/holdfast.inventory.v1.InventoryService/Reserve")(b"x" * (5 * 1024 * 1024))
    with pytest.raises(grpc.aio.AioRpcError) as unreadable:
        await channel.unary_unary("/holdfast.inventory.v1.InventoryService/Reserve")(b"\xff\xff")

    async def all_serve() -> bool:
        """Each is SERVING; none is for a moment where Redis was halted for seconds."""
        states = [(await health.Check(health_pb2.HealthCheckRequest(service=name))).status for name in names]
        return set(states) == {health_pb2.HealthCheckResponse.SERVING}

    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call_error(unreadable.value).reason == "UNREADABLE"
    await eventually(all_serve)
    assert set(names) - {"", "liveness"} <= await _reflected(channel)


async def _reflected(channel: Any) -> set[str]:
    """The services that reflection names."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    return {service.name for service in answer.list_services_response.service}
