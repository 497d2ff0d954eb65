"""Parses stored reservations, as every script returns them, and the results of read.lua."""

from typing import NamedTuple

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.adapters.redis.sales import sale_from_values
from inventory_service.domain.fingerprints import terms_of
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Reservation, Units, ledger_state
from inventory_service.domain.results import Failure, ReservationRead, reservation_not_found, sale_not_found
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.units import usual_units


class RecordReply(NamedTuple):
    """A stored record as `record_reply` in lua/lib/record.lua returns it: every field but the Claim's bytes."""

    state: int  # as every call reports it
    revision: int
    create_ms: int
    update_ms: int
    expire_ms: int
    created_epoch: int
    created_seq: int
    created_index: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used here
    reason: int
    fingerprint: bytes
    note: bytes
    units: bytes  # as the record has them; b"": those that state and fingerprint imply


def reservation_from_values(head: CallHead, sale: SaleKey, reservation_id: str, values: Values) -> Reservation:
    """Parse a record, without the result's name before it."""
    record = RecordReply._make(values)
    terms = terms_of(record.fingerprint.decode())
    return Reservation(
        sale,
        reservation_id,
        terms.buyer_id,
        units_from_text(record.units) if record.units else usual_units(terms.lines, record.state),
        record.state,
        record.revision,
        record.create_ms,
        record.update_ms,
        record.expire_ms,
        Position(head.shard, record.created_epoch, record.created_seq, record.created_index),
        Position(head.shard, record.epoch, record.seq, record.index),
        ledger_state(record.state, record.epoch, record.seq, head.settled),
        record.reason,
        record.note.decode(),
        terms.reference,
    )


def units_from_text(text: bytes) -> tuple[Units, ...]:
    """Parse units as `text_from_units` in lua/lib/record.lua writes them."""
    lines = (line.split("=") for line in text.decode().split(" "))
    return tuple(Units(sku, *map(int, counts.split(":"))) for sku, counts in lines)


def reservation_result(head: CallHead, sale: SaleKey, reservation_id: str, result: Values) -> ReservationRead | Failure:
    """Parse the result of reading a reservation."""
    if result[0] == b"NO_SALE":
        return sale_not_found(sale)
    if result[0] == b"NO_RECORD":
        return reservation_not_found(sale, reservation_id)
    found = reservation_from_values(head, sale, reservation_id, result[1:])
    return ReservationRead(found, head.now_ms, is_overdue=result[0] == b"OVERDUE")


def sale_result(head: CallHead, sale: SaleKey, result: Values) -> SaleRead | Failure:
    """Parse the result of reading a sale."""
    return sale_not_found(sale) if result[0] == b"NO_SALE" else sale_from_values(head, sale, result)
