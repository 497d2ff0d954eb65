"""Serializes the most frequent responses of Reserve, in a tenth of the time that filling their messages takes.

A new hold: fields 1 to 4 of a ReserveRequest and of a Reservation are alike on the wire, so the reservation is the
request's own bytes with a tail. A rejection: it is the same for all requests that one script call rejected, so it is
serialized once and cached. A test compares both with the messages that messages.py makes.
"""

from functools import lru_cache

from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Position, ReservationState

from inventory_service.domain.reservation import Reservation
from inventory_service.domain.results import Granted, Rejected
from inventory_service.rpc.messages import reserve_response

_HELD = ReservationState.RESERVATION_STATE_HELD
_RESERVATION_TAG = b"\x0a"  # ReserveResponse.reservation
_POSITION_TAG = b"\x52"  # Reservation.position
_INDEX_TAG = b"\x20"  # Position.index
_MAX_EVENTS = 228
_CACHED = 256  # timestamps and rejections: a script call has one of each, or a few


def response_bytes(request: calls.ReserveRequest, result: Granted | Rejected) -> bytes:
    """The serialized ReserveResponse, by the fastest way. The request must have no unknown fields."""
    if isinstance(result, Rejected):
        return _rejection(result)
    if _is_plain_hold(request, result):
        return _hold(request, result)
    return reserve_response(result).SerializeToString()


def _is_plain_hold(request: calls.ReserveRequest, result: Granted) -> bool:
    """Whether the hold is new, with one line and no field beyond the four."""
    return (
        not result.replayed
        and result.reservation.state == _HELD
        and len(request.lines) == 1
        and not request.reference
        and not request.HasField("hold_ttl")
    )


def _hold(request: calls.ReserveRequest, result: Granted) -> bytes:
    held = result.reservation
    reservation = request.SerializeToString() + _tail(held)
    return b"".join((_RESERVATION_TAG, varint(len(reservation)), reservation, _read_time(result.read_time_ms)))


def _tail(held: Reservation) -> bytes:
    shard, epoch, seq, index = held.position
    position = _position(shard, epoch, seq) + _INDEX[index]
    moments = _timestamps(held.create_time_ms, held.expire_time_ms, held.ledger_state)
    return b"".join((moments, _POSITION_TAG, _LENGTH[len(position)], position))


def bytes_field(tag: bytes, content: bytes) -> bytes:
    """A message within a message."""
    return b"".join((tag, varint(len(content)), content))


def varint(value: int) -> bytes:
    """Protobuf's encoding of a number that is not negative."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_LENGTH = tuple(varint(length) for length in range(128))
_INDEX = (b"", *(_INDEX_TAG + varint(index) for index in range(1, _MAX_EVENTS)))


@lru_cache(maxsize=_CACHED)
def _timestamps(create_time_ms: int, expire_time_ms: int, ledger_state: int) -> bytes:
    held = calls.ReserveResponse().reservation
    held.state, held.revision = _HELD, 1
    held.ledger_state = ledger_state  # type: ignore[assignment]  # the domain keeps the enums' plain ints
    held.create_time.FromMilliseconds(create_time_ms)
    held.update_time.FromMilliseconds(create_time_ms)
    held.expire_time.FromMilliseconds(expire_time_ms)
    return held.SerializeToString()


@lru_cache(maxsize=_CACHED)
def _position(shard: int, epoch: int, seq: int) -> bytes:
    return Position(shard=shard, epoch=epoch, seq=seq).SerializeToString()


@lru_cache(maxsize=_CACHED)
def _read_time(milliseconds: int) -> bytes:
    response = calls.ReserveResponse()
    response.read_time.FromMilliseconds(milliseconds)
    return response.SerializeToString()


@lru_cache(maxsize=_CACHED)
def _rejection(result: Rejected) -> bytes:
    return reserve_response(result).SerializeToString()
