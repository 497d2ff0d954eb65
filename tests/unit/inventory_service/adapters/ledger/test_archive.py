"""An archived reservation as its row tells it, and the Reserve that made it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState

from inventory_service.adapters.ledger.archive import fingerprint_from_row, reservation_from_row
from inventory_service.domain.reservation import Units

MADE = datetime(2027, 1, 1, tzinfo=UTC)
ROW: dict[str, Any] = {
    "tenant": "default", "sale_id": "lamps", "reservation_id": "r-1", "buyer_id": "b-1",
    "lines": '[["lamp", 1, 0, 0, 1]]',
    "revision": 2, "create_time": MADE, "update_time": MADE, "expire_time": MADE, "shard": 0, "created_epoch": 1,
    "created_seq": 2, "created_index": 0, "epoch": 1, "seq": 3, "index": 0, "ledger_state": "REFUSED",
    "compensation_reason": "BUYER_BLOCKED", "note": "", "asked_hold_ms": 0, "reference": "",
}  # fmt: skip


@pytest.mark.parametrize("state", ["RELEASED", "EXPIRED", "RETURNED"])
def test_a_refused_order_that_ended_by_itself_is_recorded_with_the_reason_of_its_refusal(state: str) -> None:
    """No compensation was carried out, and the end of the order is recorded; Redis alone never has the reason."""
    found = reservation_from_row(ROW | {"state": state})

    assert found.compensation_reason == CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED
    assert found.ledger_state == LedgerState.LEDGER_STATE_RECORDED


def test_a_compensated_order_has_the_reason_of_its_refusal() -> None:
    """Redis has it from the compensation."""
    found = reservation_from_row(ROW | {"state": "COMPENSATED"})

    assert found.compensation_reason == CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED
    assert found.ledger_state == LedgerState.LEDGER_STATE_REFUSED


def test_a_repeat_is_told_by_what_the_reserve_asked_for() -> None:
    """By its lines, of which a later change may have dropped one and added another, its `hold_ttl` and reference."""
    lines = '[["lamp", 0, 0, 0, 2], ["shade", 3, 2, 1, 1], ["vase", 4, 4, 0, 0]]'
    row = ROW | {"state": "CONFIRMED", "lines": lines, "asked_hold_ms": 5000, "reference": "cart-7"}

    assert fingerprint_from_row(row) == "b-1 5000 lamp=2 shade=1 #cart-7"
    assert reservation_from_row(row).lines == (Units("shade", 3, 2, 1), Units("vase", 4, 4, 0))
    assert reservation_from_row(row).reference == "cart-7"


def test_a_spent_id_was_made_by_no_reserve() -> None:
    """It has neither buyer nor lines."""
    assert fingerprint_from_row(ROW | {"state": "RELEASED", "buyer_id": "", "lines": None}) == ""
