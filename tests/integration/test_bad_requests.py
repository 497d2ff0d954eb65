"""Invalid requests: each fails with its reason, and nothing is changed."""

from typing import Any

import grpc
import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item

from tests.inventory_server import Caller, error_of

SERVICE = "/holdfast.inventory.v1.InventoryService"


async def raw_call(caller: Caller, method: str, sent: bytes) -> bytes:
    """Send bytes that no stub would send."""
    call: Any = caller.channel.unary_unary(f"{SERVICE}/{method}")
    answer: bytes = await call(sent)
    return answer


async def test_every_bad_field_is_named(caller: Caller) -> None:
    """In one error, so that a caller can correct them all at once."""
    error = await error_of(caller.stock.Reserve(calls.ReserveRequest(lines=[Line(sku="/", quantity=0)])))

    fields = ["sale_id", "reservation_id", "buyer_id", "lines[0].sku", "lines[0].quantity"]
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_OUT_OF_BOUNDS")
    assert (error.fields, error.metadata) == (fields, {"violations": "5"})


async def test_a_sale_that_starts_now_and_has_ended_has_an_invalid_end_time(caller: Caller) -> None:
    """As with an explicit start time: a sale that could never sell is a mistake."""
    error = await error_of(caller.create_sale(end_time={"seconds": 1}))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_OUT_OF_BOUNDS")
    assert (error.fields, error.metadata["violations"]) == (["sale.end_time"], "1")


async def test_hundreds_of_bad_fields_still_fit_a_status(caller: Caller) -> None:
    """Trailers are limited to 8 KiB; beyond that clients see arbitrary other statuses."""
    items = [Item(sku="/", total=-1) for _ in range(300)]

    error = await error_of(caller.admin.CreateSale(admin.CreateSaleRequest(sale={"sale_id": "s", "items": items})))

    assert (len(error.fields), error.metadata["violations"]) == (20, "600")


async def test_bytes_that_are_no_message_are_an_invalid_argument(caller: Caller) -> None:
    """gRPC's own status is UNKNOWN, after which a caller cannot know whether anything was done."""
    error = await error_of(raw_call(caller, "Reserve", b"\xff\xff\xff"))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNREADABLE")


async def test_a_message_over_4_mib_is_rejected(caller: Caller) -> None:
    """By gRPC itself, with its own status."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw_call(caller, "Reserve", b"\x0a" + bytes(4 * 1024 * 1024))

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
