"""Builds the arguments of move.lua, return_archived.lua and compensate.lua, and parses the results of the first two."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from holdfast.inventory.v1.commit_pb2 import Claim
from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_SHARD_NOT_SERVING

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.load import bytes_from_record
from inventory_service.adapters.redis.reads import reservation_from_values
from inventory_service.domain.archive import ReturnArchived
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.fingerprints import spelled
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import (
    Compensate,
    Move,
    MoveKind,
    confirmed_otherwise,
    more_than_held,
    more_than_sold,
)
from inventory_service.domain.reservation import Line, Reservation
from inventory_service.domain.results import (
    Failure,
    Granted,
    reservation_not_found,
    revision_mismatch,
    sale_not_found,
    wrong_state,
)
from inventory_service.domain.shard_load import record_of
from inventory_service.domain.shards import CommitId


def move_arguments(requests: Sequence[Move], numbers: Mapping[SaleKey, int]) -> list[Argument]:
    """The arguments of a call; `numbers` are those of its sales."""
    arguments: list[Argument] = []
    for request in requests:
        sale, reservation_id, kind, note, *_ = request
        claim = _spent_claim(request) if kind == MoveKind.SPEND else b""
        arguments += (numbers[sale], reservation_id, kind.value, note, _details(request), claim)
    return arguments


def _details(request: Move) -> str:
    """What is not asked for by most moves, in one argument, for each costs Redis time."""
    _, _, _, _, revision, lines, hold_ttl_ms, discards = request
    if revision is None and not (lines or hold_ttl_ms or discards):
        return ""
    return f"{'-' if revision is None else revision} {hold_ttl_ms or '-'} {int(discards)} {spelled(lines)}"


def return_archived_arguments(request: ReturnArchived) -> list[Argument]:
    """The arguments of a call on the reservation's sale."""
    _, reservation_id, _, note, revision, lines, _, discards = request.move
    record = bytes_from_record(record_of(request.reservation, request.fingerprint))
    named = ("" if revision is None else revision, spelled(lines), "1" if discards else "")
    return [*request.head, *request.watermark, record, reservation_id, note, *named]


def _spent_claim(request: Move) -> bytes:
    """The Claim of a spent id, which has no buyer and no lines."""
    (tenant, sale_id), reservation_id = request.sale, request.reservation_id
    return Claim(tenant=tenant, sale_id=sale_id, reservation_id=reservation_id).SerializeToString()


def move_result(head: CallHead, request: Move | ChangeHold, result: Values) -> Granted | Failure:
    """Parse one result."""
    name, *values = result
    if name == b"NO_SALE":
        return sale_not_found(request.sale)
    if name == b"WATERMARK_BELOW_TRIM":  # the ledger has lost commits that it had reported
        return Failure(ERROR_REASON_SHARD_NOT_SERVING)
    if name == b"NO_RECORD":
        return reservation_not_found(request.sale, request.reservation_id, CommitId(*values))
    reservation = reservation_from_values(head, request.sale, request.reservation_id, values)
    if name in (b"MOVED", b"REPLAYED"):
        return Granted(reservation, replayed=name == b"REPLAYED", read_time_ms=head.now_ms)
    failure = _REFUSALS[name](reservation, request.lines)
    assert failure is not None, f"{name!r} does not follow from the reservation and the request"
    return failure


MOVE_RESULTS: Final = frozenset({b"NO_SALE", b"NO_RECORD", b"MOVED", b"REPLAYED", b"WRONG_STATE", b"REVISION_MISMATCH"})
_REFUSALS: Final[Mapping[bytes, Callable[[Reservation, tuple[Line, ...]], Failure | None]]] = {
    b"WRONG_STATE": lambda found, lines: wrong_state(found),
    b"REVISION_MISMATCH": lambda found, lines: revision_mismatch(found),
    b"CONFIRMED_OTHERWISE": confirmed_otherwise,
    b"MORE_THAN_HELD": more_than_held,
    b"MORE_THAN_SOLD": more_than_sold,
}


def compensate_arguments(request: Compensate) -> list[Argument]:
    """The arguments of a call on the reservation's sale."""
    created = request.created
    position: tuple[Argument, ...] = (created.epoch, created.seq, created.index)
    return [request.reservation_id, *position, request.reason, request.detail]
