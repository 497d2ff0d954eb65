"""Serializes the responses of Reserve, the most frequent ones in a tenth of the time that filling a message takes.

A new hold: fields 1 to 4 of a ReserveRequest and of a Reservation are alike on the wire, so the reservation is the
request's own bytes with a tail. A rejection: it is the same for all requests that one script call rejected, so it is
serialized once and cached. A test compares both with the messages that messages.py makes.
"""

from functools import lru_cache
from typing import NamedTuple

from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_PENDING, Position, ReservationState

from inventory_service.domain.plain_reserve import CallMoment, PlainHold
from inventory_service.domain.results import Granted, Rejected
from inventory_service.rpc.messages import reserve_response

_HELD = ReservationState.RESERVATION_STATE_HELD
_RESERVATION_TAG = b"\x0a"  # ReserveResponse.reservation
_POSITION_TAG = b"\x52"  # Reservation.position
_INDEX_TAG = b"\x20"  # Position.index
_MAX_EVENTS = 228
_CACHED = 256  # the results of a script call share one moment, and one rejection or a few


def response_bytes(result: Granted | Rejected) -> bytes:
    """The serialized ReserveResponse of a result in its general form."""
    return rejection_bytes(result) if isinstance(result, Rejected) else reserve_response(result).SerializeToString()


def hold_bytes(request: bytes, hold: PlainHold) -> bytes:
    """The serialized ReserveResponse of a new hold. The request is that of one line, with fields 1 to 4 alone."""
    moment, index, expire_ms = hold
    moments, position, length, read_time = _shared_by_call(moment, expire_ms)
    in_commit = _INDEX[index]
    reservation = _LENGTH[len(request) + length + len(in_commit)]
    in_shard = _LENGTH[len(position) + len(in_commit)]
    return b"".join((_RESERVATION_TAG, reservation, request, moments, in_shard, position, in_commit, read_time))


@lru_cache(maxsize=_CACHED)
def rejection_bytes(result: Rejected) -> bytes:
    """The serialized ReserveResponse of a rejection."""
    return reserve_response(result).SerializeToString()


def varint(value: int) -> bytes:
    """Protobuf's encoding of a number that is not negative."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_LENGTH = tuple(varint(length) for length in range(512))  # a hold of one line has less than that
_INDEX = (b"", *(_INDEX_TAG + varint(index) for index in range(1, _MAX_EVENTS)))


class _SharedByCall(NamedTuple):
    """What the responses to all holds of one script call have in common, serialized."""

    moments: bytes  # the fields of the reservation up to the tag of its position
    position: bytes  # but for the index
    length: int  # of a reservation without the request and the index
    read_time: bytes


@lru_cache(maxsize=_CACHED)
def _shared_by_call(moment: CallMoment, expire_ms: int) -> _SharedByCall:
    shard, epoch, seq, now_ms = moment
    held = calls.ReserveResponse().reservation
    held.state, held.revision, held.ledger_state = _HELD, 1, LEDGER_STATE_PENDING
    held.create_time.FromMilliseconds(now_ms)
    held.update_time.FromMilliseconds(now_ms)
    held.expire_time.FromMilliseconds(expire_ms)
    moments = held.SerializeToString() + _POSITION_TAG
    position = Position(shard=shard, epoch=epoch, seq=seq).SerializeToString()
    read_at = calls.ReserveResponse()
    read_at.read_time.FromMilliseconds(now_ms)
    return _SharedByCall(moments, position, len(moments) + 1 + len(position), read_at.SerializeToString())
