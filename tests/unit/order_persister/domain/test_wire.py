"""protobuf's bytes, written field by field."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1.events_pb2 import ReservationFact, UnitsMoved

from order_persister.domain.wire import message_field, number_field, text_field, time_field


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -300, -(2**63)])
def test_a_number_is_written_as_protobuf_does(number: int) -> None:
    """Also one below zero, and zero."""
    assert number_field(2, number) == UnitsMoved(held=number).SerializeToString()


@pytest.mark.parametrize("text", ["", "lamp", "häuser", "x" * 200])
def test_a_text_is_written_as_protobuf_does(text: str) -> None:
    """Its length counts bytes."""
    assert text_field(1, text) == UnitsMoved(sku=text).SerializeToString()


@pytest.mark.parametrize("time_ms", [0, 1, 999, 1000, 1_700_000_000_123, -1])
def test_a_time_is_written_as_protobuf_does(time_ms: int) -> None:
    """In seconds and nanoseconds, which are never below zero."""
    time = Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 1_000_000)

    assert time_field(3, time_ms) == ReservationFact(time=time).SerializeToString()


def test_an_empty_message_is_written() -> None:
    """It is there, unlike one that was never set."""
    assert message_field(5, b"") == ReservationFact(reservation={}).SerializeToString()
