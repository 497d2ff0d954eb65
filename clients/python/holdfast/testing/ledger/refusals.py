"""Which orders the ledger refuses for good: those of blocked buyers, of used ids, and those that the test names."""

from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import (
    COMPENSATION_REASON_BUYER_BLOCKED,
    COMPENSATION_REASON_CONSTRAINT_VIOLATED,
    COMPENSATION_REASON_ID_REUSED,
)
from holdfast.testing.ledger.tables import Tables
from inventory_service.domain.events import ReservationChange
from inventory_service.domain.keys import BuyerKey, SaleKey
from inventory_service.domain.reservation import CONFIRMED, HELD, NEW

MAX_DETAIL_LENGTH = 256


class Refusal(NamedTuple):
    """Why an order is refused."""

    reason: int  # a CompensationReason
    detail: str


class Refusals:
    """Judges the changes of orders that were not refused before: only a new one, or a confirm, can be."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._named: dict[tuple[SaleKey, str], Refusal] = {}

    def name(self, sale: SaleKey, reservation_id: str, detail: str) -> None:
        """Refuse this order at its next change that can be refused; a ValueError if there will be none."""
        row = self._tables.row(sale, reservation_id)
        if row is not None and row.reservation.state != HELD:
            raise ValueError(f"the ledger has recorded {reservation_id} already, and it is not held any more")
        refusal = Refusal(int(COMPENSATION_REASON_CONSTRAINT_VIOLATED), detail[:MAX_DETAIL_LENGTH])
        self._named[sale, reservation_id] = refusal

    def judge(self, change: ReservationChange, time_ms: int) -> Refusal | None:
        """Why the ledger refuses the order of a change; None: it takes it."""
        order, is_new = change.reservation, change.previous_state == NEW
        takes_units = is_new and order.state in (HELD, CONFIRMED)
        is_confirm = change.previous_state == HELD and order.state == CONFIRMED
        if takes_units or is_confirm:
            block = self._tables.blocked.get(BuyerKey(order.sale.tenant, order.buyer_id))
            if block is not None and time_ms >= block.create_time_ms:
                detail = f"the buyer is blocked: {block.reason}"[:MAX_DETAIL_LENGTH]
                return Refusal(int(COMPENSATION_REASON_BUYER_BLOCKED), detail)
        if is_new and self._tables.row(order.sale, order.reservation_id) is not None:
            return Refusal(int(COMPENSATION_REASON_ID_REUSED), "the id was used before")
        if takes_units or is_confirm:
            return self._named.pop((order.sale, order.reservation_id), None)
        return None
