"""Turns folded orders into the rows of reservations and lines that the ledger stores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from order_persister.domain.fold import REASON_NAMES, Created, Order, Refusal, Refusals
from order_persister.domain.units import COMPENSATED, LIVE, STATE_NAMES, is_confirmed, is_returned, may_differ_from_hold

RECORDED = "RECORDED"
REFUSED = "REFUSED"


class ReservationRow(NamedTuple):
    """A reservation after the run; the fields are in the order of the statements' columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    state: str
    revision: int
    create_time_ms: int
    update_time_ms: int
    expire_time_ms: int | None
    created_epoch: int
    created_seq: int
    created_index: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    ledger_state: str
    compensation_reason: str | None
    note: str
    asked_hold_ms: int
    reference: str

    @property
    def created(self) -> Created:
        return Created(self.created_epoch, self.created_seq, self.created_index)


class LineRow(NamedTuple):
    """A line of a new reservation; the fields are in the order of the statement's columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    sku: str
    quantity: int
    confirmed_quantity: int
    returned_quantity: int
    asked_quantity: int


class LineUpdate(NamedTuple):
    """What the lines of a changed reservation count as; the fields are in the order of the statement's columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    is_confirmed: bool
    is_returned: bool


class RefusedConfirm(NamedTuple):
    """An order that was refused at its confirm and still has its units; the fields are in the order of the columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    created_epoch: int
    created_seq: int
    created_index: int
    compensation_reason: str


@dataclass
class Rows:
    """The rows to write, each list sorted by key, so that transactions lock rows in one order and never deadlock."""

    new: list[ReservationRow] = field(default_factory=list)
    changed: list[ReservationRow] = field(default_factory=list)
    refused_confirms: list[RefusedConfirm] = field(default_factory=list)
    refused_ended: list[ReservationRow] = field(default_factory=list)  # refused when created, so without a row so far


def final_rows(orders: Iterable[Order], refusals: Refusals, are_written: bool = False) -> Rows:
    """The final row of each order. One that is refused when it is created has none before it ends.

    `are_written`: the orders that the run creates have a row by now.
    """
    rows = Rows()
    for order in orders:
        refusal, target = refusals.get(order.created), rows.new if order.is_new and not are_written else rows.changed
        if refusal is None:
            target.append(_row(order, len(order.steps) - 1, None))
        elif refusal.at_creation:
            if _has_ended(order):
                rows.refused_ended.append(_row(order, len(order.steps) - 1, refusal))
        else:
            _add_refused_at_confirm(rows, target, order, refusal)
    for each in (rows.new, rows.changed, rows.refused_confirms, rows.refused_ended):
        each.sort(key=_key)
    return rows


def rows_by_step(order: Order) -> list[ReservationRow]:
    """The row of an order after each step, refused or not."""
    return [_row(order, number, None) for number in range(len(order.steps))]


def lines_from(rows: Iterable[ReservationRow], orders: Mapping[Created, Order]) -> list[LineRow]:
    """The lines of new reservations, in the order of the rows."""
    return [
        LineRow(
            row.tenant, row.sale_id, row.reservation_id, sku, quantity,
            quantity * is_confirmed(row.state), quantity * is_returned(row.state), quantity,
        )
        for row in rows
        for sku, quantity in orders[row.created].lines
    ]  # fmt: skip


def line_updates_from(rows: Iterable[ReservationRow]) -> list[LineUpdate]:
    """The updates of the lines of changed reservations; a hold that is released or expires needs none."""
    return [
        LineUpdate(row.tenant, row.sale_id, row.reservation_id, is_confirmed(row.state), is_returned(row.state))
        for row in rows
        if may_differ_from_hold(row.state)
    ]


def _add_refused_at_confirm(rows: Rows, target: list[ReservationRow], order: Order, refusal: Refusal) -> None:
    """The row stays as it was before the refused step, with the refusal in it, until the order ends."""
    if _has_ended(order):
        target.append(_row(order, len(order.steps) - 1, refusal))
    elif refusal.step > 0:
        target.append(_row(order, refusal.step - 1, refusal))
    elif refusal.step == 0:
        rows.refused_confirms.append(RefusedConfirm(*order.key, *order.created, REASON_NAMES[refusal.reason]))


def _has_ended(order: Order) -> bool:
    return order.steps[-1].change.state not in LIVE


def _row(order: Order, number: int, refusal: Refusal | None) -> ReservationRow:
    """The row after one step. A compensated order was refused, if not by this ledger then by one set back since."""
    step = order.steps[number]
    change = step.change
    return ReservationRow(
        order.tenant,
        order.sale_id,
        order.reservation_id,
        order.buyer_id,
        STATE_NAMES[change.state],
        change.revision,
        change.create_time_ms,
        step.time_ms,
        change.expire_time_ms or None,
        *order.created,
        step.epoch,
        step.seq,
        step.index,
        RECORDED if refusal is None and change.state != COMPENSATED else REFUSED,
        _reason_name(change.compensation_reason if refusal is None else refusal.reason),
        change.note.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # Postgres rejects NUL, and a note must refuse no order
        order.asked_hold_ms,
        order.reference,
    )


def _reason_name(reason: int) -> str | None:
    return REASON_NAMES[reason] if reason else None


def _key(row: ReservationRow | RefusedConfirm) -> tuple[str, str, str]:
    return row[:3]
