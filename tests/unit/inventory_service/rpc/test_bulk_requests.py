"""A batch and a message of a stream are the same to the pattern and to protobuf's parser, whatever their bytes are."""

from typing import Any

from holdfast.inventory.v1.inventory_service_pb2 import BatchReserveRequest, ReserveRequest, StreamReserveRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_service.rpc.bulk_requests import MAX_REQUESTS, PlainMessage, parse_batch, parse_message
from inventory_service.rpc.plain_requests import message_of
from tests.unit.inventory_service.rpc.test_plain_requests import ANY, PLAIN, USUAL, altered

BATCHES = st.builds(BatchReserveRequest, requests=st.lists(st.one_of(PLAIN, ANY), max_size=4))
NUMBERS = st.sampled_from([0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)])
MESSAGES = st.builds(StreamReserveRequest, correlation_id=NUMBERS, request=st.one_of(PLAIN, ANY))


@st.composite
def with_other_bytes(draw: st.DrawFn, messages: "st.SearchStrategy[Any]") -> bytes:
    """A message's bytes, with some of them replaced."""
    raw: bytes = draw(messages).SerializeToString()
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(st.binary(max_size=2)) + raw[at + draw(st.integers(0, 2)) :]


def parsed(parse: Any, raw: bytes) -> Any:
    """None: the bytes do not parse."""
    try:
        return parse(raw)
    except Exception:  # noqa: BLE001  (as protobuf raises for these bytes)
        return None


@given(raw=st.one_of(BATCHES.map(BatchReserveRequest.SerializeToString), with_other_bytes(BATCHES)))
@settings(max_examples=150)
def test_a_batch_has_the_requests_that_the_parser_finds(raw: bytes) -> None:
    """And what else it has is kept, so that an unknown field of the batch still fails it."""
    batch, message = parsed(parse_batch, raw), parsed(BatchReserveRequest.FromString, raw)

    if isinstance(batch, list):
        batch = BatchReserveRequest(requests=map(message_of, batch))
    assert batch == message


@given(raw=st.one_of(MESSAGES.map(StreamReserveRequest.SerializeToString), with_other_bytes(MESSAGES), altered()))
@settings(max_examples=150)
def test_a_message_has_the_number_and_the_request_that_the_parser_finds(raw: bytes) -> None:
    """The number stays the field that it came as, which the answer has too."""
    found, message = parsed(parse_message, raw), parsed(StreamReserveRequest.FromString, raw)

    if isinstance(found, PlainMessage):
        assert found.number == StreamReserveRequest(correlation_id=message.correlation_id).SerializeToString()
        found = StreamReserveRequest(correlation_id=message.correlation_id, request=message_of(found.request))
    assert found == message


@given(request=PLAIN, number=NUMBERS.filter(lambda number: number >= 0))
@settings(max_examples=25)
def test_usual_requests_go_the_fast_way(request: ReserveRequest, number: int) -> None:
    """In batches up to the largest, and on streams."""
    batch = parse_batch(BatchReserveRequest(requests=[request] * MAX_REQUESTS).SerializeToString())
    message = parse_message(StreamReserveRequest(correlation_id=number, request=request).SerializeToString())

    assert isinstance(batch, list)
    assert len(batch) == MAX_REQUESTS
    assert not any(isinstance(each, ReserveRequest) for each in batch)
    assert isinstance(message, PlainMessage)


def test_a_batch_that_is_too_large_is_not_parsed_request_by_request() -> None:
    """It may be of a million; the call fails for their number."""
    batch = BatchReserveRequest(requests=[USUAL] * (MAX_REQUESTS + 1))

    assert parse_batch(batch.SerializeToString()) == batch
