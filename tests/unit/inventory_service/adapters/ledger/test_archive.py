"""An archived reservation has the same compensation reason as it had in Redis."""

from datetime import UTC, datetime
from typing import Any

import pytest
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState

from inventory_service.adapters.ledger.archive import reservation_from_row

MADE = datetime(2027, 1, 1, tzinfo=UTC)
ROW: dict[str, Any] = {
    "tenant": "default", "sale_id": "lamps", "reservation_id": "r-1", "buyer_id": "b-1", "lines": '[["lamp", 1]]',
    "revision": 2, "create_time": MADE, "update_time": MADE, "expire_time": MADE, "shard": 0, "created_epoch": 1,
    "created_seq": 2, "created_index": 0, "epoch": 1, "seq": 3, "index": 0, "ledger_state": "REFUSED",
    "compensation_reason": "BUYER_BLOCKED", "note": "",
}  # fmt: skip


@pytest.mark.parametrize("state", ["RELEASED", "EXPIRED", "RETURNED"])
def test_a_refused_order_that_ended_by_itself_has_no_compensation_reason(state: str) -> None:
    """Redis never has the refusal: no compensation was carried out, and the end of the order is recorded."""
    found = reservation_from_row(ROW | {"state": state})

    assert found.compensation_reason == CompensationReason.COMPENSATION_REASON_UNSPECIFIED
    assert found.ledger_state == LedgerState.LEDGER_STATE_RECORDED


def test_a_compensated_order_has_the_reason_of_its_refusal() -> None:
    """Redis has it from the compensation."""
    found = reservation_from_row(ROW | {"state": "COMPENSATED"})

    assert found.compensation_reason == CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED
    assert found.ledger_state == LedgerState.LEDGER_STATE_REFUSED
