"""The answer that is made of bytes says what the message says."""

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line

from inventory_service.domain.requests import Line as DomainLine
from inventory_service.domain.requests import Position, SaleKey
from inventory_service.domain.verdicts import Granted, Rejected, Reservation
from inventory_service.entrypoints.answers import reserve_response
from inventory_service.entrypoints.held_bytes import held_response, is_newly_held

LONGEST = "x" * 64


def request(*lines: Line, name: str = "r-1") -> calls.ReserveRequest:
    return calls.ReserveRequest(sale_id="lamp-sale", reservation_id=name, buyer_id="b-1", lines=lines)


def granted(asked: calls.ReserveRequest, position: Position, now_ms: int = 1_795_000_000_123) -> Granted:
    reservation = Reservation(
        SaleKey("default", asked.sale_id),
        asked.reservation_id,
        asked.buyer_id,
        tuple(DomainLine(line.sku, line.quantity) for line in asked.lines),
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
def test_bytes_and_message_say_the_same(name: str, sku: str, quantity: int, position: Position) -> None:
    """Whoever changes the one must change the other."""
    asked = request(Line(sku=sku, quantity=quantity), name=name)
    verdict = granted(asked, position)

    assert is_newly_held(asked, verdict)
    assert calls.ReserveResponse.FromString(held_response(asked, verdict)) == reserve_response(verdict)


def test_only_the_plain_case_is_made_of_bytes() -> None:
    """Lines to sum or sort, a time that was asked for, repeats and rejections are left to the messages."""
    plain = request(Line(sku="lamp", quantity=1))
    verdict = granted(plain, Position(0, 1, 1, 0))
    two = request(Line(sku="lamp", quantity=1), Line(sku="lamp", quantity=1))
    timed = request(Line(sku="lamp", quantity=1))
    timed.hold_ttl.seconds = 5

    assert not is_newly_held(two, verdict)
    assert not is_newly_held(timed, verdict)
    assert not is_newly_held(plain, verdict._replace(replayed=True))
    assert not is_newly_held(plain, verdict._replace(reservation=verdict.reservation._replace(state=2)))
    assert not is_newly_held(plain, Rejected(1, Position(0, 1, 1, 0), 1))
