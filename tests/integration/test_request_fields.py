"""What the server does with each field of each request: it uses it, or fails the call; it never ignores it in silence.

The calls and fields come from the descriptors, so a field that is added to the protos is in the tests at once.
"""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import status_pb2
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from inventory_service.rpc.calls.sales import UPDATABLE
from tests.inventory_server import Caller, CallError, call_error, error_of, first_answer_to, status_error
from tests.methods import METHODS

STUBS = {"InventoryService": InventoryServiceStub, "InventoryAdminService": InventoryAdminServiceStub}
WAIT_S = 4.0  # a list may wait for half of it until the ledger has a commit, which it never gets here
UNKNOWN = b"\xf8\x07\x01"  # field 127, a number
LEAVES = ("google.protobuf.Duration", "google.protobuf.Timestamp")
RESERVE = calls.ReserveRequest(
    sale_id="lamp-sale", reservation_id="r-1", buyer_id="ada", lines=[Line(sku="lamp", quantity=1)]
)
# A valid request of each call.
VALID: dict[str, Message] = {
    "Reserve": RESERVE,
    "BatchReserve": calls.BatchReserveRequest(requests=[RESERVE]),
    "StreamReserve": calls.StreamReserveRequest(request=RESERVE),
    "ConfirmReservation": calls.ConfirmReservationRequest(
        sale_id="lamp-sale", reservation_id="r-1", partial={"lines": [Line(sku="lamp", quantity=1)]}
    ),
    "ReleaseReservation": calls.ReleaseReservationRequest(sale_id="lamp-sale", reservation_id="r-1"),
    "ExtendReservation": calls.ExtendReservationRequest(
        sale_id="lamp-sale", reservation_id="r-1", hold_ttl=Duration(seconds=60)
    ),
    "ChangeReservation": calls.ChangeReservationRequest(
        sale_id="lamp-sale", reservation_id="r-1", lines=[Line(sku="lamp", quantity=1)]
    ),
    "ReturnReservation": calls.ReturnReservationRequest(
        sale_id="lamp-sale", reservation_id="r-1", reason="broken", lines=[Line(sku="lamp", quantity=1)]
    ),
    "GetReservation": calls.GetReservationRequest(sale_id="lamp-sale", reservation_id="r-1"),
    "GetSale": calls.GetSaleRequest(sale_id="lamp-sale"),
    "WatchReservation": calls.WatchReservationRequest(sale_id="lamp-sale", reservation_id="r-1"),
    "WatchSale": calls.WatchSaleRequest(sale_id="lamp-sale"),
    "ListReservations": calls.ListReservationsRequest(sale_id="lamp-sale", states=["RESERVATION_STATE_HELD"]),
    "CreateSale": admin.CreateSaleRequest(sale=Sale(sale_id="new-sale", items=[Item(sku="lamp", total=1)])),
    "UpdateSale": admin.UpdateSaleRequest(
        sale=Sale(sale_id="lamp-sale", items=[Item(sku="lamp", total=1)]), update_mask={"paths": UPDATABLE}
    ),
    "ListSales": admin.ListSalesRequest(states=["SALE_STATE_OPEN"]),
    "PauseSale": admin.PauseSaleRequest(sale_id="lamp-sale"),
    "ResumeSale": admin.ResumeSaleRequest(sale_id="lamp-sale"),
    "CloseSale": admin.CloseSaleRequest(sale_id="lamp-sale"),
    "AdjustStock": admin.AdjustStockRequest(
        sale_id="lamp-sale", sku="lamp", adjustment_id="a-1", delta=1, reason="found"
    ),
    "ListAdjustments": admin.ListAdjustmentsRequest(sale_id="lamp-sale"),
    "ListDeadLetters": admin.ListDeadLettersRequest(states=["DEAD_LETTER_STATE_OPEN"]),
    "AuditSale": admin.AuditSaleRequest(sale_id="lamp-sale"),
    "ReplayDeadLetter": admin.ReplayDeadLetterRequest(dead_letter_id="0-1-1-0", reservation_id="r-2"),
    "BlockBuyer": admin.BlockBuyerRequest(buyer_id="bob", reason="fraud"),
    "UnblockBuyer": admin.UnblockBuyerRequest(buyer_id="bob"),
    "ListBlockedBuyers": admin.ListBlockedBuyersRequest(),
    "RevokeTokens": admin.RevokeTokensRequest(subject_tokens={"subject": "ada"}, reason="left"),
}
SETTINGS = {
    "sale",
    *(f"sale.{name}" for name in ("sale_id", "title", "start_time", "end_time", "hold_ttl", "max_hold_ttl")),
    *("sale.buyer_limit", "sale.attempts_per_minute", "sale.return_window"),
    *("sale.items", "sale.items[0].sku", "sale.items[0].total", "sale.items[0].buyer_limit"),
}
MOVE = ("sale_id", "reservation_id", "expected_revision")
LINES = ("lines", "lines[0].sku", "lines[0].quantity")
PAGE = ("page_size", "page_token")
CLAIM = ("sale_id", "reservation_id", "buyer_id", "hold_ttl", "reference", *LINES)
# The fields that these calls use; every other one is UNIMPLEMENTED where it is set.
USED = {
    "Reserve": {*CLAIM},
    "BatchReserve": {"requests", *(f"requests[0].{name}" for name in CLAIM)},
    "StreamReserve": {"correlation_id", "request", *(f"request.{name}" for name in CLAIM)},
    "ConfirmReservation": {*MOVE, "partial", *(f"partial.{name}" for name in LINES)},
    "ReleaseReservation": {*MOVE, "reason", "spend_id"},
    "ExtendReservation": {*MOVE, "hold_ttl"},
    "ChangeReservation": {*MOVE, *LINES},
    "ReturnReservation": {*MOVE, "reason", "discard", *LINES},
    "GetReservation": {"sale_id", "reservation_id"},
    "GetSale": {"sale_id"},
    "WatchReservation": {"sale_id", "reservation_id"},
    "WatchSale": {"sale_id"},
    "ListReservations": {"buyer_id", "sale_id", "states", "reference", "at_least", *PAGE},
    "CreateSale": SETTINGS,
    "UpdateSale": {*SETTINGS, "sale.etag", "update_mask", "update_mask.paths"},
    "ListSales": {"states", *PAGE},
    "PauseSale": {"sale_id", "etag", "reason"},
    "ResumeSale": {"sale_id", "etag", "reason"},
    "CloseSale": {"sale_id", "etag", "reason", "release_holds"},
    "AdjustStock": {
        *("sale_id", "sku", "adjustment_id", "delta", "new_total", "expected_total", "reason", "reference"),
    },
    "ListAdjustments": {"sale_id", "sku", *PAGE},
    "ListDeadLetters": {"sale_id", "states", *PAGE},
    "AuditSale": {"sale_id"},
    "ReplayDeadLetter": {"dead_letter_id", "reservation_id"},
    "BlockBuyer": {"buyer_id", "reason"},
    "UnblockBuyer": {"buyer_id"},
    "ListBlockedBuyers": {*PAGE},
    "RevokeTokens": {"jti", "subject_tokens", "subject_tokens.subject", "subject_tokens.issued_before", "reason"},
}
# The fields whose comment says "Output only".
IGNORED = {
    *(f"sale.{name}" for name in ("state", "etag", "create_time", "update_time", "paused", "close_time")),
    *(f"sale.items[0].{name}" for name in ("available", "held", "sold")),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
async def test_a_field_that_is_set_is_used_or_unimplemented(caller: Caller, method: MethodDescriptor) -> None:
    """A caller that asks for half must not get everything."""
    await caller.create_sale()
    fields = dict(_requests_with_each_field(VALID[method.name]))

    ignored = [field for field, request in fields.items() if not await _is_answered_for(caller, method, field, request)]

    assert USED[method.name] <= fields.keys()
    assert set(ignored) == USED[method.name] | IGNORED & fields.keys()


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
async def test_an_unknown_field_fails_a_change_and_not_a_read(caller: Caller, method: MethodDescriptor) -> None:
    """At any depth: a change must not lose a field's meaning, and a read cannot do less than it was asked for.

    Of many requests, it fails the one that has it.
    """
    await caller.create_sale()
    await caller.reserve("r-1")
    is_read = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS

    for request in _requests_with_an_unknown_field(VALID[method.name]):
        if method.name == "AuditSale":  # which this ledger, without shards, cannot answer
            assert (await error_of(_first_answer(caller, method, request))).reason == "SHARD_NOT_SERVING"
        elif is_read:
            await _first_answer(caller, method, request)
        else:
            error = await _error(caller, method, request)
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_FIELD")


async def _error(caller: Caller, method: MethodDescriptor, request: Message) -> CallError:
    """The error of a call, or of the one request in it."""
    try:
        answer = await _first_answer(caller, method, request)
    except grpc.aio.AioRpcError as error:
        return call_error(error)
    (status,) = statuses_in(answer)
    return status_error(status)


def statuses_in(answer: Any) -> list[status_pb2.Status]:
    """Those of the requests of a call that could not be judged."""
    if isinstance(answer, calls.StreamReserveResponse):
        results = [answer.result]
    else:
        results = list(answer.results) if isinstance(answer, calls.BatchReserveResponse) else []
    return [result.status for result in results if result.HasField("status")]


async def _is_answered_for(caller: Caller, method: MethodDescriptor, field: str, request: Message) -> bool:
    """Whether a request is UNIMPLEMENTED because of this field; False if it is judged."""
    try:
        await _first_answer(caller, method, request)
    except grpc.aio.AioRpcError as failed:
        if failed.code() is not grpc.StatusCode.UNIMPLEMENTED:
            return False
        error = await error_of(_first_answer(caller, method, request))
        assert (error.reason, error.metadata) == ("NOT_VALID", {"field": field})
        return True
    return False


async def _first_answer(caller: Caller, method: MethodDescriptor, request: Message) -> Any:
    """Call a method of any kind, and wait for its first answer."""
    call = getattr(STUBS[method.containing_service.name](caller.channel), method.name)
    if method.client_streaming:
        return await first_answer_to(call, request)
    if method.server_streaming:
        return await call(request).read()
    waits = "at_least" in {field.name for field, _ in request.ListFields()}
    return await call(request, timeout=WAIT_S if waits else None)


def _requests_with_each_field(request: Message) -> Iterator[tuple[str, Message]]:
    """The path of every field of a valid request, at any depth, and the request with it set as well."""
    for path, setting in _settings(request, ""):
        copy = type(request)()
        copy.CopyFrom(request)
        setting(copy)
        yield path, copy


def _requests_with_an_unknown_field(request: Message) -> Iterator[Message]:
    """The request with a field that no server knows: at its top, and in each of the messages below."""
    for path in ([], *_messages_below(request)):
        copy: Any = type(request)()
        copy.CopyFrom(request)
        below = copy
        for field in path:
            below = _child(below, field)
        below.MergeFromString(UNKNOWN)
        yield copy


def _messages_below(message: Message) -> Iterator[list[Any]]:
    """The fields that lead to each message below, of lists the first."""
    for field, _ in message.ListFields():
        if field.message_type is not None:
            yield [field]
            yield from ([field, *rest] for rest in _messages_below(_child(message, field)))


def _settings(message: Message, prefix: str) -> Iterator[tuple[str, Any]]:
    """The path of every field below a message, and a function that sets it below an equal message."""
    for field in message.DESCRIPTOR.fields:
        path = f"{prefix}{field.name}"
        yield path, lambda parent, field=field: _set(parent, field)
        if field.message_type is None or field.message_type.full_name in LEAVES:
            continue
        for inner_path, set_inner in _inner_settings(message, field, path):
            yield inner_path, lambda parent, field=field, set_inner=set_inner: set_inner(_child(parent, field))


def _inner_settings(message: Message, field: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The fields below a field that the valid request has; below any other, the field itself is UNIMPLEMENTED."""
    if field.is_repeated:
        if len(getattr(message, field.name)):
            yield from _settings(_child(message, field), f"{path}[0].")
    elif message.HasField(field.name):
        yield from _settings(_child(message, field), f"{path}.")


def _child(parent: Any, field: Any) -> Any:
    value = getattr(parent, field.name)
    return value[0] if field.is_repeated else value


def _set(parent: Any, field: Any) -> None:
    """Set a field within its bounds, unless it is set; a message with all of its fields."""
    if field.is_repeated:
        if not getattr(parent, field.name):
            _fill(getattr(parent, field.name).add())
    elif field.message_type is not None:
        if not parent.HasField(field.name):
            _fill(getattr(parent, field.name))
    elif not getattr(parent, field.name):
        setattr(parent, field.name, "x" if field.type == field.TYPE_STRING else 1)


def _fill(message: Any) -> None:
    if message.DESCRIPTOR.full_name in LEAVES:
        message.seconds = message.seconds or 1
        return
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None or field.is_repeated:
            _set(message, field)
