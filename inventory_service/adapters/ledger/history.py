"""Reservations as the ledger has them, for those that have left Redis."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState, ReservationState

from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.domain.archive import ArchivedReservation
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line, Reservation

_ENDED_OTHERWISE = ("RELEASED", "EXPIRED", "RETURNED")  # and not by a compensation

# One question that is asked for everybody who comes late: it answers one row, in which the reservation may be null.
_RESERVATION = """
select exists(select from sale where (tenant, sale_id) = ($1, $2)) as has_sale,
       exists(select from dead_letter where (tenant, sale_id, reservation_id) = ($1, $2, $3)) as has_letter,
       r.*, (select json_agg(json_build_array(sku, quantity) order by sku) from reservation_line l
              where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)) as lines
  from (select) as always left join reservation r on (r.tenant, r.sale_id, r.reservation_id) = ($1, $2, $3)"""
_DEAD_LETTER = """
select tenant, sale_id, reservation_id, buyer_id, lines, reason, detail, shard, created_epoch, created_seq,
       created_index, reservation_state, reservation_create_time, reservation_expire_time, latest_revision, latest_time,
       latest_epoch, latest_seq, latest_index
  from dead_letter
 where tenant = $1 and sale_id = $2 and reservation_id = $3
 order by created_epoch desc, created_seq desc, created_index desc limit 1"""


class LedgerHistory:
    """Reads only; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        """What the ledger knows of an id: its row, or else the latest order of it that was refused at its making."""
        async with self._ledger.connection() as db:
            row = await db.fetchrow(_RESERVATION, *sale, reservation_id)
            assert row is not None, "it answers one row, whatever there is"
            if row["reservation_id"] is not None:
                return ArchivedReservation(row["has_sale"], reservation_from_row(row))
            letter = await db.fetchrow(_DEAD_LETTER, *sale, reservation_id) if row["has_letter"] else None
        return ArchivedReservation(
            row["has_sale"], reservation_from_dead_letter(letter) if letter is not None else None
        )


def reservation_from_row(row: Any) -> Reservation:
    return Reservation(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        reservation_id=row["reservation_id"],
        buyer_id=row["buyer_id"],
        lines=_lines(json.loads(row["lines"] or "[]")),
        state=ReservationState.Value(f"RESERVATION_STATE_{row['state']}"),
        revision=row["revision"],
        create_time_ms=_ms(row["create_time"]),
        update_time_ms=_ms(row["update_time"]),
        expire_time_ms=_ms(row["expire_time"]) if row["expire_time"] else 0,
        created=_created(row),
        position=Position(row["shard"], row["epoch"], row["seq"], row["index"]),
        ledger_state=_ledger_state(row["state"], LedgerState.Value(f"LEDGER_STATE_{row['ledger_state']}")),
        compensation_reason=_reason(row["state"], row["compensation_reason"]),
        note=row["note"],
    )


def reservation_from_dead_letter(letter: Any) -> Reservation:
    """An order refused at its making has no row until it is closed, or ever if its id was taken."""
    expire_time = letter["reservation_expire_time"]
    return Reservation(
        sale=SaleKey(letter["tenant"], letter["sale_id"]),
        reservation_id=letter["reservation_id"],
        buyer_id=letter["buyer_id"],
        lines=_lines([(line["sku"], line["quantity"]) for line in json.loads(letter["lines"])]),
        state=ReservationState.Value(f"RESERVATION_STATE_{letter['reservation_state']}"),
        revision=letter["latest_revision"],
        create_time_ms=_ms(letter["reservation_create_time"]),
        update_time_ms=_ms(letter["latest_time"]),
        expire_time_ms=_ms(expire_time) if expire_time else 0,
        created=_created(letter),
        position=Position(letter["shard"], letter["latest_epoch"], letter["latest_seq"], letter["latest_index"]),
        ledger_state=_ledger_state(letter["reservation_state"], LedgerState.LEDGER_STATE_REFUSED),
        compensation_reason=_reason(letter["reservation_state"], letter["reason"]),
        note=letter["detail"],
    )


def _ledger_state(state: str, of_the_order: int) -> int:
    """What the ledger says of the latest change, as Redis did: no end but a compensation is ever refused."""
    return LedgerState.LEDGER_STATE_RECORDED if state in _ENDED_OTHERWISE else of_the_order


def _created(row: Any) -> Position:
    return Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"])


def _lines(pairs: Sequence[Sequence[Any]]) -> tuple[Line, ...]:
    return tuple(Line(sku, quantity) for sku, quantity in pairs)


def _reason(state: str, name: str | None) -> int:
    """Why the order was refused, if that is how it ended, as Redis did: of another end there is no such reason."""
    return CompensationReason.Value(f"COMPENSATION_REASON_{name}") if name and state not in _ENDED_OTHERWISE else 0


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
