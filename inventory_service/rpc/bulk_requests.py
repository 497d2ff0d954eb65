"""Parses a BatchReserveRequest and a StreamReserveRequest: the requests in them as Reserve's are, by one pattern.

What has another shape than a client usually sends is parsed as any message. A test compares both ways.
"""

import re
from typing import NamedTuple, TypeAlias

from holdfast.inventory.v1.inventory_service_pb2 import BatchReserveRequest, StreamReserveRequest

from inventory_service.rpc.plain_requests import ParsedReserve, PlainRequest, as_plain, parse_reserve

MAX_REQUESTS = 500  # of a batch
ParsedBatch: TypeAlias = BatchReserveRequest | list[ParsedReserve]
_REQUESTS_TAG = 0x0A  # BatchReserveRequest.requests
# A number from 1 to 2^63 - 1 in its one shortest form, and a request that begins with its first field.
_MESSAGE = re.compile(
    rb"(\x08[\x80-\xff]{0,8}[\x01-\x7f])?\x12([\x00-\x7f]|[\x80-\xff][\x01-\x7f])(\n.*)", re.DOTALL
).fullmatch


class PlainMessage(NamedTuple):
    """A message of a stream whose request has the usual shape."""

    number: bytes  # its correlation_id, as the field of that in the answer; empty: 0
    request: PlainRequest


ParsedMessage: TypeAlias = StreamReserveRequest | PlainMessage


def parse_batch(raw: bytes) -> ParsedBatch:
    """The requests, or the message if it has anything beside them or too many. Raises as protobuf does."""
    try:
        parts = _parts(raw)
    except IndexError:  # it ends too early
        parts = None
    return BatchReserveRequest.FromString(raw) if parts is None else [parse_reserve(part) for part in parts]


def _parts(raw: bytes) -> list[bytes] | None:
    """The bytes of each request; None: not one by one, or more than a batch has."""
    parts: list[bytes] = []
    at, end = 0, len(raw)
    while at < end:
        length = raw[at + 1]
        begins = at + 2
        if length > 0x7F:
            if raw[begins] > 0x7F:
                return None
            length = length & 0x7F | raw[begins] << 7
            begins += 1
        if raw[at] != _REQUESTS_TAG or len(parts) == MAX_REQUESTS:
            return None
        at = begins + length
        parts.append(raw[begins:at])
    return parts if at == end else None


def parse_message(raw: bytes) -> ParsedMessage:
    """The number and the request, or the message if that is not of the usual shape. Raises as protobuf does."""
    match = _MESSAGE(raw)
    if match is not None:
        number, length, request = match.groups(b"")
        size = length[0] if len(length) == 1 else length[0] & 0x7F | length[1] << 7
        if size == len(request) and (plain := as_plain(request)) is not None:
            return PlainMessage(number, plain)
    return StreamReserveRequest.FromString(raw)
