"""Makes dead letters of the rows of the ledger's table `dead_letter`."""

import json
from typing import Any

from holdfast.inventory.v1.inventory_admin_service_pb2 import DeadLetterState
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, ReservationState

from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line


def dead_letter_from_row(row: Any) -> DeadLetter:
    """A row with the columns of the table."""
    return DeadLetter(
        created=Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"]),
        sale=SaleKey(row["tenant"], row["sale_id"]),
        reservation_id=row["reservation_id"],
        buyer_id=row["buyer_id"],
        lines=_lines(row["lines"]),
        reason=CompensationReason.Value(f"COMPENSATION_REASON_{row['reason']}"),
        detail=row["detail"],
        position=Position(row["shard"], row["epoch"], row["seq"], row["index"]),
        create_time_ms=round(row["create_time"].timestamp() * 1000),
        state=DeadLetterState.Value(f"DEAD_LETTER_STATE_{row['state']}"),
        replayed_as=row["replayed_as"] or "",
        reservation_state=ReservationState.Value(f"RESERVATION_STATE_{row['reservation_state']}"),
        sold=_lines(row["sold"]),
    )


def _lines(text: str) -> tuple[Line, ...]:
    return tuple(sorted(Line(line["sku"], line["quantity"]) for line in json.loads(text)))
