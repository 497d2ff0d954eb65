"""The commonest answer, one line newly held, as bytes: made in a tenth of the time that filling the messages takes.

Fields 1 to 4 of a ReserveRequest and of a Reservation are alike on the wire, so the reservation is the request's own
bytes with a tail. A test compares the result with the message that answers.py makes.
"""

from functools import lru_cache

from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Position, ReservationState

from inventory_service.domain.verdicts import Granted, Rejected

_HELD = ReservationState.RESERVATION_STATE_HELD
_RESERVATION_TAG = b"\x0a"  # ReserveResponse.reservation
_POSITION_TAG = b"\x52"  # Reservation.position
_INDEX_TAG = b"\x20"  # Position.index
_MOST_EVENTS = 228


def is_newly_held(request: calls.ReserveRequest, verdict: Granted | Rejected) -> bool:
    """Whether `held_response` says all that is to be said: no lines to sum or sort, no field beyond the four."""
    return (
        type(verdict) is Granted
        and not verdict.replayed
        and verdict.reservation.state == _HELD
        and len(request.lines) == 1
        and not request.HasField("hold_ttl")
    )


def held_response(request: calls.ReserveRequest, verdict: Granted) -> bytes:
    """The serialized ReserveResponse. Unknown fields must have been refused before."""
    held = verdict.reservation
    epoch_seq = held.position[:3]
    position = _position(*epoch_seq) + _INDEX[held.position.index]
    reservation = b"".join(
        (
            request.SerializeToString(),
            _tail(held.create_time_ms, held.expire_time_ms, held.ledger_state),
            _POSITION_TAG,
            _LENGTH[len(position)],
            position,
        )
    )
    return b"".join((_RESERVATION_TAG, _varint(len(reservation)), reservation, _read_time(verdict.read_time_ms)))


def _varint(value: int) -> bytes:
    """Protobuf's spelling of a number that is not negative."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_LENGTH = tuple(_varint(length) for length in range(128))
_INDEX = (b"", *(_INDEX_TAG + _varint(index) for index in range(1, _MOST_EVENTS)))


@lru_cache(maxsize=256)  # one script call answers many requests with the same moments
def _tail(create_time_ms: int, expire_time_ms: int, ledger_state: int) -> bytes:
    held = calls.ReserveResponse().reservation
    held.state, held.revision, held.ledger_state = _HELD, 1, ledger_state  # type: ignore[assignment]
    held.create_time.FromMilliseconds(create_time_ms)
    held.update_time.FromMilliseconds(create_time_ms)
    held.expire_time.FromMilliseconds(expire_time_ms)
    return held.SerializeToString()


@lru_cache(maxsize=256)
def _position(shard: int, epoch: int, seq: int) -> bytes:
    return Position(shard=shard, epoch=epoch, seq=seq).SerializeToString()


@lru_cache(maxsize=256)
def _read_time(milliseconds: int) -> bytes:
    response = calls.ReserveResponse()
    response.read_time.FromMilliseconds(milliseconds)
    return response.SerializeToString()
