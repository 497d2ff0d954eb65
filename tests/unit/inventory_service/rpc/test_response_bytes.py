"""Responses that are serialized by hand say what the serialized messages say."""

import itertools

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.plain_reserve import CallMoment, PlainHold
from inventory_service.domain.reservation import Reservation, Units
from inventory_service.domain.results import Granted, Rejected, Shortage
from inventory_service.rpc.messages import reserve_response
from inventory_service.rpc.response_bytes import hold_bytes, response_bytes

LONGEST = "x" * 64
NOW_MS, TTL_MS = 1_795_000_000_123, 600_000
POSITIONS = [Position(0, 1, 1, 0), Position(15, 1, 300, 1), Position(1023, 2**31, 2**50, 127), Position(0, 1, 1, 227)]


def granted(name: str, sku: str, quantity: int, position: Position) -> Granted:
    """A new hold in its general form."""
    times = NOW_MS, NOW_MS, NOW_MS + TTL_MS
    units = (Units(sku, quantity, 0, 0),)
    sale = SaleKey("default", "lamp-sale")
    return Granted(Reservation(sale, name, "b-1", units, 1, 1, *times, position, position, 1, 0, ""), False, NOW_MS)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_new_hold_is_what_its_message_is(position: Position) -> None:
    """A change of messages.py needs the same change in response_bytes.py."""
    for name, sku, quantity in itertools.product(["r", LONGEST], ["lamp", LONGEST], [1, 127, 128, 1000]):
        assert_is_its_message(name, sku, quantity, position)


def assert_is_its_message(name: str, sku: str, quantity: int, position: Position) -> None:
    """A new hold."""
    lines = [Line(sku=sku, quantity=quantity)]
    request = calls.ReserveRequest(sale_id="lamp-sale", reservation_id=name, buyer_id="b-1", lines=lines)
    shard, epoch, seq, index = position

    sent = hold_bytes(
        request.SerializeToString(), PlainHold(CallMoment(shard, epoch, seq, NOW_MS), index, NOW_MS + TTL_MS)
    )

    assert calls.ReserveResponse.FromString(sent) == reserve_response(granted(name, sku, quantity, position))


def test_different_rejections_have_different_bytes() -> None:
    """The cache must not return the bytes of another rejection."""
    first = Rejected(1, Position(0, 1, 9, 0), 1000, (Shortage("lamp", 1, 0, 3),), retry_after_ms=5)
    for rejected in (first, first._replace(read_time_ms=1001), first._replace(retry_after_ms=None), first):
        assert calls.ReserveResponse.FromString(response_bytes(rejected)) == reserve_response(rejected)
