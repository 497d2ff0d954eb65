"""The columns of each list, the most important first."""

from collections.abc import Sequence

from google.protobuf.message import Message

from holdfast.cli.render import lines_text, local, word
from holdfast.cli.table import Column, Row
from holdfast.inventory.v1.inventory_admin_service_pb2 import AuditDifference, BlockedBuyer, DeadLetter, DeadLetterState
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState, Line, Reservation, ReservationState
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale, SaleState


def _time(message: Message, field: str) -> str:
    """A moment, or nothing if it is not set."""
    return local(getattr(message, field)) if message.HasField(field) else ""


def _lines(lines: Sequence[Line]) -> str:
    return ", ".join(f"{line.quantity} {line.sku}" for line in lines)


def without(columns: Sequence[Column[Row]], *heads: str) -> list[Column[Row]]:
    """The columns but for those that would say the same in each row."""
    return [column for column in columns if column.head not in heads]


RESERVATIONS: Sequence[Column[Reservation]] = (
    Column("state", lambda one: word(ReservationState, one.state)),
    Column("reservation", lambda one: one.reservation_id),
    Column("sale", lambda one: one.sale_id),
    Column("buyer", lambda one: one.buyer_id),
    Column("lines", lines_text, is_cut=True),
    Column("made", lambda one: _time(one, "create_time")),
    Column("ledger", lambda one: word(LedgerState, one.ledger_state), is_optional=True),
    Column("reference", lambda one: one.reference, is_optional=True),
)
SALES: Sequence[Column[Sale]] = (
    Column("state", lambda one: word(SaleState, one.state)),
    Column("sale", lambda one: one.sale_id),
    Column("from", lambda one: _time(one, "start_time")),
    Column("to", lambda one: _time(one, "close_time" if one.HasField("close_time") else "end_time")),
    Column("title", lambda one: one.title, is_cut=True, is_optional=True),
)
ADJUSTMENTS: Sequence[Column[Adjustment]] = (
    Column("made", lambda one: _time(one, "create_time")),
    Column("adjustment", lambda one: one.adjustment_id),
    Column("item", lambda one: one.sku),
    Column("change", lambda one: f"{one.delta:+,}", is_number=True),
    Column("total", lambda one: f"{one.total_after:,}", is_number=True),
    Column("reason", lambda one: one.reason, is_cut=True),
    Column("reference", lambda one: one.reference, is_cut=True, is_optional=True),
    Column("by", lambda one: one.actor, is_optional=True),
)
BLOCKED_BUYERS: Sequence[Column[BlockedBuyer]] = (
    Column("buyer", lambda one: one.buyer_id),
    Column("since", lambda one: _time(one, "create_time")),
    Column("reason", lambda one: one.reason, is_cut=True),
    Column("by", lambda one: one.actor, is_optional=True),
)
DEAD_LETTERS: Sequence[Column[DeadLetter]] = (
    Column("state", lambda one: word(DeadLetterState, one.state)),
    Column("dead letter", lambda one: one.dead_letter_id),
    Column("sale", lambda one: one.sale_id),
    Column("reservation", lambda one: one.reservation_id),
    Column("buyer", lambda one: one.buyer_id),
    Column("lines", lambda one: _lines(one.lines), is_cut=True),
    Column("why", lambda one: word(CompensationReason, one.reason), is_cut=True),
    Column("order", lambda one: word(ReservationState, one.reservation_state), is_optional=True),
    Column("replayed as", lambda one: one.replayed_as, is_optional=True),
    Column("refused", lambda one: _time(one, "create_time"), is_optional=True),
)
DIFFERENCES: Sequence[Column[AuditDifference]] = (
    Column("what", lambda one: one.subject),
    Column("Redis", lambda one: one.redis_value, is_cut=True),
    Column("ledger", lambda one: one.ledger_value, is_cut=True),
)
