"""Parses the usual ReserveRequest by one pattern over its bytes, which is its validation too.

The usual request has one line, no `hold_ttl` and no `reference`, its fields in their order, and each of them is valid.
Whatever does not match is parsed as any message, so its errors are those of every request. docs/decisions/hot-path.md
has what it saves; a test compares both ways on requests of every kind.
"""

import re
from functools import lru_cache
from re import Match
from typing import TypeAlias

from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.plain_reserve import PlainReserve
from inventory_service.rpc.response_bytes import varint
from inventory_service.rpc.validation import MAX_QUANTITY

PlainRequest: TypeAlias = Match[bytes]  # its groups are the fields, of ids with the byte of their length; see _PLAIN
ParsedReserve: TypeAlias = ReserveRequest | PlainRequest

_ID = rb"(.[A-Za-z0-9._:-]{1,64})"  # its length and its characters; no tag below is one of these
_QUANTITY = rb"([\x01-\x7f]|[\x80-\xff][\x01-\x07])"  # a varint from 1 to 1,023, in its one shortest form
# Fields 1 to 4 of ReserveRequest, and in the last one fields 1 and 2 of Line.
_PLAIN = re.compile(rb"\n%b\x12%b\x1a%b\"(.)\n%b\x10%b" % (_ID, _ID, _ID, _ID, _QUANTITY), re.DOTALL).fullmatch


def parse_reserve(raw: bytes) -> ParsedReserve:
    """The request: a match if it is of the usual shape, else the message. Raises as protobuf does."""
    plain = as_plain(raw)
    return ReserveRequest.FromString(raw) if plain is None else plain


def as_plain(raw: bytes) -> PlainRequest | None:
    """The match of a request that is of the usual shape."""
    match = _PLAIN(raw)
    return match if match is not None and _is_sound(match) else None


def _is_sound(match: PlainRequest) -> bool:
    """Whether the lengths are those of the fields, and the quantity is within its bounds."""
    sale_id, reservation_id, buyer_id, line_length, sku, quantity = match.groups()
    return (
        sale_id[0] == len(sale_id) - 1
        and reservation_id[0] == len(reservation_id) - 1
        and buyer_id[0] == len(buyer_id) - 1
        and sku[0] == len(sku) - 1
        and line_length[0] == len(sku) + len(quantity) + 2
        and (len(quantity) == 1 or _quantity(quantity) <= MAX_QUANTITY)
    )


def _quantity(encoded: bytes) -> int:
    return encoded[0] if len(encoded) == 1 else encoded[0] & 0x7F | encoded[1] << 7


def plain_reserve(request: PlainRequest, tenant: str) -> PlainReserve:
    """What a tenant's request asks for.

    Fields 1 to 4 of the request are fields 2 to 5 of a Claim, whose first one is the tenant.
    """
    sale_id, reservation_id, buyer_id, line_length, sku, quantity = request.groups()
    sale, claimed = _sale(tenant, sale_id)
    terms, line = _line(line_length, sku, quantity)
    claim = b'%b\x1a%b"%b%b' % (claimed, reservation_id, buyer_id, line)
    return PlainReserve(sale, reservation_id[1:].decode(), buyer_id[1:] + terms, claim)


@lru_cache(maxsize=1024)
def _sale(tenant: str, sale_id: bytes) -> tuple[SaleKey, bytes]:
    """The sale, and fields 1 and 2 of its claims."""
    named = tenant.encode()
    return SaleKey(tenant, sale_id[1:].decode()), b"\n%b%b\x12%b" % (varint(len(named)), named, sale_id)


@lru_cache(maxsize=1024)
def _line(length: bytes, sku: bytes, quantity: bytes) -> tuple[bytes, bytes]:
    """What a fingerprint has of a line, and field 5 of its claims."""
    return b" - %b=%d" % (sku[1:], _quantity(quantity)), b"*%b\n%b\x10%b" % (length, sku, quantity)


def message_of(request: ParsedReserve) -> ReserveRequest:
    """The request as a message, whichever way it was parsed."""
    return request if isinstance(request, ReserveRequest) else ReserveRequest.FromString(request.string)
