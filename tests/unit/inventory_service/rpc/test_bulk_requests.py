"""A batch and a message of a stream are the same to the pattern and to protobuf's parser, whatever their bytes are."""

from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.inventory_service_pb2 import BatchReserveRequest, ReserveRequest, StreamReserveRequest

from inventory_service.rpc.bulk_requests import MAX_REQUESTS, PlainMessage, parse_batch, parse_message
from inventory_service.rpc.plain_requests import message_of
from tests.unit.inventory_service.rpc.random_requests import altered, usual, usual_or_not, with_other_bytes
from tests.unit.inventory_service.rpc.test_plain_requests import USUAL

NUMBERS = [0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)]
LONG_FORMS = [b"\x00", b"\x80\x00", b"\x81\x00", b"\xff\x80\x00"]


def batches() -> Iterator[bytes]:
    """Of up to four requests, half of them with other bytes."""
    random = Random(1)
    for _ in range(5000):
        batch = BatchReserveRequest(requests=[usual_or_not(random) for _ in range(random.randint(0, 4))])
        yield from (batch.SerializeToString(), with_other_bytes(random, batch))


def messages() -> Iterator[bytes]:
    """Of streams, two thirds of them with other bytes; and some whose number is not in its shortest form."""
    yield from (b"\x08" + number + StreamReserveRequest(request=USUAL).SerializeToString() for number in LONG_FORMS)
    random = Random(1)
    for _ in range(5000):
        message = StreamReserveRequest(correlation_id=random.choice(NUMBERS), request=usual_or_not(random))
        yield from (message.SerializeToString(), with_other_bytes(random, message), altered(random))


def parsed(parse: Any, raw: bytes) -> Any:
    """What bytes are, or the error of those that do not parse."""
    try:
        return parse(raw)
    except DecodeError:
        return DecodeError


def test_a_batch_has_the_requests_that_the_parser_finds() -> None:
    """And what else it has is kept, so that an unknown field of the batch still fails it."""
    for raw in batches():
        batch, message = parsed(parse_batch, raw), parsed(BatchReserveRequest.FromString, raw)

        if isinstance(batch, list):
            batch = BatchReserveRequest(requests=map(message_of, batch))
        assert batch == message, raw


def test_a_message_has_the_number_and_the_request_that_the_parser_finds() -> None:
    """The number stays the field that it came as, which the answer has too."""
    for raw in messages():
        found, message = parsed(parse_message, raw), parsed(StreamReserveRequest.FromString, raw)

        if isinstance(found, PlainMessage):
            assert found.number == StreamReserveRequest(correlation_id=message.correlation_id).SerializeToString(), raw
            found = StreamReserveRequest(correlation_id=message.correlation_id, request=message_of(found.request))
        assert found == message, raw


def test_usual_requests_go_the_fast_way() -> None:
    """In batches up to the largest, and on streams."""
    requests = [usual(Random(seed)) for seed in range(MAX_REQUESTS)]
    numbered = [StreamReserveRequest(correlation_id=n, request=r) for r in requests[:50] for n in NUMBERS if n >= 0]

    batch = parse_batch(BatchReserveRequest(requests=requests).SerializeToString())
    read = [parse_message(message.SerializeToString()) for message in numbered]

    assert isinstance(batch, list)
    assert len(batch) == MAX_REQUESTS
    assert not any(isinstance(each, ReserveRequest) for each in batch)
    assert all(isinstance(message, PlainMessage) for message in read)


def test_a_batch_that_is_too_large_is_not_parsed_request_by_request() -> None:
    """It may be of a million; the call fails for their number."""
    batch = BatchReserveRequest(requests=[USUAL] * (MAX_REQUESTS + 1))

    assert parse_batch(batch.SerializeToString()) == batch
