"""Responses that are serialized by hand equal the serialized messages."""

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Reservation, Units
from inventory_service.domain.results import Granted, Rejected, Shortage
from inventory_service.rpc.messages import reserve_response
from inventory_service.rpc.response_bytes import response_bytes

LONGEST = "x" * 64


def request(*lines: Line, name: str = "r-1") -> calls.ReserveRequest:
    return calls.ReserveRequest(sale_id="lamp-sale", reservation_id=name, buyer_id="b-1", lines=lines)


def granted(request: calls.ReserveRequest, position: Position, now_ms: int = 1_795_000_000_123) -> Granted:
    reservation = Reservation(
        SaleKey("default", request.sale_id),
        request.reservation_id,
        request.buyer_id,
        tuple(Units(line.sku, line.quantity, 0, 0) for line in request.lines),
        1,
        1,
        now_ms,
        now_ms,
        now_ms + 600_000,
        position,
        position,
        1,
        0,
        "",
    )
    return Granted(reservation, replayed=False, read_time_ms=now_ms)


@pytest.mark.parametrize("name", ["r", LONGEST])
@pytest.mark.parametrize("sku", ["lamp", LONGEST])
@pytest.mark.parametrize("quantity", [1, 127, 128, 1000])
@pytest.mark.parametrize(
    "position",
    [Position(0, 1, 1, 0), Position(15, 1, 300, 1), Position(1023, 2**31, 2**50, 127), Position(0, 1, 1, 227)],
)
def test_bytes_equal_the_serialized_message(name: str, sku: str, quantity: int, position: Position) -> None:
    """A change of messages.py needs the same change in response_bytes.py."""
    sent = request(Line(sku=sku, quantity=quantity), name=name)
    result = granted(sent, position)

    assert calls.ReserveResponse.FromString(response_bytes(sent, result)) == reserve_response(result)


def test_other_responses_are_serialized_from_their_messages() -> None:
    """Several lines, a `hold_ttl`, a `reference`, repeats and purchases."""
    line = Line(sku="lamp", quantity=1)
    plain, two, timed, referring = request(line), request(line, line), request(line), request(line)
    timed.hold_ttl.seconds, referring.reference = 5, "cart-7"
    new = granted(plain, Position(0, 1, 1, 0))
    held_two = new._replace(reservation=new.reservation._replace(lines=(Units("lamp", 2, 0, 0),)))
    bought = new._replace(reservation=new.reservation._replace(state=2, expire_time_ms=0))

    referred = new._replace(reservation=new.reservation._replace(reference="cart-7"))

    for sent, result in (
        (two, held_two),
        (timed, new),
        (referring, referred),
        (plain, new._replace(replayed=True)),
        (plain, bought),
    ):
        assert calls.ReserveResponse.FromString(response_bytes(sent, result)) == reserve_response(result)


def test_different_rejections_have_different_bytes() -> None:
    """The cache must not return the bytes of another rejection."""
    first = Rejected(1, Position(0, 1, 9, 0), 1000, (Shortage("lamp", 1, 0, 3),), retry_after_ms=5)
    for verdict in (first, first._replace(read_time_ms=1001), first._replace(retry_after_ms=None), first):
        answer = calls.ReserveResponse.FromString(response_bytes(request(), verdict))
        assert answer == reserve_response(verdict)
