"""Builds the arguments of move.lua and compensate.lua, and parses the results of move.lua."""

from collections.abc import Mapping, Sequence

from holdfast.inventory.v1.commit_pb2 import Claim

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connections import Argument
from inventory_service.adapters.redis.reads import reservation_from_values
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import MOVES, Compensate, Move
from inventory_service.domain.reservation import NEW
from inventory_service.domain.results import Failure, Granted, reservation_not_found, sale_not_found, wrong_state


def move_arguments(requests: Sequence[Move], numbers: Mapping[SaleKey, int]) -> list[Argument]:
    """The arguments of a call; `numbers` are those of its sales. A move that may create a record includes its Claim."""
    arguments: list[Argument] = []
    for request in requests:
        sale, reservation_id, kind, note = request
        claim = _spent_claim(request) if NEW in MOVES[kind].outcomes else b""
        arguments += (numbers[sale], reservation_id, kind.value, note, claim)
    return arguments


def _spent_claim(request: Move) -> bytes:
    """The Claim of a spent id, which has no buyer and no lines."""
    (tenant, sale_id), reservation_id = request.sale, request.reservation_id
    return Claim(tenant=tenant, sale_id=sale_id, reservation_id=reservation_id).SerializeToString()


def move_result(head: CallHead, request: Move, result: Values) -> Granted | Failure:
    """Parse one result."""
    if result[0] == b"NO_SALE":
        return sale_not_found(request.sale)
    if result[0] == b"NO_RECORD":
        return reservation_not_found(request.sale, request.reservation_id)
    reservation = reservation_from_values(head, request.sale, request.reservation_id, result[1:])
    if result[0] == b"WRONG_STATE":
        return wrong_state(reservation)
    return Granted(reservation, replayed=result[0] == b"REPLAYED", read_time_ms=head.now_ms)


def compensate_arguments(request: Compensate) -> list[Argument]:
    """The arguments of a call on the reservation's sale."""
    created = request.created
    position: tuple[Argument, ...] = (created.epoch, created.seq, created.index)
    return [request.reservation_id, *position, request.reason, request.detail]
