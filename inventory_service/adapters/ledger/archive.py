"""Reads reservations and sales that have left Redis, as the ledger has them."""

import json
from datetime import datetime
from typing import Any

from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState, ReservationState
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.events import ReservationChange, event_at
from inventory_service.domain.fingerprints import adjustment_body, reserve_fingerprint
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line, Reservation, Units
from inventory_service.domain.sale import Adjustment, AdjustStock, Item, Sale, Settings, etag_of
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.domain.shards import CommitId

_STATE = "RESERVATION_STATE_"
QUESTION_S = 5.0  # each reads a few rows by their keys, for a caller that waits
_ENDED_WITHOUT_COMPENSATION = ("RELEASED", "EXPIRED", "RETURNED")


class LedgerArchive:
    """Reads only; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger.within(QUESTION_S)
        self._sql = ledger_queries()

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        """The row of an id, or else the latest order of that id that was refused when it was created."""
        async with self._ledger.connection() as db:
            row = await db.fetchrow(self._sql.archived_reservation, *sale, reservation_id)
            assert row is not None, "the statement answers one row for any id"
            if row["reservation_id"] is not None:
                watermark = CommitId(row["watermark_epoch"], row["watermark_seq"])
                return ArchivedReservation(
                    row["has_sale"], reservation_from_row(row), fingerprint_from_row(row), watermark=watermark
                )
            if row["has_dead_letter"]:
                dead_letter = await db.fetchrow(self._sql.latest_dead_letter, *sale, reservation_id)
                return ArchivedReservation(row["has_sale"], *refused_from_dead_letter(dead_letter))
        return ArchivedReservation(row["has_sale"], None, lost=row["lost"] or "")

    async def sale_exists(self, sale: SaleKey) -> bool:
        """Whether there ever was such a sale."""
        async with self._ledger.connection() as db:
            return bool(await db.fetchval(self._sql.sale_exists, *sale))

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        """A sale as it is once it has left Redis; None if the ledger has none."""
        async with self._ledger.connection() as db:
            row = await db.fetchrow(self._sql.archived_sale, *sale)
        return sale_from_row(row) if row is not None else None

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        """An adjustment of a sale; None if the ledger has none."""
        async with self._ledger.connection() as db:
            row = await db.fetchrow(self._sql.adjustment, *sale, adjustment_id)
        return adjustment_from_row(row) if row is not None else None


def reservation_from_row(row: Any) -> Reservation:
    return Reservation(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        reservation_id=row["reservation_id"],
        buyer_id=row["buyer_id"],
        lines=tuple(Units(*units) for *units, _ in _lines_of(row) if units[1]),
        state=ReservationState.Value(_STATE + row["state"]),
        revision=row["revision"],
        create_time_ms=_ms(row["create_time"]),
        update_time_ms=_ms(row["update_time"]),
        expire_time_ms=_ms(row["expire_time"]) if row["expire_time"] else 0,
        created=_created(row),
        position=Position(row["shard"], row["epoch"], row["seq"], row["index"]),
        ledger_state=_ledger_state(row["state"], LedgerState.Value(f"LEDGER_STATE_{row['ledger_state']}")),
        compensation_reason=_reason(row["compensation_reason"]),
        note=row["note"],
        reference=row["reference"],
    )


def fingerprint_from_row(row: Any) -> str:
    """The fingerprint of the Reserve that made a reservation; '' if its id was spent."""
    asked = tuple(Line(sku, asked) for sku, *_, asked in _lines_of(row) if asked)
    return _fingerprint(row["buyer_id"], row["asked_hold_ms"], asked, row["reference"])


def refused_from_dead_letter(row: Any) -> tuple[Reservation, str]:
    """An order refused when it was created, which has no row until its dead letter is settled, or never.

    The second value is the fingerprint of its Reserve.
    """
    position = Position(row["shard"], row["latest_epoch"], row["latest_seq"], row["latest_index"])
    change = event_at(row["latest_commit"], position)
    assert isinstance(change, ReservationChange), "a dead letter names the latest change of its order"
    latest, state = change.reservation, ReservationState.Name(change.reservation.state)[len(_STATE) :]
    refused = latest._replace(
        ledger_state=_ledger_state(state, LedgerState.LEDGER_STATE_REFUSED),
        compensation_reason=_reason(row["reason"]),
        note=row["detail"],
    )
    return refused, _fingerprint(latest.buyer_id, change.asked_hold_ms, change.asked, latest.reference)


def sale_from_row(row: Any) -> ArchivedSale:
    """From a row of `archived_sale`."""
    sale = Sale(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        settings=settings_from_row(row),
        state=SALE_STATE_ARCHIVED,
        items=tuple(Item(*item) for item in json.loads(row["items"] or "[]")),
        etag=etag_of(row["etag_epoch"], row["etag_seq"], row["etag_index"]),
        create_time_ms=row["create_ms"],
        update_time_ms=row["update_ms"],
    )
    return ArchivedSale(sale, Position(row["shard"], row["epoch"], row["seq"], 0), row["has_left"])


def adjustment_from_row(row: Any) -> StoredAdjustment:
    """An adjustment as the script stored it that made it."""
    request = AdjustStock(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        adjustment_id=row["adjustment_id"],
        sku=row["sku"],
        delta=row["asked_delta"],
        new_total=row["asked_total"],
        expected_total=row["expected_total"],
        reference=row["reference"],
    )
    adjustment = Adjustment(
        sale=request.sale,
        adjustment_id=request.adjustment_id,
        sku=request.sku,
        delta=row["change"],
        total_after=row["total_after"],
        reason=row["reason"],
        reference=request.reference,
        actor=row["actor"],
        create_time_ms=row["create_ms"],
        position=Position(row["shard"], row["epoch"], row["seq"], row["index"]),
    )
    return StoredAdjustment(adjustment, adjustment_body(request))


def settings_from_row(row: Any) -> Settings:
    """The settings of a sale, as its row has them."""
    return Settings(
        title=row["title"],
        start_time_ms=row["start_ms"],
        end_time_ms=row["end_ms"],
        hold_ttl_ms=row["hold_ttl_ms"],
        max_hold_ttl_ms=row["max_hold_ttl_ms"],
        buyer_limit=row["buyer_limit"],
        attempts_per_minute=row["attempts_per_minute"],
        return_window_ms=row["return_window_ms"],
        paused=row["paused"],
        close_time_ms=row["close_ms"],
        release_time_ms=row["release_ms"],
        release_reason=row["release_reason"],
    )


def _fingerprint(buyer_id: str, asked_hold_ms: int, lines: tuple[Line, ...], reference: str) -> str:
    return reserve_fingerprint(buyer_id, asked_hold_ms or None, lines, reference) if buyer_id else ""


def _ledger_state(state: str, order_state: int) -> int:
    """The ledger state of the latest change, as Redis reports it: of all ends only one by compensation is refused."""
    return LedgerState.LEDGER_STATE_RECORDED if state in _ENDED_WITHOUT_COMPENSATION else order_state


def _reason(name: str | None) -> int:
    """Why the ledger refused the order; 0 if it did not."""
    return CompensationReason.Value(f"COMPENSATION_REASON_{name}") if name else 0


def _created(row: Any) -> Position:
    return Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"])


def _lines_of(row: Any) -> list[tuple[Any, ...]]:
    """SKU, units claimed, sold and come back, and units asked for; sorted by SKU."""
    return json.loads(row["lines"] or "[]")  # type: ignore[no-any-return]


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
