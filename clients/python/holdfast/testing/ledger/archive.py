"""Reads from the ledger in memory what has left the stock: reservations, sales and adjustments."""

from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_RECORDED, LEDGER_STATE_REFUSED
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED
from holdfast.testing.ledger.tables import AVAILABLE, HELD_UNITS, SOLD_UNITS, SaleRow, Tables
from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.keys import Position, SaleKey, shard_of
from inventory_service.domain.reservation import EXPIRED, RELEASED, RETURNED, Reservation
from inventory_service.domain.sale import Item, Sale, etag_of
from inventory_service.domain.shard_state import StoredAdjustment


class LedgerArchive:
    """The ports `ReservationArchive` and `SaleArchive`."""

    def __init__(self, tables: Tables, shards: int) -> None:
        self._tables = tables
        self._shards = shards

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        """The row of an id, or else the latest order of that id that was refused when it was created."""
        has_sale, row = sale in self._tables.sales, self._tables.row(sale, reservation_id)
        if row is not None:
            watermark = self._tables.watermarks[shard_of(sale, self._shards)].commit
            return ArchivedReservation(has_sale, as_told(row.reservation), row.fingerprint, watermark)
        letters = [row for row in self._tables.letters_of(sale) if row.letter.reservation_id == reservation_id]
        if not letters:
            return ArchivedReservation(has_sale, None)
        last = max(letters, key=lambda row: row.letter.created)
        refused = last.latest._replace(
            ledger_state=int(LEDGER_STATE_REFUSED), compensation_reason=last.letter.reason, note=last.letter.detail
        )
        return ArchivedReservation(has_sale, as_told(refused), last.fingerprint)

    async def sale_exists(self, sale: SaleKey) -> bool:
        return sale in self._tables.sales

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        row = self._tables.sales.get(sale)
        if row is None:
            return None
        shard = shard_of(sale, self._shards)
        as_of = Position(shard, *self._tables.watermarks[shard].commit, 0)
        return ArchivedSale(sale_from_row(row, SALE_STATE_ARCHIVED, items_of(row)), as_of, row.has_left)

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        row = self._tables.sales.get(sale)
        return row.adjustments.get(adjustment_id) if row is not None else None


def as_told(reservation: Reservation) -> Reservation:
    """A row as callers are told it: of all ends only one by compensation is refused."""
    if reservation.state in (RELEASED, EXPIRED, RETURNED):
        return reservation._replace(ledger_state=int(LEDGER_STATE_RECORDED))
    return reservation


def sale_from_row(row: SaleRow, state: int, items: tuple[Item, ...] = ()) -> Sale:
    """A sale in a state that the caller determines."""
    settings, changed, time_ms = row.settings
    return Sale(
        sale=row.key,
        settings=settings,
        state=state,
        items=items,
        etag=etag_of(changed.epoch, changed.seq, changed.index),
        create_time_ms=row.create_time_ms,
        update_time_ms=time_ms,
    )


def items_of(row: SaleRow) -> tuple[Item, ...]:
    """The items of a sale as it is once it has left the stock."""
    return tuple(
        Item(
            sku=sku,
            total=sum(balance.values()),
            available=balance[AVAILABLE],
            held=balance[HELD_UNITS],
            sold=balance[SOLD_UNITS],
            buyer_limit=row.limits[sku],
        )
        for sku, balance in sorted(row.balances.items())
    )
